//! What goes wrong in a person's hands, and the message that is shown: read as one would at three in the morning.
//!
//! Each case runs the binary. A message is held word by word; folders and ports in it are made plain first.

mod support;

use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use chrono::{DateTime, FixedOffset, TimeDelta};
use insta::assert_snapshot;

use crate::support::{Data, Running, SOON};

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
        assert_snapshot!(said, @"");
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
        assert_snapshot!(said.trim(), @"");
    }

    #[test]
    fn mistakes_in_the_configuration_are_told_together_each_with_a_hint() {
        let data = Data::new();
        let file = "[kafka]\nbootstap = \"kafka:9092\"\n\n[city]\nspeed = \"fast\"\nstart = \"2022-10-01\"\nhistory_days = -3\n\n[lake]\nurl = \"s3://bucket/lake\"\n\n[postgres]\nlisten = \"localhost\"\n";
        data.write("hangang.toml", file);
        let mut config = data.hangang(&["config", "--set", "log.level=loud", "--set", "procss.linger=1s"]);
        config.env("HANGANG_PROCESS_BATCH_ROWS", "many").env_remove("HANGANG_POSTGRES_LISTEN");
        assert_snapshot!(data.plain(&Running::start("hangang config", config).ended(SOON).badly()), @"");
    }

    #[test]
    fn a_configuration_file_that_is_not_there_is_named() {
        let data = Data::new();
        assert_snapshot!(data.plain(&data.run(&["status", "--config", "other.toml"]).badly()), @"");
    }

    #[test]
    fn an_option_that_is_none_is_answered_with_the_nearest() {
        let data = Data::new();
        let ended = data.run(&["up", "--sped", "600"]);
        assert_eq!(ended.code, Some(2), "{}", ended.text);
        assert_snapshot!(ended.text.trim(), @"");
        let ended = data.run(&["stauts"]);
        assert_eq!(ended.code, Some(2), "{}", ended.text);
        assert_snapshot!(ended.text.trim(), @"");
    }

    #[test]
    fn a_second_up_on_the_same_folder_is_refused_and_the_first_goes_on() {
        let data = Data::new();
        let mut first = data.start(&[&["up", "--no-forecasts"], &NEW[..]].concat());
        first.until("its address", SOON, |text| text.contains("Ctrl-C stops it").then_some(()));
        assert_snapshot!(data.plain(&data.run(&[&["up"], &NEW[..]].concat()).badly()), @"");
        first.terminate(SOON).well();
    }

    #[test]
    fn a_folder_belongs_to_one_city() {
        let data = Data::new();
        let first = ["up", "--speed", "stepped", "--until", "2022-10-01T00:10+09:00", "--no-forecasts"];
        data.run(&[&first[..], &NEW[..]].concat()).well();
        assert_snapshot!(data.plain(&data.run(&[&["up", "--seed", "7"], &NEW[..]].concat()).badly()), @"");
    }

    #[test]
    fn a_stepped_city_needs_all_stages_in_one_process() {
        let data = Data::new();
        assert_snapshot!(data.run(&["simulate", "--speed", "stepped"]).badly().trim(), @"");
    }

    #[test]
    fn a_stage_without_the_others_says_whom_it_misses() {
        let data = Data::new();
        let said = data.run(&["produce", "--kafka", "127.0.0.1:1", "--simulator", "http://127.0.0.1:1"]).badly();
        assert_snapshot!(said.trim(), @"");
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

mod importing {
    use super::*;

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
        assert_snapshot!(refused("torn.csv.gz", &whole[..whole.len() - 12]), @"");
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
        assert_snapshot!(refused("other.csv", b"time,place,vehicles\n2022-09-01T00:00:00+09:00,A-01,7\n"), @"");
        assert_snapshot!(refused("empty.csv", b""), @"");
    }

    #[test]
    fn a_line_that_makes_no_sense_is_told_with_its_number() {
        let bad = |line: &str| refused("bad.csv", format!("{VOLUMES}2022-09-01T00:00:00+09:00,A-01,1,7\n{line}\n").as_bytes());
        assert_snapshot!(bad("2022-09-01T01:00:00+09:00,A-01,1,seven"), @"");
        assert_snapshot!(bad("2022-09-01T01:00:00+09:00,A-01,3,7"), @"");
        assert_snapshot!(bad("2022-09-31T01:00:00+09:00,A-01,1,7"), @"");
        assert_snapshot!(bad("2022-09-01T01:00:00+09:00,A-01,1"), @"");
        let spots = format!("{SPOTS}A-01,문,loop,91.5,127,종로구,x,y,z\n");
        assert_snapshot!(refused("spots.csv", spots.as_bytes()), @"");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        assert_snapshot!(Data::new().run(&["import", "nowhere.csv"]).badly().trim(), @"");
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
        assert_snapshot!(data.plain(&data.run(&["sql", "SELECT 1"]).badly()), @"");
        for command in ["status", "train", "maintain"] {
            let said = data.run(&[command]).badly();
            assert!(said.contains("there is no lake at"), "{command}: {said}");
        }
        assert!(!data.join("lake").exists());
    }

    #[test]
    fn a_question_that_is_no_sql_is_told_where_it_breaks() {
        let data = with_a_day();
        assert_snapshot!(data.run(&["sql", "SELEC * FROM rollup.traffic_hourly"]).badly().trim(), @"");
        assert_snapshot!(data.run(&["sql", "SELECT vol FROM rollup.traffic_hourly"]).badly().trim(), @"");
        assert_snapshot!(data.run(&["sql", "SELECT * FROM rollup.traffic_daily"]).badly().trim(), @"");
        assert_snapshot!(data.run(&["sql", "DROP TABLE observed.traffic_volume"]).badly().trim(), @"");
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
        assert_snapshot!(backtest("2019-01-01", "2019-01-31"), @"");
        assert_snapshot!(backtest("2022-09-02", "2022-09-03"), @"");
        assert_snapshot!(backtest("2022-09-02", "2022-09-01"), @"");
        // Half a year, of which the end is asked for too late.
        let days =
            (0..184).map(|day| format!("{}T12:00:00+09:00,A-01,1,{}\n", (first + TimeDelta::days(day)).date_naive(), 100 + day));
        data.write("half.csv", VOLUMES.to_owned() + &days.collect::<String>());
        data.run(&["import", "half.csv"]).well();
        assert_snapshot!(backtest("2022-10-01", "2023-10-01"), @"");
        let ended = data.run(&["backtest", "--target", "traffic_volume", "--from", "2022-09-31", "--to", "2022-10-01"]);
        assert_eq!(ended.code, Some(2), "{}", ended.text);
        assert_snapshot!(ended.text.trim(), @"");
    }

    #[test]
    fn a_walk_needs_a_feed_and_a_series_that_exist() {
        let data = with_a_day();
        assert_snapshot!(data.run(&["walk", "traffic", "A-01"]).badly().trim(), @"");
        let mut city = data.start(&["simulate"]);
        let url = city.word_after("answers at ", SOON);
        let said = data.run(&["walk", "traffic_volume", "Z-99", "--simulator", &url]).badly();
        assert_snapshot!(said.lines().last().unwrap(), @"");
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
        assert_snapshot!(without_numbers(&said.join("\n")), @"");
        assert_eq!(landed(), before, "nothing is skipped, and nothing taken for a repeat");

        // Either command, while nothing else runs: the embedded broker answers for as long as it takes.
        let said = data.run(&["process", "--new-generation", "traffic_volume"]).well();
        assert_snapshot!(said.trim(), @"");
        let said = data.run(&["process", "--accept-loss", "traffic_spot"]).well();
        assert_snapshot!(said.trim(), @"");
        until("2022-10-01T05:00+09:00").well();
        let after = landed();
        assert!(after.starts_with(before.trim_end()), "what was landed stays: before {before}after {after}");
        assert!(after.lines().count() == before.lines().count() + 1, "the new generation has landed: {after}");
    }

    #[test]
    fn a_topic_that_is_no_feeds_is_answered_with_those_there_are() {
        let data = Data::new();
        data.write("day.csv", a_day());
        data.run(&["import", "day.csv"]).well();
        assert_snapshot!(data.run(&["process", "--new-generation", "trafic"]).badly().trim(), @"");
        assert_snapshot!(data.run(&["process", "--accept-loss", "traffic_volume"]).badly().trim(), @"");
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
        for number in 0..60_000 {
            let (day, hour, spot) = (number / 24 % 28 + 1, number % 24, number / 672);
            // Volumes that don't compress away.
            let volume = (number * 2_654_435_761_u64) % 29_989;
            lines += &format!("2022-09-{day:02}T{hour:02}:00:00+09:00,A-{spot:02},1,{volume}\n");
        }
        data.write("many.csv", lines);
        let Some(import) = on_a_small_disk(&data, "256k", &["import", "many.csv"]) else { return };
        assert_snapshot!(data.plain(&Running::start("hangang import", import).ended(SOON).badly()), @"");
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
