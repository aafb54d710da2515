//! What goes wrong in a person's hands, and the message that is shown: read as one would at three in the morning.
//!
//! Each case runs the binary. A message is held word by word; folders and ports in it are made plain first.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use chrono::{DateTime, FixedOffset, TimeDelta};
use insta::assert_snapshot;

use crate::support::{Data, Running, SOON, wait_for};

const VOLUMES: &str = "observed_at,spot_num,io_type,vol\n";
const SPOTS: &str = "spot_num,spot_nm,detector,latitude,longitude,district,address,inflow,outflow\n";
/// A city that begins without a past: nothing to import, so that it stands at once.
const NEW: [&str; 2] = ["--set", "city.history_days=0"];

/// A port that another program has taken, for as long as this is held.
fn taken() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

fn gzip(text: &str) -> Vec<u8> {
    let mut program = Command::new("gzip").arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    program.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    program.wait_with_output().unwrap().stdout
}

/// A day of one series, as the archive writes it.
fn a_day() -> String {
    let hours = (0..24).map(|hour| format!("2022-09-01T{hour:02}:00:00+09:00,A-01,1,{}\n", 100 + hour));
    VOLUMES.to_owned() + &hours.collect::<String>()
}

mod starting {
    use super::*;

    #[test]
    fn ports_that_are_taken_are_told_together_before_anything_starts() {
        let data = Data::new();
        let servers = ["SIMULATOR", "KAFKA", "API", "POSTGRES"].map(|server| (server, taken()));
        let mut up = data.hangang(&["up"]);
        for (server, (_, address)) in &servers {
            up.env(format!("HANGANG_{server}_LISTEN"), address);
        }
        let mut said = data.plain(&Running::start("hangang up", up).ended(SOON).badly());
        for (server, (_, address)) in &servers {
            said = said.replace(address.rsplit_once(':').unwrap().1, server);
        }
        assert_snapshot!(said, @r#"
        Hangang 한강 forecasts Seoul.

        city      synthetic, seed 2022, 600 times as fast as real time (a day in 2 min 24 s)
        data      DATA (new)
        hangang: 4 addresses cannot be listened on:
          - port SIMULATOR is in use by another program, and the simulator wants it (simulator.listen = "127.0.0.1:SIMULATOR"); stop that program, or choose another port with --set simulator.listen=127.0.0.1:PORT (0 takes any free one)
          - port KAFKA is in use by another program, and the embedded broker wants it (kafka.listen = "127.0.0.1:KAFKA"); stop that program, or choose another port with --set kafka.listen=127.0.0.1:PORT (0 takes any free one)
          - port API is in use by another program, and the page and the REST API wants it (api.listen = "127.0.0.1:API"); stop that program, or choose another port with --set api.listen=127.0.0.1:PORT (0 takes any free one)
          - port POSTGRES is in use by another program, and the PostgreSQL wire wants it (postgres.listen = "127.0.0.1:POSTGRES"); stop that program, or choose another port with --set postgres.listen=127.0.0.1:PORT (0 takes any free one)
        "#);
        assert!(!data.join("lake").exists(), "nothing was started");
    }

    #[test]
    fn a_stage_alone_says_that_its_port_is_taken() {
        let data = Data::new();
        for (command, option) in [("serve", "POSTGRES"), ("broker", "KAFKA"), ("simulate", "SIMULATOR")] {
            let (_held, address) = taken();
            let mut stage = data.hangang(&[command]);
            stage.env(format!("HANGANG_{option}_LISTEN"), &address);
            let said = Running::start(command, stage).ended(SOON).badly();
            let port = address.rsplit_once(':').unwrap().1;
            assert!(said.contains(&format!("port {port} is in use by another program")), "{said}");
            assert!(said.contains(&format!("--set {}.listen=127.0.0.1:PORT", option.to_lowercase())), "{said}");
        }
    }

    #[test]
    fn two_servers_of_one_city_on_one_port_are_told_apart() {
        let data = Data::new();
        let said =
            data.run(&["config", "--set", "api.listen=127.0.0.1:8088", "--set", "simulator.listen=127.0.0.1:8088"]).badly();
        assert_snapshot!(said.trim(), @r#"
        hangang: the configuration has 1 mistake:
          - simulator.listen and api.listen are both "127.0.0.1:8088"; give one of them another port
        "#);
    }

    #[test]
    fn mistakes_in_the_configuration_are_told_together_each_with_a_hint() {
        let data = Data::new();
        let file = "[kafka]\nbootstap = \"kafka:9092\"\n\n[city]\nspeed = \"fast\"\nstart = \"2022-10-01\"\nhistory_days = -3\n\n[lake]\nurl = \"s3://bucket/lake\"\n\n[postgres]\nlisten = \"localhost\"\n";
        data.write("hangang.toml", file);
        let mut config = data.hangang(&["config", "--set", "log.level=loud", "--set", "procss.linger=1s"]);
        config.env("HANGANG_PROCESS_BATCH_ROWS", "many").env_remove("HANGANG_POSTGRES_LISTEN");
        assert_snapshot!(data.plain(&Running::start("hangang config", config).ended(SOON).badly()), @r#"
        hangang: the configuration has 9 mistakes:
          - hangang.toml line 2: there is no option "kafka.bootstap"; did you mean "kafka.bootstrap"?
          - the command line: there is no option "procss.linger"; did you mean "process.linger"?
          - hangang.toml line 6: city.start = "2022-10-01" is not an instant with its zone, as 2022-10-01T00:00+09:00
          - hangang.toml line 5: city.speed = "fast" is not a speed: city seconds a real second, above 0 and up to 100000, or "stepped"
          - hangang.toml line 10: lake.url = "s3://bucket/lake" is not a lake's address, as file:///srv/lake (s3:// and hdfs:// are not built yet)
          - the command line: log.level = "loud" is not one of error, warn, info, debug, trace
          - hangang.toml line 7: city.history_days = "-3" is not a whole number from 0 to 3650
          - HANGANG_PROCESS_BATCH_ROWS: process.batch_rows = "many" is not a whole number from 1 to 10000000
          - hangang.toml line 13: postgres.listen = "localhost" is not an address to listen on, as 127.0.0.1:8080
        "#);
    }

    #[test]
    fn a_configuration_file_that_is_not_there_is_named() {
        let data = Data::new();
        assert_snapshot!(data.plain(&data.run(&["status", "--config", "other.toml"]).badly()), @r#"
        hangang: the configuration has 1 mistake:
          - cannot read "other.toml": No such file or directory (os error 2)
        "#);
    }

    #[test]
    fn an_option_that_is_none_is_answered_with_the_nearest() {
        let data = Data::new();
        let ended = data.run(&["up", "--sped", "600"]);
        assert_eq!(ended.code, Some(2), "{}", ended.text);
        assert_snapshot!(ended.text.trim(), @r#"
        error: unexpected argument '--sped' found

          tip: a similar argument exists: '--speed'

        Usage: hangang up --speed <N>

        For more information, try '--help'.
        "#);
        let ended = data.run(&["stauts"]);
        assert_eq!(ended.code, Some(2), "{}", ended.text);
        assert_snapshot!(ended.text.trim(), @r#"
        error: unrecognized subcommand 'stauts'

          tip: a similar subcommand exists: 'status'

        Usage: hangang [OPTIONS] <COMMAND>

        For more information, try '--help'.
        "#);
    }

    #[test]
    fn a_second_up_on_the_same_folder_is_refused_and_the_first_goes_on() {
        let data = Data::new();
        let mut first = data.start(&[&["up", "--no-forecasts"], &NEW[..]].concat());
        first.until("its address", SOON, |text| text.contains("Ctrl-C stops it").then_some(()));
        assert_snapshot!(data.plain(&data.run(&[&["up"], &NEW[..]].concat()).badly()), @r#"hangang: another hangang runs on "DATA"; stop it, or choose another folder with --data DIR"#);
        first.terminate(SOON).well();
    }

    #[test]
    fn a_folder_belongs_to_one_city() {
        let data = Data::new();
        let first = ["up", "--speed", "stepped", "--until", "2022-10-01T00:10+09:00", "--no-forecasts"];
        data.run(&[&first[..], &NEW[..]].concat()).well();
        assert_snapshot!(data.plain(&data.run(&[&["up", "--seed", "7"], &NEW[..]].concat()).badly()), @r#"hangang: "DATA" belongs to another city (synthetic seed 2022 from 2022-09-30T15:00:00+00:00 with 0 days before, not synthetic seed 7 from 2022-09-30T15:00:00+00:00 with 0 days before); go on with it by --seed 2022 --start 2022-09-30T15:00:00+00:00, choose another folder with --data DIR, or forget this one with `hangang reset`"#);
    }

    #[test]
    fn a_stepped_city_needs_all_stages_in_one_process() {
        let data = Data::new();
        assert_snapshot!(data.run(&["simulate", "--speed", "stepped"]).badly().trim(), @"hangang: a stepped city's time advances when all due work has landed, which only `hangang up` can see; give a speed, as --speed 600");
    }

    #[test]
    fn a_stage_without_the_others_says_whom_it_misses() {
        let data = Data::new();
        let said = data.run(&["produce", "--kafka", "127.0.0.1:1", "--simulator", "http://127.0.0.1:1"]).badly();
        assert_snapshot!(said.trim(), @r#"hangang: no city clock answers at "http://127.0.0.1:1": Connection refused (os error 111); start it with `hangang simulate` or `hangang up`, or give its address with --simulator URL"#);
        let mut city = data.start(&["simulate"]);
        let url = city.word_after("answers at ", SOON);
        for stage in ["produce", "process"] {
            let said = data.run(&[stage, "--kafka", "127.0.0.1:1", "--simulator", &url]).badly();
            assert!(said.contains("no Kafka answers at \"127.0.0.1:1\""), "{said}");
            assert!(said.contains("start one, or correct its address with --kafka HOST:PORT"), "{said}");
        }
        city.terminate(SOON).well();
    }
}

mod ending {
    use super::*;

    /// A shell's word on how `hangang ARGUMENTS` ends, with its output going where `into` says.
    fn shell(data: &Data, arguments: &str, into: &str) -> (String, String) {
        let mut shell = data.hangang(&[]);
        let program = shell.get_program().to_owned();
        shell = {
            let mut command = Command::new("bash");
            command.envs(shell.get_envs().filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned()))));
            command.current_dir(data.path());
            command
        };
        let script = format!("{} {arguments} {into}; echo \"ended with ${{PIPESTATUS[0]}}\"", program.to_str().unwrap());
        let output = shell.arg("-c").arg(script).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        (text(&output.stdout), text(&output.stderr))
    }

    #[test]
    fn printing_ends_quietly_where_its_reader_has_gone_and_with_an_error_where_nothing_can_be_written() {
        let data = Data::new();
        for command in ["topics", "config --defaults"] {
            let (_, said) = shell(&data, command, "| head -c 1 >/dev/null");
            assert_eq!(said, "", "{command}");
            let (ended, said) = shell(&data, command, ">/dev/full");
            assert_eq!(ended, "ended with 1", "{command}");
            assert_eq!(said, "hangang: cannot write to standard output: No space left on device (os error 28)");
        }
    }

    #[test]
    fn a_city_whose_output_nobody_takes_lives_on_to_its_end() {
        let data = Data::new();
        let city = "up --speed stepped --until 2022-10-01T00:40+09:00 --no-forecasts --set city.history_days=0";
        for into in ["2>&-", "2>/dev/full", ">&- 2>&-"] {
            let (ended, _) = shell(&data, city, into);
            assert_eq!(ended, "ended with 0", "{into}");
        }
    }

    #[test]
    fn a_hangup_is_an_orderly_stop_and_a_second_signal_ends_at_once() {
        let data = Data::new();
        let up = || {
            let mut up = data.start(&[&["up", "--no-forecasts"], &NEW[..]].concat());
            up.until("its address", SOON, |text| text.contains("Ctrl-C stops it").then_some(()));
            up
        };
        let send = |signal: &str, up: &Running| Command::new("kill").args([signal, &up.id().to_string()]).status().unwrap();
        let first = up();
        send("-HUP", &first);
        let said = first.ended(SOON).well();
        assert!(said.contains("stopped   at"), "{said}");
        let second = up();
        send("-TERM", &second);
        send("-TERM", &second);
        // Whichever was quicker: the orderly stop, or the end at once. Neither is a panic, and both end.
        let ended = second.ended(SOON);
        assert!(matches!(ended.code, Some(0 | 130)) && !ended.text.contains("panicked"), "{:?}: {}", ended.code, ended.text);
        up().terminate(SOON).well();
    }

    #[test]
    fn variables_of_any_encoding_are_borne_and_a_misspelt_one_is_told() {
        use std::os::unix::ffi::OsStrExt;
        let data = Data::new();
        let cp949 = std::ffi::OsStr::from_bytes(b"\xbc\xad\xbf\xef");
        let mut config = data.hangang(&["config"]);
        config.env("SOMEBODYS", cp949);
        Running::start("hangang config", config).ended(SOON).well();
        let mut config = data.hangang(&["config"]);
        config.env("HANGANG_CITY_SPEEDS", "60").env("HANGANG_LAKE_URL", cp949).env("HANGANG_CACHE", "/tmp");
        assert_snapshot!(Running::start("hangang config", config).ended(SOON).badly().trim(), @r#"
        hangang: the configuration has 2 mistakes:
          - the environment: there is no option HANGANG_CITY_SPEEDS; did you mean HANGANG_CITY_SPEED?
          - the environment: HANGANG_LAKE_URL = "\xBC\xAD\xBF\xEF" is not UTF-8
        "#);
    }
}

mod forgetting {
    use super::*;

    /// Everything below a folder: names, and what the files hold.
    fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        for entry in std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
            match entry.is_dir() {
                true => found.extend(tree(&entry)),
                false => drop(found.insert(entry.clone(), std::fs::read(&entry).unwrap())),
            }
        }
        found
    }

    /// A city that has lived for a few minutes of its time.
    fn lived(data: &Data) {
        let city = ["up", "--speed", "stepped", "--until", "2022-10-01T01:40+09:00", "--no-forecasts"];
        data.run(&[&city[..], &NEW[..]].concat()).well();
    }

    #[test]
    fn folders_that_only_have_our_names_are_never_deleted_nor_written_to() {
        let data = Data::new();
        for name in ["broker", "lake", "clock", "history", "city"] {
            std::fs::create_dir(data.join(name)).unwrap();
            data.write(&format!("{name}/photograph.jpg"), name);
        }
        let before = tree(data.path());
        assert_snapshot!(data.plain(&data.run(&["reset", "--yes"]).well()), @r#"nothing to forget: "DATA" holds no city"#);
        for command in ["up", "simulate", "broker"] {
            let said = data.plain(&data.run(&[command]).badly());
            assert!(
                said.contains(r#""DATA" holds "history", "broker", "lake", "clock", "city", which Hangang did not make"#),
                "{said}"
            );
        }
        assert_eq!(tree(data.path()), before);
    }

    #[test]
    fn a_reset_deletes_what_it_made_and_names_what_stays() {
        let data = Data::new();
        data.write("photograph.jpg", "a river");
        lived(&data);
        data.write("lake/notes.txt", "what I found out");
        let said = data.plain(&data.run(&["reset", "--yes"]).well());
        assert_snapshot!(said, @r#"
        forgotten: "DATA" is empty of the city, its lake and its topics
        stays: "DATA/lake/notes.txt", which Hangang did not make
        "#);
        let stays: Vec<PathBuf> = tree(data.path()).into_keys().collect();
        assert_eq!(stays, [data.join("lake/notes.txt"), data.join("photograph.jpg")]);
    }

    #[test]
    fn a_folder_from_before_the_marker_is_known_by_its_city() {
        let data = Data::new();
        lived(&data);
        std::fs::remove_file(data.join("hangang-data")).unwrap();
        lived(&data);
        std::fs::remove_file(data.join("hangang-data")).unwrap();
        data.run(&["reset", "--yes"]).well();
        assert_eq!(tree(data.path()), BTreeMap::new());
    }

    #[test]
    fn a_lake_elsewhere_stays_and_is_said_to() {
        let (data, lake) = (Data::new(), Data::new());
        let url = format!("file://{}", lake.path().display());
        let city = ["up", "--speed", "stepped", "--until", "2022-10-01T00:10+09:00", "--no-forecasts", "--lake", &url];
        data.run(&[&city[..], &NEW[..]].concat()).well();
        let before = tree(lake.path());
        let said = data.plain(&data.run(&["reset", "--yes", "--lake", &url]).well());
        assert!(
            said.starts_with("forgotten: \"DATA\" is empty of the city and its topics\nstays: the lake at \"file://"),
            "{said}"
        );
        assert_eq!(tree(lake.path()), before);
        assert_eq!(tree(data.path()), BTreeMap::new(), "what asking had come to is forgotten, too");
    }

    #[test]
    fn a_start_that_is_refused_keeps_nothing() {
        let data = Data::new();
        let (_held, address) = taken();
        let folder = data.join("new");
        let mut up = data.hangang(&["up", "--data", folder.to_str().unwrap()]);
        up.env_remove("HANGANG_DATA_DIR").env("HANGANG_API_LISTEN", &address);
        Running::start("up", up).ended(SOON).badly();
        data.run(&["up", "--archive", "/nowhere", "--data", folder.to_str().unwrap()]).badly();
        assert!(!folder.exists(), "{:?}", tree(&folder).keys());
    }

    #[test]
    fn a_damaged_progress_file_is_a_warning_and_the_city_goes_on() {
        let data = Data::new();
        lived(&data);
        let reached = std::fs::read_to_string(data.join("clock")).unwrap();
        for damage in ["", "half"] {
            for file in ["clock", "city", "asked/traffic_volume", "asked/traffic_spot"] {
                data.write(file, damage);
            }
            let city = ["up", "--speed", "stepped", "--until", "2022-10-01T01:40+09:00", "--no-forecasts"];
            let said = data.plain(&data.run(&[&city[..], &NEW[..]].concat()).well());
            for told in [
                "the line that says whose city this is is damaged",
                "the city's time was damaged; it goes on from",
                "how far asking had come is not known",
            ] {
                assert_eq!(said.matches(told).count(), if told.starts_with("how") { 2 } else { 1 }, "{told}:\n{said}");
            }
            let after = std::fs::read_to_string(data.join("clock")).unwrap();
            assert!(after > reached, "{after} is not after {reached}: time went back");
        }
    }
}

mod importing {
    use super::*;

    #[test]
    fn a_city_that_stands_still_dates_what_is_imported_and_keeps_its_future_to_itself() {
        let data = Data::new();
        let city = ["up", "--speed", "stepped", "--until", "2022-10-01T01:40+09:00", "--no-forecasts"];
        data.run(&[&city[..], &NEW[..]].concat()).well();
        let import = |volume: u32| {
            let lines =
                ["2022-09-01T07:00:00+09:00", "2022-10-05T07:00:00+09:00"].map(|hour| format!("{hour},A-01,1,{volume}\n"));
            let file = data.write("volumes.csv", VOLUMES.to_owned() + &lines.concat());
            data.run(&["import", file.to_str().unwrap()]).well()
        };
        let said = import(100);
        assert!(said.contains("city      now 2022-10-01 01:40 KST: rows that could be had only later"), "{said}");
        assert!(said.contains("1 received after the start"), "{said}");
        import(200);
        let sql = "SELECT volume, received_at FROM observed.traffic_volume WHERE topic IS NULL ORDER BY 1";
        assert_snapshot!(data.run(&["sql", sql, "--format", "csv"]).well().trim(), @r"
        volume,received_at
        100,2022-08-31T23:30:00Z
        200,2022-09-30T16:40:00Z
        ");
    }

    /// What is said of a file that cannot be imported; and that nothing of it was.
    fn refused(name: &str, content: &[u8]) -> String {
        let data = Data::new();
        data.write(name, content);
        data.write("whole.csv", a_day());
        let said = data.plain(&data.run(&["import", "whole.csv", name]).badly());
        let rows = data.run(&["sql", "SELECT count(*) AS rows FROM observed.traffic_volume", "--format", "csv"]).well();
        assert_eq!(rows, "rows\n0\n", "of files given together none is imported when one is damaged");
        said
    }

    #[test]
    fn a_torn_gzip_file_is_named_with_how_far_it_could_be_read() {
        let whole = gzip(&a_day());
        assert_snapshot!(refused("torn.csv.gz", &whole[..whole.len() - 12]), @r#"hangang: "torn.csv.gz" is damaged, at or soon after its beginning: incomplete deflate stream; nothing was imported: get the file anew"#);
    }

    #[test]
    fn a_gzip_file_with_a_wrong_byte_is_named() {
        let mut bytes = gzip(&a_day());
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x55;
        let said = refused("bent.csv.gz", &bytes);
        assert!(said.contains("\"bent.csv.gz\""), "{said}");
        assert!(said.contains("nothing was imported"), "{said}");
    }

    #[test]
    fn another_header_is_told_with_those_that_were_expected() {
        assert_snapshot!(refused("other.csv", b"time,place,vehicles\n2022-09-01T00:00:00+09:00,A-01,7\n"), @r#"hangang: "other.csv" line 1: expected the header "observed_at,spot_num,io_type,vol" or "spot_num,spot_nm,detector,latitude,longitude,district,address,inflow,outflow", found "time,place,vehicles"; nothing was imported"#);
        assert_snapshot!(refused("empty.csv", b""), @r#"hangang: "empty.csv" line 1: expected the header "observed_at,spot_num,io_type,vol" or "spot_num,spot_nm,detector,latitude,longitude,district,address,inflow,outflow", found ""; nothing was imported"#);
    }

    #[test]
    fn a_line_that_makes_no_sense_is_told_with_its_number() {
        let bad = |line: &str| refused("bad.csv", format!("{VOLUMES}2022-09-01T00:00:00+09:00,A-01,1,7\n{line}\n").as_bytes());
        assert_snapshot!(bad("2022-09-01T01:00:00+09:00,A-01,1,seven"), @r#"hangang: "bad.csv" line 3: expected a whole number from 0 to 30000 in the fourth cell, or nothing, found "2022-09-01T01:00:00+09:00,A-01,1,seven"; nothing was imported"#);
        assert_snapshot!(bad("2022-09-01T01:00:00+09:00,A-01,3,7"), @r#"hangang: "bad.csv" line 3: expected 1 (in) or 2 (out) in the third cell, found "2022-09-01T01:00:00+09:00,A-01,3,7"; nothing was imported"#);
        assert_snapshot!(bad("2022-09-31T01:00:00+09:00,A-01,1,7"), @r#"hangang: "bad.csv" line 3: expected a time with its zone, as 2022-01-01T00:00:00+09:00, in the first cell, found "2022-09-31T01:00:00+09:00,A-01,1,7"; nothing was imported"#);
        assert_snapshot!(bad("2022-09-01T01:00:00+09:00,A-01,1"), @r#"hangang: "bad.csv" line 3: expected four cells, as 2022-01-01T00:00:00+09:00,A-01,1,479, found "2022-09-01T01:00:00+09:00,A-01,1"; nothing was imported"#);
        let spots = format!("{SPOTS}A-01,문,loop,91.5,127,종로구,x,y,z\n");
        assert_snapshot!(refused("spots.csv", spots.as_bytes()), @r#"hangang: "spots.csv" line 2: expected a latitude from 37 to 38 degrees in cell 4, found "A-01,문,loop,91.5,127,종로구,x,y,z"; nothing was imported"#);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        assert_snapshot!(Data::new().run(&["import", "nowhere.csv"]).badly().trim(), @r#"hangang: there is no file "nowhere.csv""#);
    }
}

mod asking {
    use super::*;

    fn with_a_day() -> Data {
        let data = Data::new();
        data.write("day.csv", a_day());
        data.run(&["import", "day.csv"]).well();
        data
    }

    #[test]
    fn a_lake_that_is_not_there_is_named_and_not_made() {
        let data = Data::new();
        assert_snapshot!(data.plain(&data.run(&["sql", "SELECT 1"]).badly()), @"hangang: there is no lake at file://DATA/lake/; `hangang up` makes one, or name another with --data DIR or --lake URL");
        for command in ["status", "train", "maintain"] {
            let said = data.run(&[command]).badly();
            assert!(said.contains("there is no lake at"), "{command}: {said}");
        }
        assert!(!data.join("lake").exists());
    }

    #[test]
    fn a_question_that_is_no_sql_is_told_where_it_breaks() {
        let data = with_a_day();
        assert_snapshot!(data.run(&["sql", "SELEC * FROM rollup.traffic_hourly"]).badly().trim(), @"hangang: syntax error: Expected: an SQL statement, found: SELEC at Line: 1, Column: 1");
        assert_snapshot!(data.run(&["sql", "SELECT vol FROM rollup.traffic_hourly"]).badly().trim(), @r#"hangang: column "vol" does not exist; there are: rollup.traffic_hourly.spot, rollup.traffic_hourly.direction, rollup.traffic_hourly.observed_at, rollup.traffic_hourly.volume, rollup.traffic_hourly.lanes, rollup.traffic_hourly.received_at"#);
        assert_snapshot!(data.run(&["sql", "SELECT * FROM rollup.traffic_daily"]).badly().trim(), @r#"hangang: relation "rollup.traffic_daily" does not exist; tables are named with their schema, as in rollup.traffic_hourly; information_schema.tables lists them"#);
        assert_snapshot!(data.run(&["sql", "DROP TABLE observed.traffic_volume"]).badly().trim(), @r#"hangang: cannot execute DROP TABLE: the lake is read-only over this connection; rows come in through topics and `hangang import` only; SELECT, EXPLAIN, SHOW and SET of session parameters are answered"#);
    }

    #[test]
    fn a_target_that_is_none_is_answered_with_those_there_are() {
        let data = Data::new();
        for command in [
            &["train", "--target", "trafic"][..],
            &["backtest", "--target", "trafic", "--from", "2022-09-01", "--to", "2022-09-02"],
        ] {
            let ended = data.run(command);
            assert_eq!(ended.code, Some(2), "{}", ended.text);
            assert!(ended.text.contains("there is no target \"trafic\"; there are traffic_volume"), "{}", ended.text);
        }
    }

    #[test]
    fn dates_that_cannot_be_backtested_are_told_with_what_the_lake_holds() {
        let data = with_a_day();
        let first: DateTime<FixedOffset> = "2022-06-01T12:00:00+09:00".parse().unwrap();
        let backtest =
            |from, to| data.plain(&data.run(&["backtest", "--target", "traffic_volume", "--from", from, "--to", to]).badly());
        assert_snapshot!(backtest("2019-01-01", "2019-01-31"), @r#"hangang: 2019-01-01 cannot be backtested: trees are grown at its month's beginning on 77 days or more, and the lake's history of "traffic_volume" reaches from 2022-09-01 to 2022-09-01 (KST); choose --from 2022-12-01 or later, or import what lies before 2022-09-01"#);
        assert_snapshot!(backtest("2022-09-02", "2022-09-03"), @r#"hangang: 2022-09-02 cannot be backtested: trees are grown at its month's beginning on 77 days or more, and the lake's history of "traffic_volume" reaches from 2022-09-01 to 2022-09-01 (KST); choose --from 2022-12-01 or later, or import what lies before 2022-09-01"#);
        assert_snapshot!(backtest("2022-09-02", "2022-09-01"), @"hangang: a backtest from 2022-09-02 to 2022-09-01 has no date in it; exchange --from and --to");
        // Half a year, of which the end is asked for too late.
        let days =
            (0..184).map(|day| format!("{}T12:00:00+09:00,A-01,1,{}\n", (first + TimeDelta::days(day)).date_naive(), 100 + day));
        data.write("half.csv", VOLUMES.to_owned() + &days.collect::<String>());
        data.run(&["import", "half.csv"]).well();
        assert_snapshot!(backtest("2022-10-01", "2023-10-01"), @r#"hangang: 2023-10-01 cannot be backtested: the lake's history of "traffic_volume" reaches from 2022-06-01 to 2022-12-01 (KST); choose an earlier --to"#);
        let ended = data.run(&["backtest", "--target", "traffic_volume", "--from", "2022-09-31", "--to", "2022-10-01"]);
        assert_eq!(ended.code, Some(2), "{}", ended.text);
        assert_snapshot!(ended.text.trim(), @r#"
        error: invalid value '2022-09-31' for '--from <DATE>': there is no such date; give one as 2022-09-01

        For more information, try '--help'.
        "#);
    }

    #[test]
    fn a_walk_needs_a_feed_and_a_series_that_exist() {
        let data = with_a_day();
        assert_snapshot!(data.run(&["walk", "traffic", "A-01"]).badly().trim(), @r#"hangang: there is no feed "traffic"; there are traffic_spot, traffic_volume"#);
        let mut city = data.start(&["simulate"]);
        let url = city.word_after("answers at ", SOON);
        let said = data.run(&["walk", "traffic_volume", "Z-99", "--simulator", &url]).badly();
        assert_snapshot!(said.lines().last().unwrap(), @r#"hangang: neither the answer nor the lake knows a series "Z-99" of traffic_volume; its series are named by spot/direction/lane, as A-01/1/1"#);
        city.terminate(SOON).well();
    }
}

mod losing {
    use super::*;

    /// Numbers vary with the city's parameters, the words don't.
    fn without_numbers(text: &str) -> String {
        let mut plain = String::new();
        for letter in text.chars() {
            if !letter.is_ascii_digit() {
                plain.push(letter);
            } else if !plain.ends_with('#') {
                plain.push('#');
            }
        }
        plain
    }

    #[test]
    fn a_wiped_broker_under_a_kept_lake_is_said_and_resolved_by_either_command() {
        let data = Data::new();
        let until = |time| data.run(&[&["up", "--speed", "stepped", "--until", time, "--no-forecasts"], &NEW[..]].concat());
        until("2022-10-01T03:00+09:00").well();
        let landed = || {
            let query =
                "SELECT generation, count(*) AS rows FROM observed.traffic_volume GROUP BY generation ORDER BY generation";
            data.run(&["sql", query, "--format", "csv"]).well()
        };
        let before = landed();
        std::fs::remove_dir_all(data.join("broker")).unwrap();

        let said = until("2022-10-01T05:00+09:00").badly();
        let said: Vec<&str> = said.lines().filter(|line| line.starts_with("hangang: ") || line.starts_with("topic ")).collect();
        // What is asked for anew may have filled a topic again before the processor looks: then it says that.
        let refilled =
            "the record at offset # is not the one that was landed from there: the topic was made anew and filled again";
        let wiped = "the topic ends at offset #, but it was landed up to #: it was wiped or made anew";
        assert_snapshot!(without_numbers(&said.join("\n")).replace(refilled, wiped), @r#"
        hangang: time stands: what is published cannot be landed: topic "traffic_spot" stands still: traffic_spot/#: the topic ends at offset #, but it was landed up to #: it was wiped or made anew. What was landed stays as it is. To read the topic from its start as a new one: hangang process --new-generation traffic_spot. To go on from where it starts, without what is gone: hangang process --accept-loss traffic_spot (either with this one's --data, --kafka and --lake)
        topic "traffic_volume" stands still: traffic_volume/#: the topic ends at offset #, but it was landed up to #: it was wiped or made anew; traffic_volume/#: the topic ends at offset #, but it was landed up to #: it was wiped or made anew; traffic_volume/#: the topic ends at offset #, but it was landed up to #: it was wiped or made anew; traffic_volume/#: the topic ends at offset #, but it was landed up to #: it was wiped or made anew. What was landed stays as it is. To read the topic from its start as a new one: hangang process --new-generation traffic_volume. To go on from where it starts, without what is gone: hangang process --accept-loss traffic_volume (either with this one's --data, --kafka and --lake)
        "#);
        assert_eq!(landed(), before, "nothing is skipped, and nothing taken for a repeat");

        // Either command, while nothing else runs: the embedded broker answers for as long as it takes.
        let said = data.run(&["process", "--new-generation", "traffic_volume"]).well();
        assert_snapshot!(said.trim(), @r#"
        resolved  traffic_volume/0#1 goes on from offset 0
        resolved  traffic_volume/1#1 goes on from offset 0
        resolved  traffic_volume/2#1 goes on from offset 0
        resolved  traffic_volume/3#1 goes on from offset 0
        next      start `hangang up` or `hangang process`; one that runs goes on by itself
        "#);
        let said = data.run(&["process", "--accept-loss", "traffic_spot"]).well();
        assert_snapshot!(said.trim(), @r#"
        resolved  traffic_spot/0#1 goes on from offset 0
        next      start `hangang up` or `hangang process`; one that runs goes on by itself
        "#);
        until("2022-10-01T05:00+09:00").well();
        let after = landed();
        assert!(after.starts_with(before.trim_end()), "what was landed stays: before {before}after {after}");
        assert!(after.lines().count() == before.lines().count() + 1, "the new generation has landed: {after}");
    }

    #[test]
    fn a_city_that_runs_goes_on_by_itself_once_its_loss_is_resolved() {
        let data = Data::new();
        let up = |more: &[&'static str]| [&["up", "--no-forecasts"], more, &NEW[..]].concat();
        data.run(&up(&["--speed", "stepped", "--until", "2022-10-01T03:00+09:00"])).well();
        std::fs::remove_dir_all(data.join("broker")).unwrap();
        let mut running = data.start(&up(&["--speed", "3600"]));
        let kafka = running.word_after("kafka     ", SOON);
        running.until("both topics to stand still", SOON, |text| {
            ["traffic_spot", "traffic_volume"].iter().all(|topic| text.contains(&format!("{topic}\" stands still"))).then_some(())
        });
        for topic in ["traffic_spot", "traffic_volume"] {
            data.run(&["process", "--new-generation", topic, "--kafka", &kafka]).well();
        }
        let query = "SELECT count(*) FROM observed.traffic_volume WHERE generation = 1";
        wait_for("rows of the new generation", SOON, || {
            let said = data.run(&["sql", query, "--format", "csv"]).well();
            let rows: Option<u64> = said.lines().last().and_then(|line| line.parse().ok());
            if rows.is_some_and(|rows| rows > 0) { Ok(()) } else { Err(said) }
        });
        running.terminate(Duration::from_secs(60)).well();
    }

    #[test]
    fn a_topic_that_is_no_feeds_is_answered_with_those_there_are() {
        let data = Data::new();
        data.write("day.csv", a_day());
        data.run(&["import", "day.csv"]).well();
        assert_snapshot!(data.run(&["process", "--new-generation", "trafic"]).badly().trim(), @r#"hangang: topic "trafic" is no feed's; there are traffic_spot, traffic_volume, and each with .dlq for its dead letters"#);
        assert_snapshot!(data.run(&["process", "--accept-loss", "traffic_volume"]).badly().trim(), @r#"hangang: no partition of topic "traffic_volume" stands still: there is no loss to accept"#);
    }

    /// A command on a disk of its own, in a mount namespace of its own; none where this may not be done here.
    fn on_a_small_disk(data: &Data, size: &str, arguments: &[&str]) -> Option<Command> {
        let disk = data.join("disk");
        std::fs::create_dir_all(&disk).unwrap();
        let script = format!("mount -t tmpfs -o size={size} none '{}' && exec \"$@\"", disk.display());
        let apart: &[&str] = if is_root() { &["--mount"] } else { &["--map-root-user", "--mount"] };
        let mut trial = Command::new("unshare");
        trial.args(apart).args(["sh", "-c", &script, "sh", "true"]);
        if !trial.output().is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: a small disk needs the right to mount one (root, or user namespaces)");
            return None;
        }
        let inner = data.hangang(arguments);
        let mut command = Command::new("unshare");
        command.args(apart).args(["sh", "-c", &script, "sh"]).arg(inner.get_program()).args(inner.get_args());
        command.current_dir(data.path()).envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("HANGANG_DATA_DIR", &disk);
        Some(command)
    }

    fn is_root() -> bool {
        Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
    }

    #[test]
    fn an_import_without_room_on_the_disk_says_so_and_leaves_nothing_half_written() {
        let data = Data::new();
        let mut lines = VOLUMES.to_owned();
        for number in 0..240_000_u64 {
            let (day, hour, spot) = (number / 24 % 28 + 1, number % 24, number / 672);
            // Volumes that don't compress away.
            let mixed = (number ^ (number >> 7)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let volume = ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33) % 29_989;
            lines += &format!("2022-09-{day:02}T{hour:02}:00:00+09:00,A-{spot:02},1,{volume}\n");
        }
        data.write("many.csv", lines);
        let Some(import) = on_a_small_disk(&data, "256k", &["import", "many.csv"]) else { return };
        assert_snapshot!(data.plain(&Running::start("hangang import", import).ended(SOON).badly()), @r#"hangang: no room left at "file://DATA/disk/lake/observed/traffic_volume/" (No space left on device (os error 28)); free some space there or move the lake: nothing was half written, and what waits for room goes on by itself; the import has ended: give the same files again, what is landed already is not landed twice"#);
    }

    #[test]
    fn a_fault_within_ends_the_city_in_order_and_the_next_start_goes_on() {
        let data = Data::new();
        let arguments = [&["up", "--no-forecasts", "--speed", "3600"], &NEW[..]].concat();
        let with_a_fault_at = |point: &str| {
            let mut up = data.hangang(&arguments);
            up.env("HANGANG_KILL_NOTES", data.join("notes")).env("HANGANG_FAULT_AT", format!("{point}:1"));
            let said = Running::start("hangang up", up).ended(SOON).badly();
            assert!(said.contains(&format!("asks for a fault here, at {point}")), "{said}");
            said.lines().last().unwrap().to_owned()
        };
        assert_snapshot!(with_a_fault_at("land.before-commit"), @"hangang: the processor has ended by a fault of its own, told above; nothing is lost: start again, and it goes on from what has landed");
        assert_snapshot!(with_a_fault_at("compact.before-commit").split_once("it goes on").unwrap().0, @"hangang: a schedule has ended by a fault of its own, told above; nothing is lost: start again, and ");
        let mut up = data.start(&arguments);
        up.until("rows to land", SOON, |text| text.contains(" rows landed").then_some(()));
        up.terminate(Duration::from_secs(60)).well();
    }

    #[test]
    fn a_city_whose_disk_is_full_says_so_and_goes_on_when_there_is_room() {
        let data = Data::new();
        let arguments = [&["up", "--no-forecasts", "--speed", "3600"], &NEW[..]].concat();
        let Some(up) = on_a_small_disk(&data, "64m", &arguments) else { return };
        let mut up = Running::start("hangang up", up);
        up.until("its address", SOON, |text| text.contains("Ctrl-C stops it").then_some(()));
        // The disk as the process sees it.
        let disk = format!("/proc/{}/root{}", up.id(), data.join("disk").display());
        let ballast = format!("{disk}/ballast");
        let mut file = std::fs::File::create(&ballast).unwrap();
        let zeros = vec![0; 64 * 1024];
        while file.write_all(&zeros).is_ok() {}
        drop(file);
        let full = up.until("that the disk is full", SOON, |text| {
            let line = text.lines().find(|line| line.to_lowercase().contains("no room") || line.contains("No space"))?;
            Some(line.to_owned())
        });
        println!("{full}");
        let before = up.text().len();
        std::fs::remove_file(&ballast).unwrap();
        // Rows are landed again: the line that lives says how many there are.
        let rows = |text: &str| -> Vec<u64> {
            text.split(" rows landed").filter_map(|part| part.rsplit(' ').next()?.replace(',', "").parse().ok()).collect()
        };
        let stood = rows(&up.text()).last().copied().unwrap_or(0);
        up.until("rows to land again", SOON, |text| rows(&text[before..]).iter().any(|now| *now > stood).then_some(()));
        up.terminate(Duration::from_secs(60)).well();
    }
}
