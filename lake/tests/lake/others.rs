//! Other readers and writers of Delta, which share no code with this lake: delta-rs and polars, as `ops/tools.sh` gets them.

use std::path::Path;

use crate::{Lake, Outcome, Windows};

use super::maintenance::mark;
use super::readers;
use super::rows::*;

/// What a Python script prints of a table's folder.
fn python(script: &str, table: &Path) -> Option<String> {
    readers::python("deltalake", &["-c", script, table.to_str().unwrap()])
}

/// Version, columns with their comments, marks, and rows as two readers see them.
const READ: &str = r#"
import sys, deltalake, polars
table = deltalake.DeltaTable(sys.argv[1])
rows = polars.read_delta(sys.argv[1])
comment = [f.metadata.get("comment") for f in table.schema().fields if f.name == "volume"]
print(table.version(), table.transaction_version("traffic_volume/0#1"), sorted(rows["offset"].to_list()), rows.width, comment, table.metadata().name, table.history(1)[0]["operation"])
"#;

#[tokio::test]
async fn other_readers_see_what_we_see_from_commits_and_from_a_checkpoint() {
    let (folder, lake) = lake().await;
    let mut table = lake.table(&OBSERVED).await.unwrap();
    let place = folder.path().join("observed/traffic_volume");
    for offset in 0..6 {
        let rows = observed(&[("A-01", 1, offset, 5, offset)]);
        table.append(&[rows], &mark((offset > 0).then_some(offset), offset + 1)).await.unwrap();
    }
    let Some(said) = python(READ, &place) else { return };
    let comment =
        catalog::Feed::by_name("traffic_volume").unwrap().columns.iter().find(|column| column.name == "volume").unwrap().comment;
    let columns = table.schema().fields().len();
    assert_eq!(said, format!("6 6 [0, 1, 2, 3, 4, 5] {columns} ['{comment}'] observed.traffic_volume WRITE"));
    table.compact(&crate::Compaction { small_files_max: 2, ..Default::default() }).await.unwrap();
    table.checkpoint().await.unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    table.vacuum(std::time::Duration::from_millis(1)).await.unwrap();
    assert!(table.clean_log(std::time::Duration::from_millis(1)).await.unwrap() >= 6);
    table.append(&[observed(&[("A-01", 1, 6, 5, 6)])], &mark(Some(6), 7)).await.unwrap();
    let said = python(READ, &place).unwrap();
    assert_eq!(said, format!("8 7 [0, 1, 2, 3, 4, 5, 6] {columns} ['{comment}'] observed.traffic_volume WRITE"));
}

#[tokio::test]
async fn another_writers_commits_and_checkpoints_are_read_and_followed() {
    let (folder, lake) = lake().await;
    let mut table = lake.table(&OBSERVED).await.unwrap();
    for offset in 0..3 {
        let rows = observed(&[("A-01", 1, offset, 5, offset)]);
        table.append(&[rows], &mark((offset > 0).then_some(offset), offset + 1)).await.unwrap();
    }
    let place = folder.path().join("observed/traffic_volume");
    let optimize = "import sys, deltalake; t = deltalake.DeltaTable(sys.argv[1]); print(t.optimize.compact()['numFilesRemoved'], t.version())";
    let Some(said) = python(optimize, &place) else { return };
    assert_eq!(said, "3 4");
    // Our handle still holds the files that are no more in the table.
    let rows = observed(&[("A-01", 1, 3, 5, 3)]);
    assert_eq!(table.append(&[rows], &mark(Some(3), 4)).await.unwrap(), Outcome::Committed { version: 5 });
    assert_eq!((table.file_count(), offsets(&table.scan(None).await.unwrap())), (2, vec![0, 1, 2, 3]));
    // Its statistics are cut to milliseconds, and still find the file.
    let hours = Windows::one(hour(2), hour(4));
    assert_eq!(offsets(&table.scan(Some(&hours)).await.unwrap()), [2, 3]);
    assert_eq!(offsets(&table.added_since(2).await.unwrap()), [2, 3]);
    // From its checkpoint, the commits before it gone, as from ours.
    python("import sys, deltalake; deltalake.DeltaTable(sys.argv[1]).create_checkpoint()", &place).unwrap();
    for version in 0..5 {
        std::fs::remove_file(place.join(format!("_delta_log/{version:020}.json"))).unwrap();
    }
    let mut opened = Lake::open(&url(&folder)).await.unwrap().table(&OBSERVED).await.unwrap();
    assert_eq!((opened.version(), opened.mark("traffic_volume/0#1"), opened.rows()), (5, Some(4), Some(4)));
    assert_eq!(offsets(&opened.scan(None).await.unwrap()), [0, 1, 2, 3]);
    opened.append(&[observed(&[("A-01", 1, 4, 5, 4)])], &mark(Some(4), 5)).await.unwrap();
    opened.checkpoint().await.unwrap();
    let opened = Lake::open(&url(&folder)).await.unwrap().table(&OBSERVED).await.unwrap();
    assert_eq!((opened.mark("traffic_volume/0#1"), offsets(&opened.scan(None).await.unwrap())), (Some(5), vec![0, 1, 2, 3, 4]));
}
