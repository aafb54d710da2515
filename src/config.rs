//! The configuration, read once: defaults, then `hangang.toml`, then the environment, then the command line.
//!
//! All mistakes are reported together, each with where it stands and what would be right.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::options::{Form, OPTIONS, Opt, find};
use crate::ports::Server;

/// Environment variable that holds the key of Seoul's API.
pub const SEOUL_KEY: &str = "HANGANG_SEOUL_KEY";
/// The real host, asked when a key is given and no other base address is configured.
pub const SEOUL_HOST: &str = "http://openapi.seoul.go.kr:8088";

/// Everything that can be configured, checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub data: PathBuf,
    pub city: CityConfig,
    pub simulator_listen: SocketAddr,
    /// Where other processes find the simulator.
    pub simulator_url: String,
    /// Base address of Seoul's API, where one is configured.
    pub seoul_url: Option<String>,
    pub kafka: KafkaConfig,
    pub lake_url: url::Url,
    pub process_linger: Duration,
    pub process_batch_rows: usize,
    pub api_listen: SocketAddr,
    pub postgres_listen: SocketAddr,
    pub log_level: String,
    /// What else it was read from than the environment, for a process of our own.
    pub given: GivenBy,
}

/// A configuration's file, where one was named, and what was set on the command line.
#[derive(Clone, Debug, Default)]
pub struct GivenBy {
    pub file: Option<PathBuf>,
    pub sets: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
pub struct CityConfig {
    pub source: Source,
    pub start: DateTime<Utc>,
    pub speed: Speed,
    pub history_days: u32,
}

/// Which city answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    Synthetic { seed: u64 },
    Archive { folder: PathBuf },
    Real,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// City seconds a real second.
    Scaled(f64),
    Stepped,
}

#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// A Kafka outside; none for the embedded broker.
    pub bootstrap: Option<String>,
    pub listen: SocketAddr,
    pub group: String,
}

impl KafkaConfig {
    /// Where clients connect.
    pub fn address(&self) -> String {
        self.bootstrap.clone().unwrap_or_else(|| self.listen.to_string())
    }
}

/// What is wrong with a configuration: every mistake, a line each.
#[derive(Debug, thiserror::Error)]
#[error("the configuration has {} mistake{}:\n{}", .0.len(), if .0.len() == 1 { "" } else { "s" }, .0.iter().map(|mistake| format!("  - {mistake}")).collect::<Vec<_>>().join("\n"))]
pub struct Mistakes(pub Vec<String>);

/// One value given on the way: by whom, and its text.
struct Given {
    text: String,
    from: String,
}

impl Config {
    /// Reads `file` (which must exist when it was `asked` for by name), the environment's pairs, and `--set` pairs.
    pub fn read(
        file: &Path,
        asked: bool,
        environment: impl Iterator<Item = (OsString, OsString)>,
        sets: &[(String, String)],
    ) -> Result<Config, Mistakes> {
        let mut mistakes = Vec::new();
        let mut values: BTreeMap<&str, Given> = OPTIONS
            .iter()
            .map(|option| (option.key, Given { text: option.default.to_owned(), from: "the default".to_owned() }))
            .collect();

        let mut give = |key: &str, text: String, from: String, mistakes: &mut Vec<String>| match find(key) {
            Some(option) => drop(values.insert(option.key, Given { text, from })),
            None => mistakes.push(format!("{from}: there is no option \"{key}\"; {}", nearest(key))),
        };
        match std::fs::read_to_string(file) {
            Ok(text) => {
                for (key, value, line) in flatten(&text, file, &mut mistakes) {
                    give(&key, value, format!("{} line {line}", file.display()), &mut mistakes);
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !asked => {}
            Err(error) => mistakes.push(format!("cannot read \"{}\": {error}", file.display())),
        }
        let environment = ours(environment, &mut mistakes);
        for option in OPTIONS {
            if let Some(text) = environment.get(&option.env()) {
                give(option.key, text.clone(), option.env(), &mut mistakes);
            }
        }
        for (key, text) in sets {
            give(key, text.clone(), "the command line".to_owned(), &mut mistakes);
        }
        let key_given = environment.get(SEOUL_KEY).is_some_and(|key| !key.is_empty());
        let given = GivenBy { file: asked.then(|| file.to_owned()), sets: sets.to_vec() };
        Ok(Config { given, ..build(&Values { values, mistakes: mistakes.into() }, key_given)? })
    }
}

/// A variable that differs from an option's by so many letters at most was meant to be that.
const MISSPELT_LETTERS: usize = 3;

/// Of the environment what begins with our name. What is misspelt, or no text, is a mistake; others' variables may be in
/// any encoding.
fn ours(environment: impl Iterator<Item = (OsString, OsString)>, mistakes: &mut Vec<String>) -> BTreeMap<String, String> {
    let known: Vec<String> = OPTIONS.iter().map(Opt::env).chain([SEOUL_KEY.to_owned()]).collect();
    let mut ours = BTreeMap::new();
    for (name, value) in environment {
        let Some(name) = name.into_string().ok().filter(|name| name.starts_with("HANGANG_")) else { continue };
        if !known.contains(&name) {
            let nearest = known.iter().min_by_key(|known| strsim::levenshtein(known, &name)).expect("there are options");
            if strsim::levenshtein(nearest, &name) <= MISSPELT_LETTERS {
                mistakes.push(format!("the environment: there is no option {name}; did you mean {nearest}?"));
            }
            continue;
        }
        match value.into_string() {
            Ok(value) => drop(ours.insert(name, value)),
            Err(value) => mistakes.push(format!("the environment: {name} = {value:?} is not UTF-8")),
        }
    }
    ours
}

struct Values<'a> {
    values: BTreeMap<&'a str, Given>,
    mistakes: std::cell::RefCell<Vec<String>>,
}

impl Values<'_> {
    fn text(&self, key: &str) -> String {
        self.values[key].text.clone()
    }

    /// The value of an option, or a mistake noted and a stand-in that is never used.
    fn parse<T>(&self, key: &str, stand_in: T, parse: impl FnOnce(&str) -> Result<T, String>) -> T {
        let given = &self.values[key];
        parse(&given.text).unwrap_or_else(|expected| {
            self.mistake(format!("{}: {key} = \"{}\" is not {expected}", given.from, given.text));
            stand_in
        })
    }

    fn mistake(&self, mistake: String) {
        self.mistakes.borrow_mut().push(mistake);
    }

    fn address(&self, key: &str) -> SocketAddr {
        self.parse(key, SocketAddr::from(([127, 0, 0, 1], 0)), |text| {
            text.parse().map_err(|_| "an address to listen on, as 127.0.0.1:8080".to_owned())
        })
    }

    fn duration(&self, key: &str) -> Duration {
        self.parse(key, Duration::ZERO, parse_duration)
    }

    fn number(&self, key: &str) -> f64 {
        let Some(Opt { form: Form::Number(least, greatest), .. }) = find(key) else {
            unreachable!("\"{key}\" is declared as a number")
        };
        self.parse(key, *least, |text| {
            text.parse()
                .ok()
                .filter(|number: &f64| (*least..=*greatest).contains(number) && number.fract() == 0.0)
                .ok_or_else(|| format!("a whole number from {least} to {greatest}"))
        })
    }
}

fn build(values: &Values, key_given: bool) -> Result<Config, Mistakes> {
    let data = PathBuf::from(values.text("data.dir"));
    let start = values.parse("city.start", DateTime::UNIX_EPOCH, parse_instant);
    let speed = values.parse("city.speed", Speed::Stepped, parse_speed);
    let archive = values.text("city.archive");
    let source = match values.text("city.source").as_str() {
        "synthetic" => Source::Synthetic { seed: values.number("city.seed") as u64 },
        "archive" => Source::Archive { folder: archive.clone().into() },
        "real" => Source::Real,
        _ => values.parse("city.source", Source::Real, |_| Err("synthetic, archive or real".to_owned())),
    };
    if let Source::Archive { folder } = &source {
        if archive.is_empty() {
            values.mistake("city.source = \"archive\" needs city.archive, the archive's folder (or --archive DIR)".to_owned());
        } else if !folder.is_dir() {
            values.mistake(format!("city.archive = \"{archive}\" is not a folder that can be read"));
        }
    }
    if source == Source::Real {
        if !key_given {
            values.mistake(format!("city.source = \"real\" needs a key of Seoul's API in the environment: {SEOUL_KEY}"));
        }
        if values.values["city.speed"].from != "the default" && speed != Speed::Scaled(1.0) {
            values.mistake("city.speed cannot be set for the real city: its time is real".to_owned());
        }
    }
    let lake_url = values.parse("lake.url", "file:///".parse().expect("a URL"), |text| lake_url(text, &data));
    let level = values.parse("log.level", String::new(), |text| match find("log.level").map(|option| option.form) {
        Some(Form::OneOf(levels)) if levels.contains(&text) => Ok(text.to_owned()),
        Some(Form::OneOf(levels)) => Err(format!("one of {}", levels.join(", "))),
        _ => unreachable!("log.level is declared as a choice"),
    });
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let config = Config {
        given: GivenBy::default(),
        city: CityConfig { source, start, speed, history_days: values.number("city.history_days") as u32 },
        simulator_listen: values.address("simulator.listen"),
        simulator_url: some(values.text("simulator.url"))
            .unwrap_or_else(|| format!("http://{}", values.text("simulator.listen"))),
        seoul_url: some(values.text("upstream.seoul")),
        kafka: KafkaConfig {
            bootstrap: some(values.text("kafka.bootstrap")),
            listen: values.address("kafka.listen"),
            group: values.text("kafka.group"),
        },
        lake_url,
        process_linger: values.duration("process.linger"),
        process_batch_rows: values.number("process.batch_rows") as usize,
        api_listen: values.address("api.listen"),
        postgres_listen: values.address("postgres.listen"),
        log_level: level,
        data,
    };
    same_twice(values, &config);
    let mistakes = values.mistakes.take();
    if mistakes.is_empty() { Ok(config) } else { Err(Mistakes(mistakes)) }
}

/// Two servers of ours on one port would each take the other for a stranger.
fn same_twice(values: &Values, config: &Config) {
    let listens = Server::of_city(config).into_iter().map(|server| (server.option(), server.address(config)));
    let listens: Vec<_> = listens.filter(|(_, address)| address.port() != 0).collect();
    for (number, (key, address)) in listens.iter().enumerate() {
        for (other, _) in listens[..number].iter().filter(|(_, earlier)| earlier == address) {
            values.mistake(format!("{other} and {key} are both \"{address}\"; give one of them another port"));
        }
    }
}

/// How alike two keys must be for one to be offered for the other.
const LIKENESS_MIN: f64 = 0.6;

fn nearest(key: &str) -> String {
    let alike = |option: &&Opt| strsim::jaro_winkler(key, option.key).max(strsim::jaro_winkler(key, last(option.key)));
    let best = OPTIONS.iter().max_by(|a, b| alike(a).total_cmp(&alike(b))).expect("there are options");
    if alike(&best) >= LIKENESS_MIN {
        format!("did you mean \"{}\"?", best.key)
    } else {
        "`hangang config --defaults` lists all".to_owned()
    }
}

fn last(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

/// The file's leaves as (dotted key, text, line).
fn flatten(text: &str, file: &Path, mistakes: &mut Vec<String>) -> Vec<(String, String, usize)> {
    let line = |offset: usize| text[..offset.min(text.len())].matches('\n').count() + 1;
    let table = match toml::de::DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            let at = error.span().map_or(1, |span| line(span.start));
            mistakes.push(format!("{} line {at}: {}", file.display(), error.message()));
            return Vec::new();
        }
    };
    let mut leaves = Vec::new();
    for (name, value) in table.get_ref() {
        let Some(inner) = value.get_ref().as_table() else {
            leaves.push((name.get_ref().to_string(), plain(value.get_ref()), line(name.span().start)));
            continue;
        };
        for (key, value) in inner {
            leaves.push((format!("{}.{}", name.get_ref(), key.get_ref()), plain(value.get_ref()), line(key.span().start)));
        }
    }
    leaves
}

fn plain(value: &toml::de::DeValue) -> String {
    use toml::de::DeValue;
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(instant) => instant.to_string(),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

fn lake_url(text: &str, data: &Path) -> Result<url::Url, String> {
    const EXPECTED: &str = "a lake's address, as file:///srv/lake (s3:// and hdfs:// are not built yet)";
    if text.is_empty() {
        let folder = std::path::absolute(data.join("lake")).map_err(|error| format!("reachable: {error}"))?;
        return url::Url::from_directory_path(folder).map_err(|()| EXPECTED.to_owned());
    }
    let url: url::Url = text.parse().map_err(|_| EXPECTED.to_owned())?;
    if url.scheme() == "file" { Ok(url) } else { Err(EXPECTED.to_owned()) }
}

/// An instant in RFC 3339; seconds may be left out.
pub fn parse_instant(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M%:z"))
        .map(|instant| instant.to_utc())
        .map_err(|_| "an instant with its zone, as 2022-10-01T00:00+09:00".to_owned())
}

fn parse_speed(text: &str) -> Result<Speed, String> {
    const GREATEST: f64 = 100_000.0;
    if text == "stepped" {
        return Ok(Speed::Stepped);
    }
    text.parse()
        .ok()
        .filter(|speed: &f64| *speed > 0.0 && *speed <= GREATEST)
        .map(Speed::Scaled)
        .ok_or_else(|| format!("a speed: city seconds a real second, above 0 and up to {GREATEST}, or \"stepped\""))
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let seconds = match &text[split..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => f64::NAN,
    };
    text[..split]
        .parse::<f64>()
        .ok()
        .and_then(|number| Duration::try_from_secs_f64(number * seconds).ok())
        .ok_or_else(|| "a duration, as 200ms, 10s, 5min or 24h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, environment: &[(&str, &str)]) -> Result<Config, Mistakes> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("hangang.toml"), text).unwrap();
        let environment = environment.iter().map(|(key, value)| (key.into(), value.into()));
        Config::read(&folder.path().join("hangang.toml"), true, environment, &[]).map_err(|Mistakes(mistakes)| {
            Mistakes(mistakes.into_iter().map(|m| m.replace(&format!("{}/", folder.path().display()), "")).collect())
        })
    }

    #[test]
    fn the_default_file_is_a_configuration() {
        let config = read(&crate::options::default_file(), &[]).unwrap();
        assert_eq!(config.city.source, Source::Synthetic { seed: 2022 });
        assert_eq!(config.city.speed, Speed::Scaled(600.0));
        assert_eq!(config.kafka.address(), "127.0.0.1:9292");
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let config = read("[city]\nseed = 1\n", &[("HANGANG_CITY_SEED", "2")]).unwrap();
        assert_eq!(config.city.source, Source::Synthetic { seed: 2 });
    }

    #[test]
    fn all_mistakes_are_reported_together() {
        let text = "[kafka]\nbootstap = \"h:1\"\n\n[city]\nsource = \"archive\"\nspeed = -1\nstart = \"noon\"\n\n[api]\nlisten = \"8080\"\n";
        insta::assert_snapshot!(read(text, &[("HANGANG_PROCESS_LINGER", "soon")]).unwrap_err(), @r#"
        the configuration has 6 mistakes:
          - hangang.toml line 2: there is no option "kafka.bootstap"; did you mean "kafka.bootstrap"?
          - hangang.toml line 7: city.start = "noon" is not an instant with its zone, as 2022-10-01T00:00+09:00
          - hangang.toml line 6: city.speed = "-1" is not a speed: city seconds a real second, above 0 and up to 100000, or "stepped"
          - city.source = "archive" needs city.archive, the archive's folder (or --archive DIR)
          - HANGANG_PROCESS_LINGER: process.linger = "soon" is not a duration, as 200ms, 10s, 5min or 24h
          - hangang.toml line 10: api.listen = "8080" is not an address to listen on, as 127.0.0.1:8080
        "#);
    }

    #[test]
    fn a_speed_for_the_real_city_and_a_missing_key_are_refused() {
        insta::assert_snapshot!(read("[city]\nsource = \"real\"\nspeed = 600\n", &[]).unwrap_err(), @r#"
        the configuration has 2 mistakes:
          - city.source = "real" needs a key of Seoul's API in the environment: HANGANG_SEOUL_KEY
          - city.speed cannot be set for the real city: its time is real
        "#);
    }

    #[test]
    fn broken_toml_is_named_by_its_line() {
        insta::assert_snapshot!(read("[city\nseed = 1\n", &[]).unwrap_err(), @r#"
        the configuration has 1 mistake:
          - hangang.toml line 1: unclosed table, expected `]`
        "#);
    }
}
