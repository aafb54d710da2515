//! A loaded city is killed with `kill -9`, again and again: at random moments, and at chosen points of a record's life.
//! Afterwards readers that share no code with it look whether anything was lost, or is there twice.
//!
//! `make slow` kills 10 times, `make chaos` 50; `KILLS=N` and `SEED=N` choose. Each run prints what each kill interrupted.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::support::{Data, Running, reader};

const START: &str = "2022-10-01T00:00:00+09:00";
/// The city: a short past is enough.
const CITY: [&str; 4] = ["--start", START, "--set", "city.history_days=30"];
/// What `up` prints when all of it runs.
const OPEN: &str = "Open  ";
/// Fast, so that much is under way at any moment, and as fast as two cores can follow.
const SPEED: &str = "1200";
/// From an hour's end until nothing is asked of it any more, and some.
const SETTLED_AFTER: TimeDelta = TimeDelta::hours(26);
/// How long a city may take to open, to reach a point, or to catch up with all that it missed.
const OPENS_WITHIN: Duration = Duration::from_secs(120);
const REACHES_WITHIN: Duration = Duration::from_secs(90);
const CATCHES_UP_WITHIN: Duration = Duration::from_secs(900);
/// A random kill comes this long after the start, at most: past the start-up, within the work.
const LIVES_MS: std::ops::Range<u64> = 300..7_000;
/// What Seoul's servers do on bad days, in shares of all requests.
const FAULTS: &str = r#"{"http_500": 0.02, "maintenance": 0.002, "truncated": 0.002, "error_500": 0.02}"#;
/// Records that break the contract, as a stranger's producer might write them.
const NONSENSE: [&str; 3] = ["no JSON", r#"{"spot":"A-01"}"#, "\u{0}"];

/// Steps and the points that tell of them: a step is interrupted if it was begun and not ended when the kill came.
const STEPS: [(&str, &[&str], &str); 4] = [
    ("publish", &["publish.before-acknowledgement"], "publish.after-acknowledgement"),
    ("land", &["land.before-commit"], "land.after-commit"),
    ("roll up", &["land.after-commit", "rollup.before-commit"], "rollup.after-commit"),
    ("compact", &["compact.before-commit"], "compact.after-commit"),
];
/// Where every second kill comes, in turn.
const POINTS: [&str; 7] = [
    "publish.before-acknowledgement",
    "land.before-commit",
    "rollup.before-commit",
    "compact.before-commit",
    "publish.after-acknowledgement",
    "land.after-commit",
    "compact.after-commit",
];

#[test]
#[ignore = "slow"]
fn kills_lose_nothing_and_leave_nothing_twice() {
    let kills: usize = number("KILLS").unwrap_or(10) as usize;
    let seed = number("SEED").unwrap_or_else(|| Utc::now().timestamp_millis() as u64);
    println!("{kills} kills, SEED={seed}");
    println!("kill     after  at                                   interrupted");
    let mut random = Random(seed);
    let city = City::new();
    let mut hit = [0; STEPS.len()];
    for kill in 0..kills {
        let at = (kill % 2 == 1).then(|| {
            let point = POINTS[kill / 2 % POINTS.len()];
            // Files have to be many before they are joined: once takes long enough.
            (point, if point.starts_with("compact") { 1 } else { 1 + random.below(4) })
        });
        let (lived, interrupted) = city.killed(kill, at, Duration::from_millis(random.within(LIVES_MS)));
        let at = at.map_or("a random moment".to_owned(), |(point, times)| format!("{point}, time {times}"));
        let steps: Vec<&str> = interrupted.iter().map(|&step| STEPS[step].0).collect();
        let steps = if steps.is_empty() { "nothing under way".to_owned() } else { steps.join(", ") };
        println!("{:>4} {:>7.2} s  {at:<36} {steps}", kill + 1, lived.as_secs_f64());
        interrupted.iter().for_each(|&step| hit[step] += 1);
    }
    let told: Vec<String> = STEPS.iter().zip(hit).map(|((step, ..), times)| format!("{step} {times}")).collect();
    println!("interrupted: {}", told.join(", "));

    let now = city.catch_up();
    let (clean, said) = city.judged(now);
    println!("{said}");
    assert!(clean, "{said}\nthe city is kept in {}", city.data.kept().display());
    assert!(hit.iter().all(|&times| times > 0), "each step must have been interrupted: {}", told.join(", "));
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().filter(|text| !text.is_empty()).map(|text| text.parse().expect("KILLS and SEED are numbers"))
}

/// SplitMix64: the same seed, the same kills.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn within(&mut self, range: std::ops::Range<u64>) -> u64 {
        range.start + self.below(range.end - range.start)
    }
}

/// A data folder, and the processes that work on it one after another.
struct City {
    data: Data,
    /// Where a process notes the points that it passes.
    notes: Data,
}

impl City {
    fn new() -> City {
        City { data: Data::new(), notes: Data::new() }
    }

    fn start(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Running {
        let mut command = self.data.hangang(arguments);
        command.envs(environment.iter().copied());
        Running::start(&format!("hangang {}", arguments[0]), command)
    }

    /// Runs `up` until it is killed: at a point, or so long after its start. Gives how long it lived, and which steps were
    /// interrupted.
    fn killed(&self, kill: usize, at: Option<(&str, u64)>, lives: Duration) -> (Duration, Vec<usize>) {
        let notes = self.notes.join(&kill.to_string());
        let at = at.map(|(point, times)| format!("{point}:{times}"));
        let mut environment = vec![("HANGANG_KILL_NOTES", notes.to_str().unwrap())];
        environment.extend(at.as_deref().map(|at| ("HANGANG_KILL_AT", at)));
        let begun = Instant::now();
        let mut up = self.start(&[&["up", "--speed", SPEED], &CITY[..]].concat(), &environment);
        let noted = || fs::read_to_string(&notes).unwrap_or_default();
        if let Some(at) = at {
            disturb(&mut up, OPENS_WITHIN);
            up.until(&format!("{at} to be reached"), REACHES_WITHIN, |_| noted().contains("stands").then_some(()));
        } else {
            // A short life may end amid the start.
            while begun.elapsed() < lives && !up.text().contains(OPEN) {
                std::thread::sleep(Duration::from_millis(5));
            }
            if up.text().contains(OPEN) {
                disturb(&mut up, OPENS_WITHIN);
            }
            std::thread::sleep(lives.saturating_sub(begun.elapsed()));
        }
        let lived = begun.elapsed();
        up.kill();
        (lived, interrupted(&noted()))
    }

    /// One more start, that nobody disturbs, until all is settled that any of them saw. Gives the city's time then.
    fn catch_up(&self) -> DateTime<Utc> {
        let clock: DateTime<Utc> = fs::read_to_string(self.data.join("clock")).unwrap().trim().parse().unwrap();
        let until = clock + SETTLED_AFTER;
        let stepped = ["up", "--speed", "stepped", "--until", &until.to_rfc3339(), "--no-forecasts"];
        self.start(&[&stepped[..], &CITY].concat(), &[]).ended(CATCHES_UP_WITHIN).well();
        until
    }

    /// What the independent reader says of the lake, the topics and the simulator.
    fn judged(&self, now: DateTime<Utc>) -> (bool, String) {
        let mut broker = self.start(&["broker"], &[]);
        let mut simulator = self.start(&[&["simulate", "--speed", "1"], &CITY[..]].concat(), &[]);
        let kafka = broker.word_after("kafka     ", OPENS_WITHIN);
        let upstream = simulator.word_after("answers at ", OPENS_WITHIN);
        let lake = self.data.join("lake");
        reader("nothing_lost.py", &[lake.to_str().unwrap(), &kafka, &upstream, START, &now.to_rfc3339()])
    }
}

/// Makes the upstream misbehave, and writes nonsense into a topic, once the city is open.
fn disturb(up: &mut Running, within: Duration) {
    up.until("the city to open", within, |text| text.contains(OPEN).then_some(()));
    let address = up.word_after("upstream  http://", within);
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(within)).unwrap();
    let length = FAULTS.len();
    let head = format!("POST /faults HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {length}");
    write!(stream, "{head}\r\n\r\n{FAULTS}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(" 20"), "{answer}");
    let kafka = up.word_after("kafka     ", within);
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", &kafka).set("log_level", "2").create().unwrap();
    for nonsense in NONSENSE {
        producer.send(BaseRecord::<str, str>::to("traffic_volume").key("a stranger").payload(nonsense)).unwrap();
    }
    // A kill may come first: then they were not acknowledged, and nobody may count on them.
    producer.flush(Duration::from_secs(5)).ok();
}

/// The steps that were begun and not ended, by the last notes of each point.
fn interrupted(notes: &str) -> Vec<usize> {
    let last = |point: &str| notes.lines().enumerate().filter(|(_, line)| *line == point).map(|(number, _)| number).last();
    let under_way = |(_, begins, ends): &(&str, &[&str], &str)| begins.iter().filter_map(|begin| last(begin)).max() > last(ends);
    STEPS.iter().enumerate().filter(|(_, step)| under_way(step)).map(|(number, _)| number).collect()
}

#[test]
fn a_step_is_interrupted_that_was_begun_and_not_ended() {
    let names = |notes: &str| interrupted(notes).into_iter().map(|step| STEPS[step].0).collect::<Vec<_>>();
    assert_eq!(names(""), [""; 0]);
    assert_eq!(names("land.before-commit\n"), ["land"]);
    assert_eq!(names("land.before-commit\nland.after-commit\n"), ["roll up"]);
    assert_eq!(names("land.before-commit\nland.after-commit\nrollup.before-commit\nrollup.after-commit\n"), [""; 0]);
    assert_eq!(names("compact.before-commit\npublish.before-acknowledgement\nstands\n"), ["publish", "compact"]);
}
