//! An archive behind the same answers.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use crate::{Source, open};

use crate::tests::{Running, config, numbers, refused, shared, texts};

const SPOTS: &str = "spot_num,spot_nm,detector,latitude,longitude,district,address,inflow,outflow\n\
                     A-01,가온로(사거리),영상,37.56546,127.02094,중구,서울시 중구 가온로 1,[가온로]시장->공원,[가온로]공원->시장\n";
const VOLUMES: &str = "observed_at,spot_num,io_type,vol\n\
                       2022-10-01T00:00:00+09:00,A-01,1,1479\n\
                       2022-10-01T00:00:00+09:00,A-01,2,\n\
                       2022-10-01T01:00:00+09:00,A-01,1,780\n";

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn source(folder: &Path) -> Source {
    Source::Archive { folder: folder.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_is_shared_by_lanes_and_published_exactly_after_the_delay() {
    let folder = folder(&[("traffic_spots.csv", SPOTS), ("traffic_volume_2022.csv", VOLUMES)]);
    let mut city = Running::start(source(folder.path()), "2022-09-30T16:29:59Z").await;
    assert!(city.ask("xml/VolInfo/1/1000/A-01/20221001/00/").await.contains("INFO-200"));
    city.pass(chrono::TimeDelta::seconds(1)).await;
    let body = city.ask("xml/VolInfo/1/1000/A-01/20221001/00/").await;
    assert_eq!(texts(&body, "io_type"), ["1", "1", "1"], "an empty cell is no row");
    assert_eq!(numbers(&body, "lane_num"), [1, 2, 3]);
    assert_eq!(numbers(&body, "vol").iter().sum::<u32>(), 1479);
    assert!(city.ask("xml/VolInfo/1/1000/B-01/20221001/00/").await.contains("INFO-200"));
    let spots = city.ask("xml/SpotInfo/1/1000/").await;
    insta::assert_snapshot!(spots.replace("<row>", "\n<row>"), @r#"
    <?xml version="1.0" encoding="UTF-8" standalone="yes"?><SpotInfo><list_total_count>1</list_total_count><RESULT><CODE>INFO-000</CODE><MESSAGE>정상 처리되었습니다</MESSAGE></RESULT>
    <row><spot_num>A-01</spot_num><spot_nm>가온로(사거리)</spot_nm><grs80tm_x>201850.011197</grs80tm_x><grs80tm_y>451769.581382</grs80tm_y></row></SpotInfo>
    "#);
    assert_eq!(city.simulator.city().history_files(), [folder.path().join("traffic_volume_2022.csv")]);
}

#[test]
fn a_later_file_adds_its_hours_and_its_value_stands_for_an_earlier_one() {
    let more = "observed_at,spot_num,io_type,vol\n\
                2022-10-01T01:00:00+09:00,A-01,1,790\n\
                2022-10-01T01:00:00+09:00,A-00,2,5\n\
                2022-10-01T03:00:00+09:00,A-01,1,300\n";
    let folder = folder(&[("traffic_spots.csv", SPOTS), ("traffic_volume_1.csv", VOLUMES), ("traffic_volume_2.csv", more)]);
    let city = open(&source(folder.path())).unwrap();
    assert_eq!(city.ids(), ["A-00", "A-01"]);
    let totals = |hour: &str| city.totals(format!("2022-09-30T{hour}:00:00Z").parse().unwrap());
    assert_eq!(totals("15"), [None, None, Some(1479), None]);
    assert_eq!(totals("16"), [None, Some(5), Some(790), None]);
    assert_eq!(totals("17"), [None; 4]);
    assert_eq!(totals("18"), [None, None, Some(300), None]);
    assert_eq!(totals("14"), [None; 4], "before the first hour");
    assert_eq!(totals("19"), [None; 4], "after the last");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_archive_lacks_or_breaks_is_said_with_its_place() {
    let stamp = "2022-10-01T00:00:00+09:00";
    let mut messages = Vec::new();
    for files in [
        vec![("traffic_volume.csv", VOLUMES.to_owned())],
        vec![("traffic_spots.csv", SPOTS.to_owned())],
        vec![("traffic_spots.csv", SPOTS.to_owned()), ("traffic_volume.csv", VOLUMES.replace("vol", "volume"))],
        vec![("traffic_spots.csv", SPOTS.replace("37.56546", "north")), ("traffic_volume.csv", VOLUMES.to_owned())],
        vec![("traffic_spots.csv", SPOTS.to_owned()), ("traffic_volume.csv", format!("{VOLUMES}{stamp},A-01,1,30001\n"))],
        vec![("traffic_spots.csv", SPOTS.to_owned()), ("traffic_volume.csv", format!("{VOLUMES}{stamp},A-01,1,-1\n"))],
        vec![("traffic_spots.csv", SPOTS.to_owned()), ("traffic_volume.csv", format!("{VOLUMES}{stamp},A-01,3,7\n"))],
        vec![("traffic_spots.csv", SPOTS.to_owned()), ("traffic_volume.csv", format!("{VOLUMES}2022-10-01,A-01,1,7\n"))],
        vec![("traffic_spots.csv", SPOTS.to_owned()), ("traffic_volume.csv", format!("{VOLUMES}{stamp},A-01\n"))],
        vec![("traffic_spots.csv", SPOTS.to_owned()), ("traffic_volume.csv", "observed_at,spot_num,io_type,vol\n".to_owned())],
        vec![("traffic_spots.csv", SPOTS.to_owned()), ("traffic_volume.csv.gz", VOLUMES.to_owned())],
    ] {
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let folder = folder(&files);
        let error = refused(config(source(folder.path())), "2022-10-01T00:00:00Z").await;
        messages.push(error.to_string().replace(&folder.path().display().to_string(), "FOLDER"));
    }
    insta::assert_snapshot!(messages.join("\n"), @r#"
    no "traffic_spots.csv" in the archive folder "FOLDER"; give the folder that holds it with --archive
    no "traffic_volume*.csv[.gz]" in the archive folder "FOLDER"; give the folder that holds it with --archive
    "FOLDER/traffic_volume.csv" has another header than an archive's: expected "observed_at,spot_num,io_type,vol", found "observed_at,spot_num,io_type,volume"
    damaged line 2 of "FOLDER/traffic_spots.csv": "north" is not a number of degrees; mend or remove the line, or fetch the file again
    damaged line 5 of "FOLDER/traffic_volume.csv": vol "30001" is not a whole number of vehicles from 0 to 30000; mend or remove the line, or fetch the file again
    damaged line 5 of "FOLDER/traffic_volume.csv": vol "-1" is not a whole number of vehicles from 0 to 30000; mend or remove the line, or fetch the file again
    damaged line 5 of "FOLDER/traffic_volume.csv": io_type "3" is neither 1 nor 2; mend or remove the line, or fetch the file again
    damaged line 5 of "FOLDER/traffic_volume.csv": "2022-10-01" is not a time with its offset, as 2022-01-01T00:00:00+09:00; mend or remove the line, or fetch the file again
    damaged line 5 of "FOLDER/traffic_volume.csv": 2 cells where 4 are expected; mend or remove the line, or fetch the file again
    "FOLDER/traffic_volume.csv" holds no row; an archive has at least an hour
    damaged line 1 of "FOLDER/traffic_volume.csv.gz": invalid gzip header; mend or remove the line, or fetch the file again
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_archive_is_said() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, VOLUMES.as_bytes()).unwrap();
    let bytes = gzip.finish().unwrap();
    let folder = folder(&[("traffic_spots.csv", SPOTS)]);
    std::fs::write(folder.path().join("traffic_volume.csv.gz"), &bytes[..bytes.len() - 9]).unwrap();
    let error = refused(config(source(folder.path())), "2022-10-01T00:00:00Z").await.to_string();
    assert!(error.contains("damaged line") && error.contains("traffic_volume.csv.gz"), "{error}");
}

/// Values of one day in Seoul of the raw archive, read without the simulator's code.
fn day_of(path: &Path, date: &str) -> BTreeMap<(String, String, String), u32> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    let lines = text.lines().filter(|line| line.starts_with(date) && !line.ends_with(','));
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            ((cells[0][11..13].to_owned(), cells[1].to_owned(), cells[2].to_owned()), cells[3].parse().unwrap())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_the_real_city_is_answered_whole() {
    let Some(archive) = shared("archive") else { return };
    let city = Running::start(source(&archive), "2022-10-02T15:30:00Z").await;
    let expected = day_of(&archive.join("traffic_volume_2022.csv.gz"), "2022-10-01");
    assert_eq!(expected.len(), 5727);
    let mut answered = BTreeMap::new();
    let spots = city.ask("xml/SpotInfo/1/1000/").await;
    for spot in texts(&spots, "spot_num") {
        for hour in (0..24).map(|hour| format!("{hour:02}")) {
            let body = city.ask(&format!("xml/VolInfo/1/1000/{spot}/20221001/{hour}/")).await;
            assert!(numbers(&body, "lane_num").iter().all(|lane| (1..=6).contains(lane)));
            for (direction, volume) in texts(&body, "io_type").into_iter().zip(numbers(&body, "vol")) {
                *answered.entry((hour.clone(), spot.to_owned(), direction.to_owned())).or_insert(0) += volume;
            }
        }
    }
    assert_eq!(answered, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_spots_lie_where_the_recorded_answer_has_them() {
    let (Some(archive), Some(payloads)) = (shared("archive"), shared("payloads")) else { return };
    let city = Running::start(source(&archive), "2022-10-01T00:00:00Z").await;
    let body = city.ask("xml/SpotInfo/1/1000/").await;
    let metres = |element| texts(&body, element).into_iter().map(|text| text.parse::<f64>().unwrap());
    let answered: BTreeMap<&str, (f64, f64)> =
        texts(&body, "spot_num").into_iter().zip(metres("grs80tm_x").zip(metres("grs80tm_y"))).collect();
    assert_eq!(answered.len(), 139);
    let recorded = std::fs::read_to_string(payloads.join("seoul_spotinfo_2021.tsv")).unwrap();
    let mut distances: Vec<f64> = recorded
        .lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<&str> = line.split('\t').collect();
            let (x, y) = answered[cells[0]];
            (x - cells[2].parse::<f64>().unwrap()).hypot(y - cells[3].parse::<f64>().unwrap())
        })
        .collect();
    distances.sort_by(f64::total_cmp);
    // Two surveys of the same places a year apart: a few have moved by streets, the most by a few metres.
    let (half, most) = (distances[distances.len() / 2], distances[distances.len() * 4 / 5]);
    assert!(distances.len() == 30 && half < 35.0 && most < 100.0, "{distances:.0?}");
}
