//! `import`: what a file must be, what it changes, and the real archive.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::{ImportError, ImportOptions, ImportReport, import};
use chrono::{DateTime, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;
use insta::assert_snapshot;
use lake::Lake;

use crate::tests::lakes;

const VOLUMES: &str = "observed_at,spot_num,io_type,vol
2022-09-30T23:00:00+09:00,A-01,1,500
2022-09-30T23:00:00+09:00,A-01,2,
2022-10-01T00:00:00+09:00,A-01,1,247
2022-10-01T00:00:00+09:00,B-12,1,0
";

fn options() -> ImportOptions {
    ImportOptions { received_until: None, now: "2023-01-01T00:00:00Z".parse().unwrap() }
}

struct Case {
    folder: tempfile::TempDir,
    lake: Lake,
}

impl Case {
    async fn new() -> Case {
        let folder = tempfile::tempdir().unwrap();
        let lake = lakes::open(&folder.path().join("lake")).await;
        Case { folder, lake }
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    async fn import(&self, bytes: impl AsRef<[u8]>) -> Result<ImportReport, ImportError> {
        self.import_with(bytes, options()).await
    }

    async fn import_with(&self, bytes: impl AsRef<[u8]>, options: ImportOptions) -> Result<ImportReport, ImportError> {
        let path = self.file("file", bytes);
        import(&self.lake, &[path], options, &|_, _| {}).await
    }

    /// The message that a wrong file gets; nothing of it may be in the lake.
    async fn refused(bytes: impl AsRef<[u8]>) -> String {
        let case = Case::new().await;
        let before = lakes::versions(&case.lake).await;
        let message = case.import(bytes).await.unwrap_err().to_string();
        assert_eq!(lakes::versions(&case.lake).await, before, "nothing is committed of a file that is wrong anywhere");
        message.replace(&case.folder.path().display().to_string(), "")
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sheet_becomes_rows_and_their_rollup() {
    let case = Case::new().await;
    let report = case.import(gzip(VOLUMES.as_bytes())).await.unwrap();
    assert_eq!(report, ImportReport { lines: 4, empty: 1, added: 3, commits: 2, windows: 2, ..ImportReport::default() });
    assert_snapshot!(lakes::table(&case.lake, "SELECT spot, direction, lane, observed_at, volume, received_at, topic, \"partition\", \"offset\" FROM observed.traffic_volume ORDER BY \"offset\"").await, @r"
    +------+-----------+------+----------------------+--------+----------------------+-------+-----------+--------+
    | spot | direction | lane | observed_at          | volume | received_at          | topic | partition | offset |
    +------+-----------+------+----------------------+--------+----------------------+-------+-----------+--------+
    | A-01 | 1         | 0    | 2022-09-30T14:00:00Z | 500    | 2022-09-30T15:30:00Z |       |           | 0      |
    | A-01 | 1         | 0    | 2022-09-30T15:00:00Z | 247    | 2022-09-30T16:30:00Z |       |           | 1      |
    | B-12 | 1         | 0    | 2022-09-30T15:00:00Z | 0      | 2022-09-30T16:30:00Z |       |           | 2      |
    +------+-----------+------+----------------------+--------+----------------------+-------+-----------+--------+
    ");
    assert_snapshot!(lakes::table(&case.lake, "SELECT * FROM rollup.traffic_hourly ORDER BY observed_at, spot").await, @r"
    +------+-----------+----------------------+--------+-------+----------------------+
    | spot | direction | observed_at          | volume | lanes | received_at          |
    +------+-----------+----------------------+--------+-------+----------------------+
    | A-01 | 1         | 2022-09-30T14:00:00Z | 500    |       | 2022-09-30T15:30:00Z |
    | A-01 | 1         | 2022-09-30T15:00:00Z | 247    |       | 2022-09-30T16:30:00Z |
    | B-12 | 1         | 2022-09-30T15:00:00Z | 0      |       | 2022-09-30T16:30:00Z |
    +------+-----------+----------------------+--------+-------+----------------------+
    ");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_file_twice_leaves_every_version_as_it_was() {
    let case = Case::new().await;
    case.import(VOLUMES).await.unwrap();
    let before = lakes::versions(&case.lake).await;
    let report = case.import(VOLUMES).await.unwrap();
    assert_eq!(report, ImportReport { lines: 4, empty: 1, known: 3, ..ImportReport::default() });
    assert_eq!(lakes::versions(&case.lake).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overlapping_file_adds_what_is_new_and_revisions_only() {
    let case = Case::new().await;
    case.import(VOLUMES).await.unwrap();
    let report = case.import(VOLUMES.replace(",247", ",250").replace("A-01,2,", "A-01,2,31")).await.unwrap();
    assert_eq!((report.known, report.added, report.revised), (2, 1, 1));
    assert_snapshot!(lakes::table(&case.lake, "SELECT volume, received_at, \"offset\" FROM observed.traffic_volume WHERE \"offset\" >= 3 ORDER BY \"offset\"").await, @r"
    +--------+----------------------+--------+
    | volume | received_at          | offset |
    +--------+----------------------+--------+
    | 31     | 2022-09-30T15:30:00Z | 3      |
    | 250    | 2023-01-01T00:00:00Z | 4      |
    +--------+----------------------+--------+
    ");
    lakes::rollups_equal_their_sql(&case.lake).await;
    assert_eq!(
        lakes::number(
            &case.lake,
            "SELECT volume FROM rollup.traffic_hourly WHERE spot = 'A-01' AND observed_at = '2022-09-30T15:00:00Z'"
        )
        .await,
        250
    );
    let again = case.import(VOLUMES.replace(",247", ",250").replace("A-01,2,", "A-01,2,31")).await.unwrap();
    assert_eq!((again.known, again.commits), (4, 0), "the newest revision is what is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_in_any_order_and_repeated_give_the_last_value() {
    let case = Case::new().await;
    let mut lines: Vec<&str> = VOLUMES.lines().skip(1).collect();
    lines.reverse();
    let text = format!("observed_at,spot_num,io_type,vol\r\n{}\r\n2022-10-01T00:00:00+09:00,A-01,1,9", lines.join("\r\n"));
    let report = case.import(&text).await.unwrap();
    assert_eq!((report.added, report.repeated), (3, 1));
    assert_eq!(
        lakes::number(
            &case.lake,
            "SELECT volume FROM rollup.traffic_hourly WHERE spot = 'A-01' AND observed_at = '2022-09-30T15:00:00Z'"
        )
        .await,
        9
    );
    let before = lakes::versions(&case.lake).await;
    case.import(&text).await.unwrap();
    assert_eq!(lakes::versions(&case.lake).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_received_after_the_start_is_left_out() {
    let case = Case::new().await;
    // 23 h's value could be had at 00:30, 00 h's at 01:30.
    let until: DateTime<Utc> = "2022-09-30T15:30:00Z".parse().unwrap();
    let report = case.import_with(VOLUMES, ImportOptions { received_until: Some(until), now: until }).await.unwrap();
    assert_eq!((report.added, report.empty, report.left_out), (1, 1, 2));
    assert_eq!(
        lakes::number(&case.lake, "SELECT count(*) FROM observed.traffic_volume WHERE received_at <= '2022-09-30T15:30:00Z'")
            .await,
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_file_is_told_by_what_was_expected_found_and_where() {
    assert_snapshot!(Case::refused("date,spot,vol\n1,2,3\n").await, @r#""/file" line 1: expected the header "observed_at,spot_num,io_type,vol" or "spot_num,spot_nm,detector,latitude,longitude,district,address,inflow,outflow", found "date,spot,vol"; nothing was imported"#);
    assert_snapshot!(Case::refused("").await, @r#""/file" line 1: expected the header "observed_at,spot_num,io_type,vol" or "spot_num,spot_nm,detector,latitude,longitude,district,address,inflow,outflow", found ""; nothing was imported"#);
    assert_snapshot!(Case::refused("<html><body>점검 중</body></html>").await, @r#""/file" line 1: expected the header "observed_at,spot_num,io_type,vol" or "spot_num,spot_nm,detector,latitude,longitude,district,address,inflow,outflow", found "<html><body>점검 중</body></html>"; nothing was imported"#);
    assert_snapshot!(Case::refused(VOLUMES.replace("B-12,1,0", "B-12,3,0")).await, @r#""/file" line 5: expected 1 (in) or 2 (out) in the third cell, found "2022-10-01T00:00:00+09:00,B-12,3,0"; nothing was imported"#);
    assert_snapshot!(Case::refused(VOLUMES.replace(",247", ",247.5")).await, @r#""/file" line 4: expected a whole number from 0 to 30000 in the fourth cell, or nothing, found "2022-10-01T00:00:00+09:00,A-01,1,247.5"; nothing was imported"#);
    assert_snapshot!(Case::refused(VOLUMES.replace(",247", ",30001")).await, @r#""/file" line 4: expected a whole number from 0 to 30000 in the fourth cell, or nothing, found "2022-10-01T00:00:00+09:00,A-01,1,30001"; nothing was imported"#);
    assert_snapshot!(Case::refused(VOLUMES.replace("A-01,2,", "A-01,2")).await, @r#""/file" line 3: expected four cells, as 2022-01-01T00:00:00+09:00,A-01,1,479, found "2022-09-30T23:00:00+09:00,A-01,2"; nothing was imported"#);
    assert_snapshot!(Case::refused(VOLUMES.replace("2022-09-30T23:00:00+09:00,A-01,1", "2022-09-30 23:00,A-01,1")).await, @r#""/file" line 2: expected a time with its zone, as 2022-01-01T00:00:00+09:00, in the first cell, found "2022-09-30 23:00,A-01,1,500"; nothing was imported"#);
    assert_snapshot!(Case::refused(VOLUMES.replace("2022-10-01T00:00:00", "2022-10-01T00:30:00")).await, @r#""/file" line 4: expected the beginning of an hour in the first cell, found "2022-10-01T00:30:00+09:00,A-01,1,247"; nothing was imported"#);
    assert_snapshot!(Case::refused(VOLUMES.replace("2022-10", "2023-10")).await, @r#""/file" line 4: expected a time that is not ahead of the city's clock (2023-01-01T00:00:00Z), found "2023-10-01T00:00:00+09:00,A-01,1,247"; nothing was imported"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_archive_imports_nothing() {
    let text = format!("observed_at,spot_num,io_type,vol\n{}", "2022-10-01T00:00:00+09:00,A-01,1,247\n".repeat(100_000));
    let packed = gzip(text.as_bytes());
    assert_snapshot!(Case::refused(&packed[..packed.len() - 9]).await, @r#""/file" is damaged, somewhere after line 85019: incomplete deflate stream; nothing was imported: get the file anew"#);
    let mut changed = packed.clone();
    let last = changed.len() - 5;
    changed[last] ^= 1;
    assert_snapshot!(Case::refused(&changed).await, @r#""/file" is damaged, somewhere after line 85019: corrupt gzip stream does not have a matching checksum; nothing was imported: get the file anew"#);
    assert_snapshot!(import_missing().await, @r#"cannot read "nowhere.csv": No such file or directory (os error 2)"#);
}

async fn import_missing() -> String {
    let case = Case::new().await;
    import(&case.lake, &[PathBuf::from("nowhere.csv")], options(), &|_, _| {}).await.unwrap_err().to_string()
}

const SPOTS: &str = "spot_num,spot_nm,detector,latitude,longitude,district,address,inflow,outflow
A-09,퇴계로(신당역),지자기,37.56546,127.02094,중구,\"서울시 중구, 신당동\",가->나,나->가
B-01,\"동대문, 앞\",지자기,37.5714,127.0098,중구,서울시 중구,가->나,나->가
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_spots_becomes_the_day_s_list_with_metres() {
    let case = Case::new().await;
    let report = case.import(SPOTS).await.unwrap();
    assert_eq!(report, ImportReport { lines: 2, added: 2, commits: 1, ..ImportReport::default() });
    assert_snapshot!(lakes::table(&case.lake, "SELECT spot, observed_at, name, round(x) AS x, round(y) AS y, latitude, longitude, received_at, \"offset\" FROM observed.traffic_spot ORDER BY spot").await, @r"
    +------+----------------------+----------------+----------+----------+----------+-----------+----------------------+--------+
    | spot | observed_at          | name           | x        | y        | latitude | longitude | received_at          | offset |
    +------+----------------------+----------------+----------+----------+----------+-----------+----------------------+--------+
    | A-09 | 2022-12-31T15:00:00Z | 퇴계로(신당역) | 201850.0 | 451770.0 | 37.56546 | 127.02094 | 2022-12-31T15:00:00Z | 0      |
    | B-01 | 2022-12-31T15:00:00Z | 동대문, 앞     | 200866.0 | 452429.0 | 37.5714  | 127.0098  | 2022-12-31T15:00:00Z | 1      |
    +------+----------------------+----------------+----------+----------+----------+-----------+----------------------+--------+
    ");
    let before = lakes::versions(&case.lake).await;
    let later = ImportOptions { now: "2023-02-01T00:00:00Z".parse().unwrap(), ..options() };
    case.import_with(SPOTS, later).await.unwrap();
    assert_eq!(lakes::versions(&case.lake).await, before, "on a later day, too");
    let report = case.import_with(SPOTS.replace("37.5714", "37.5715"), later).await.unwrap();
    assert_eq!((report.known, report.added), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_list_of_spots_is_told_too() {
    assert_snapshot!(Case::refused(SPOTS.replace("37.5714", "47.5714")).await, @r#""/file" line 3: expected a latitude from 37 to 38 degrees in cell 4, found "B-01,동대문, 앞,지자기,47.5714,127.0098,중구,서울시 중구,가->나,나->가"; nothing was imported"#);
    assert_snapshot!(Case::refused(SPOTS.replace("B-01,", ",")).await, @r#""/file" line 3: expected a spot id in cell 1, found ",동대문, 앞,지자기,37.5714,127.0098,중구,서울시 중구,가->나,나->가"; nothing was imported"#);
    assert_snapshot!(Case::refused(SPOTS.replace(",나->가\nB", "\nB")).await, @r#""/file" line 2: expected nine cells: spot_num,spot_nm,detector,latitude,longitude,district,address,inflow,outflow, found "A-09,퇴계로(신당역),지자기,37.56546,127.02094,중구,서울시 중구, 신당동,가->나"; nothing was imported"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_archive_of_2022_is_imported_whole() {
    let Some(archive) = archive() else { return };
    let case = Case::new().await;
    let files = [archive.join("traffic_spots.csv"), archive.join("traffic_volume_2022.csv.gz")];
    let started = Instant::now();
    let report = import(&case.lake, &files, options(), &|_, _| {}).await.unwrap();
    let seconds = started.elapsed().as_secs_f64();
    eprintln!("imported {} lines in {seconds:.2} s: {:.0} lines/s", report.lines, report.lines as f64 / seconds);
    assert_eq!(report.lines, 139 + 2_028_288);
    assert_eq!((report.revised, report.known, report.repeated), (0, 0, 0));
    // Counted with another reader of CSV.
    let (mut values, mut sum) = (0, 0);
    let mut reader = csv::Reader::from_reader(flate2::read::MultiGzDecoder::new(std::fs::File::open(&files[1]).unwrap()));
    for record in reader.records() {
        if let Some(volume) = record.unwrap().get(3).filter(|cell| !cell.is_empty()) {
            values += 1;
            sum += volume.parse::<i64>().unwrap();
        }
    }
    assert_eq!(report.added as i64, values + 139);
    for table in ["observed.traffic_volume", "rollup.traffic_hourly"] {
        assert_eq!(lakes::number(&case.lake, &format!("SELECT count(*) FROM {table}")).await, values, "{table}");
        assert_eq!(lakes::number(&case.lake, &format!("SELECT sum(volume) FROM {table}")).await, sum, "{table}");
    }
    let before = lakes::versions(&case.lake).await;
    let again = import(&case.lake, &files, options(), &|_, _| {}).await.unwrap();
    assert_eq!((again.known, again.commits), (report.added, 0));
    assert_eq!(lakes::versions(&case.lake).await, before);
}

/// The archive beside the project; where it isn't, the test is skipped, unless it is demanded.
fn archive() -> Option<PathBuf> {
    let shared = std::env::var_os("HANGANG_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let archive = shared.join("archive");
    if archive.is_dir() {
        return Some(archive);
    }
    assert!(
        std::env::var_os("HANGANG_DEMAND_SHARED").is_none_or(|value| value != "1"),
        "no archive at {archive:?}; set HANGANG_SHARED"
    );
    eprintln!("skipped: no archive at {archive:?}; set HANGANG_SHARED to the shared folder to run this test");
    None
}
