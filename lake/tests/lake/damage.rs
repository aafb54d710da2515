//! A kept file that holds less than was written is named, and never read as fewer rows.

use std::path::{Path, PathBuf};

use crate::{Lake, LakeError};

use super::maintenance::mark;
use super::rows::*;

/// A lake with five landed rows, its last commit's file, and its checkpoint's.
async fn landed() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let (folder, lake) = lake().await;
    let mut table = lake.table(&OBSERVED).await.unwrap();
    for offset in 0..5 {
        if offset == 3 {
            table.checkpoint().await.unwrap();
        }
        let rows = observed(&[("A-01", 1, offset, 5, offset)]);
        table.append(&[rows], &mark((offset > 0).then_some(offset), offset + 1)).await.unwrap();
    }
    let log = folder.path().join("observed/traffic_volume/_delta_log");
    (folder, log.join("00000000000000000005.json"), log.join("00000000000000000003.checkpoint.parquet"))
}

/// Opening names the file.
async fn refused(folder: &tempfile::TempDir, file: &Path, why: &str) {
    let error = Lake::open(&url(folder)).await.unwrap_err();
    let LakeError::Damaged { file: named, table, detail } = &error else { panic!("{error}") };
    assert!(named.ends_with(file.file_name().unwrap().to_str().unwrap()), "{named}");
    assert_eq!(table, "observed.traffic_volume");
    assert!(detail.contains(why), "{detail}");
}

#[tokio::test]
async fn an_empty_a_cut_or_a_zeroed_commit_is_named() {
    let (folder, commit, _) = landed().await;
    let whole = std::fs::read(&commit).unwrap();
    let first_line = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    for (bytes, why) in [
        (Vec::new(), "is empty"),
        (whole[..whole.len() / 2].to_vec(), "cannot be read at line"),
        (whole[..first_line].to_vec(), "holds 1 of its 3 actions"),
        (vec![0; whole.len()], "cannot be read at line 1"),
    ] {
        std::fs::write(&commit, bytes).unwrap();
        refused(&folder, &commit, why).await;
    }
    std::fs::write(&commit, whole).unwrap();
    assert_eq!(Lake::open(&url(&folder)).await.unwrap().table(&OBSERVED).await.unwrap().rows(), Some(5));
}

#[tokio::test]
async fn a_damaged_checkpoint_is_not_needed_while_the_commits_are_there() {
    let (folder, _, checkpoint) = landed().await;
    for bytes in ["", "PAR1"] {
        std::fs::write(&checkpoint, bytes).unwrap();
        let table = Lake::open(&url(&folder)).await.unwrap().table(&OBSERVED).await.unwrap();
        assert_eq!((table.rows(), table.mark("traffic_volume/0#1")), (Some(5), Some(5)));
    }
    std::fs::remove_file(checkpoint.with_file_name("00000000000000000001.json")).unwrap();
    refused(&folder, &checkpoint, "cannot be read").await;
}

#[tokio::test]
async fn a_data_file_that_is_damaged_or_gone_is_named() {
    let (folder, ..) = landed().await;
    let place = folder.path().join("observed/traffic_volume");
    let files = std::fs::read_dir(&place).unwrap().map(|file| file.unwrap().path());
    let file = files.into_iter().find(|file| file.extension().is_some_and(|extension| extension == "parquet")).unwrap();
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
    for bytes in ["", "PAR1 and something else"] {
        std::fs::write(&file, bytes).unwrap();
        let table = Lake::open(&url(&folder)).await.unwrap().table(&OBSERVED).await.unwrap();
        let error = table.scan(None).await.unwrap_err();
        let LakeError::Damaged { file: named, .. } = &error else { panic!("{error}") };
        assert!(named.ends_with(&name), "{named}");
    }
}
