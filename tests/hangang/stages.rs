//! Every stage as a process of its own, on a real Kafka: what `docker-compose.yml` runs, without the containers.
//!
//! The processes share a Kafka, a lake and the simulator's clock, and nothing else: each has a data folder of its own.
//! Readers that share no code with Hangang do the judging. `make kafka` runs it: it needs a JVM, and takes minutes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use catalog::FEEDS;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::support::{Data, Running, reader, wait_for};

/// City time when the city begins; nothing older is polled.
const START: &str = "2022-10-01T00:00:00+09:00";
/// City seconds a real second: fast enough for a day in minutes, slow enough for six processes on two cores.
const SPEED: &str = "600";
/// Days of history: just enough to grow trees on.
const HISTORY: &str = "city.history_days=80";
/// A stage's start, on a machine that does much else.
const STARTED_WITHIN: Duration = Duration::from_secs(120);
/// What comes a few city hours after the start.
const CAME_WITHIN: Duration = Duration::from_secs(300);
/// A training, beside everything else.
const TRAINED_WITHIN: Duration = Duration::from_secs(900);
/// A killed member is missed after its session's 45 s; then its partitions are another's.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(180);
const STOPPED_WITHIN: Duration = Duration::from_secs(60);
/// City time until an hour is asked for the last time, and a little for the asking.
const SETTLED_AFTER: TimeDelta = TimeDelta::minutes(24 * 60 + 30 + 60 + 40);

/// The one Kafka of a test. It is stopped with it.
struct Kafka {
    folder: Data,
    address: String,
}

impl Kafka {
    /// None where it cannot run here, which is said, and an error where tools are demanded.
    fn start() -> Option<Kafka> {
        let fetched = kafka_sh(&["fetch"]);
        let said = String::from_utf8_lossy(&fetched.stderr);
        if said.contains("on PATH") {
            let lacking = said.trim();
            assert!(std::env::var_os("HANGANG_DEMAND_TOOLS").is_none(), "a real Kafka is demanded: {lacking}");
            eprintln!("skipped: no real Kafka without its tools: {lacking}");
            return None;
        }
        assert!(fetched.status.success(), "Kafka could not be fetched: {said}");
        let folder = Data::new();
        // Whoever makes a topic by asking for it would make it with seven days' retention: that must not be hidden.
        folder.write("extra.properties", "auto.create.topics.enable=false\n");
        let started = kafka_sh(&["start", folder.path().to_str().unwrap()]);
        assert!(started.status.success(), "Kafka did not start: {}", String::from_utf8_lossy(&started.stderr));
        Some(Kafka { address: String::from_utf8_lossy(&started.stdout).trim().to_owned(), folder })
    }

    fn says(&self, question: &[&str]) -> String {
        let (ok, said) = reader("kafka_says.py", &[&[self.address.as_str()], question].concat());
        assert!(ok, "kafka_says.py {question:?}: {said}");
        said
    }

    /// How many partitions each of the group's members has, once it is stable; else what was said of the group. A Kafka
    /// that has just begun may not know it yet.
    fn members(&self) -> Result<Vec<usize>, String> {
        let (ok, said) = reader("kafka_says.py", &[&self.address, "members", "hangang"]);
        match said.strip_prefix("STABLE\n") {
            Some(members) if ok => Ok(members.lines().map(|line| line.split(' ').count() - 1).collect()),
            _ => Err(said),
        }
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        kafka_sh(&["stop", self.folder.path().to_str().unwrap()]);
    }
}

fn kafka_sh(arguments: &[&str]) -> Output {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("ops/servers/kafka.sh")).args(arguments).output().unwrap()
}

/// The city and where its parts are.
struct City {
    folder: Data,
    kafka: String,
    simulator: String,
}

impl City {
    fn lake(&self) -> PathBuf {
        self.folder.join("lake")
    }

    /// A stage's command line: everything that it shares with the others is named by it.
    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let own = self.folder.join(name);
        std::fs::create_dir_all(&own).unwrap();
        let mut command = self.folder.hangang(arguments);
        command.env_remove("HANGANG_DATA_DIR").arg("--data").arg(&own);
        command.arg("--lake").arg(format!("file://{}", self.lake().display()));
        command.args(["--kafka", &self.kafka, "--set", HISTORY]);
        if !self.simulator.is_empty() {
            command.args(["--simulator", &self.simulator]);
        }
        command
    }

    fn stage(&self, name: &str, arguments: &[&str]) -> Running {
        Running::start(name, self.command(name, arguments))
    }

    /// `hangang status --json`, whole or the reason why not.
    fn status(&self) -> Result<Value, String> {
        let ended = Running::start("status", self.command("status", &["status", "--json"])).ended(STARTED_WITHIN);
        serde_json::from_str(&ended.text).map_err(|error| format!("{error}: {}", ended.text))
    }

    fn now(&self) -> DateTime<Utc> {
        let clock = get(&self.simulator["http://".len()..], "/clock").unwrap();
        clock["now"].as_str().unwrap().parse().unwrap()
    }
}

/// `GET`, whole: JSON of a 200, or what was answered instead.
fn get(address: &str, path: &str) -> Result<Value, String> {
    let mut stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).map_err(|error| error.to_string())?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").map_err(|error| error.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|error| error.to_string())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    if !head.contains(" 200 ") {
        return Err(format!("{path}: {} {body}", head.lines().next().unwrap_or_default()));
    }
    serde_json::from_str(body).map_err(|error| format!("{path}: {error}: {body}"))
}

fn told(what: &str, begun: Instant) {
    println!("{:>5.0} s  {what}", begun.elapsed().as_secs_f64());
}

#[test]
#[ignore = "slow"]
fn every_stage_alone_on_a_real_kafka_forecasts_the_city() {
    let begun = Instant::now();
    let Some(kafka) = Kafka::start() else { return };
    let mut city = City { folder: Data::new(), kafka: kafka.address.clone(), simulator: String::new() };
    told(&format!("Kafka answers at {}", kafka.address), begun);

    let said = Running::start("import", city.command("import", &["import", "--history"])).ended(CAME_WITHIN).well();
    assert!(said.contains("imported"), "{said}");
    let mut simulate = city.stage("simulate", &["simulate", "--start", START, "--speed", SPEED]);
    city.simulator = simulate.word_after("answers at ", STARTED_WITHIN);
    told("the city's past is imported, and its time passes", begun);

    let mut first = city.stage("first", &["process"]);
    let mut second = city.stage("second", &["process"]);
    for process in [&mut first, &mut second] {
        process.until("its start", STARTED_WITHIN, |text| text.contains(" into file://").then_some(()));
    }
    let produce = city.stage("produce", &["produce"]);
    let maintain = city.stage("maintain", &["maintain"]);
    let forecast = city.stage("forecast", &["forecast", "--schedule"]);
    let train = city.stage("train", &["train", "--schedule"]);
    let mut serve = city.stage("serve", &["serve"]);
    let api = serve.word_after("serve     http://", STARTED_WITHIN);
    let wire = serve.word_after("PostgreSQL at ", STARTED_WITHIN);

    // A forecast is served, and names its champion.
    let forecasts = wait_for("a forecast from the API", CAME_WITHIN, || get(&api, "/v1/forecasts/traffic_volume"));
    assert!(forecasts["champion"]["bundle"].is_string(), "{}", forecasts["champion"]);
    told(&format!("forecast of {} series, champion {}", forecasts["count"], forecasts["champion"]["bundle"]), begun);

    // Both processes have their share; what breaks the contract is refused by whoever gets it.
    wait_for("both processes to have partitions", TAKEN_OVER_WITHIN, || match &kafka.members()?[..] {
        [_, _] => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let nonsense: i64 = kafka.says(&["nonsense", "traffic_volume"]).trim().parse().unwrap();
    let landed =
        |status: &Value| status["feeds"].as_array().unwrap().iter().map(|feed| feed["rows"].as_i64().unwrap()).sum::<i64>();
    let before = landed(&city.status().unwrap());
    wait_for("rows that were polled", CAME_WITHIN, || {
        let status = city.status()?;
        if landed(&status) > before { Ok(()) } else { Err(status.to_string()) }
    });
    told("both processes land what is polled", begun);

    // One is killed in whatever it does; its partitions become the other's, and nothing is lost or landed twice.
    first.kill();
    // One partition of dead letters beside each feed's own.
    let parts: usize = FEEDS.iter().map(|feed| usize::try_from(feed.partitions).unwrap() + 1).sum();
    wait_for("the killed process's partitions to be the other's", TAKEN_OVER_WITHIN, || match &kafka.members()?[..] {
        [all] if *all == parts => Ok(()),
        other => Err(format!("{other:?}; the other process says: {}", second.text())),
    });
    told(&format!("one process was killed, the other has all {parts} partitions"), begun);

    // Forecasts meet what came, and a challenger has been judged.
    let met = wait_for("forecasts to meet what came", CAME_WITHIN, || {
        let accuracy = get(&api, "/v1/accuracy/traffic_volume")?;
        accuracy["overall"]["count"].as_i64().filter(|met| *met > 0).ok_or_else(|| accuracy["overall"].to_string())
    });
    told(&format!("{met} forecasts have met what came"), begun);
    let judged = wait_for("a challenger to be judged", TRAINED_WITHIN, || {
        let status = city.status()?;
        let target = &status["targets"][0];
        let judged = [&target["champion"], &target["refused"]].into_iter().find(|standing| standing["kind"] == "lightgbm");
        judged.map(ToString::to_string).ok_or_else(|| target.to_string())
    });
    told(&format!("trained: {judged}"), begun);

    let (host, port) = wire.split_once(':').unwrap();
    let (answered, said) = reader("wire_answers.py", &[host, port]);
    print!("{said}");
    assert!(answered, "{said}");
    let topics = ["traffic_spot", "traffic_spot.dlq", "traffic_volume", "traffic_volume.dlq"];
    print!("{}", kafka.says(&[&["keeps"], &topics[..]].concat()));

    // Until at least one hour has been asked for the last time.
    let start: DateTime<Utc> = START.parse::<DateTime<chrono::FixedOffset>>().unwrap().to_utc();
    wait_for("an hour that is settled", CAME_WITHIN, || {
        let now = city.now();
        if now > start + SETTLED_AFTER { Ok(()) } else { Err(now.to_string()) }
    });

    // Stopped in the order of a record's life, so that nothing is left on the way; each ends well.
    let polled_until = city.now();
    produce.terminate(STOPPED_WITHIN).well();
    forecast.terminate(STOPPED_WITHIN).well();
    train.terminate(STOPPED_WITHIN).well();
    let status = wait_for("everything published to be landed", CAME_WITHIN, || {
        let status = city.status()?;
        let feeds = status["feeds"].as_array().ok_or("no feeds")?;
        let settled = feeds.iter().all(|feed| feed["lag"] == 0 && feed["lost"].is_null())
            && feeds.iter().filter_map(|feed| feed["dead_letters"].as_i64()).sum::<i64>() == nonsense;
        if settled { Ok(status) } else { Err(status.to_string()) }
    });
    assert!(status["kafka"].is_null() && status["now"].is_string(), "{status}");
    println!("{}", Running::start("status", city.command("status", &["status"])).ended(STARTED_WITHIN).well());
    second.terminate(STOPPED_WITHIN).well();
    maintain.terminate(STOPPED_WITHIN).well();
    serve.terminate(STOPPED_WITHIN).well();
    told("all stages but the city have ended well", begun);

    let now = (polled_until - TimeDelta::minutes(40)).to_rfc3339();
    let lake = city.lake();
    let (whole, said) = reader("nothing_lost.py", &[lake.to_str().unwrap(), &city.kafka, &city.simulator, START, &now]);
    print!("{said}");
    assert!(whole, "{said}");
    simulate.terminate(STOPPED_WITHIN).well();
    told("every record stands in the lake, once", begun);
}
