//! Every option there is, in one slice: `hangang.toml`, its defaults and comments, the environment's names and the
//! hints for a mistyped key all come from here.
//!
//! Secrets are no options. They come from the environment alone (`HANGANG_SEOUL_KEY`).

/// What a value must look like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    Text,
    /// A folder or file, relative to where the command runs.
    Path,
    /// `HOST:PORT`, for a server of ours to listen on.
    Address,
    /// `10s`, `200ms`, `1h`.
    Duration,
    /// A number between two bounds, both included.
    Number(f64, f64),
    /// `600` (city seconds a real second) or `stepped`.
    Speed,
    /// RFC 3339, as `2022-10-01T00:00+09:00`.
    Instant,
    OneOf(&'static [&'static str]),
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    /// Table and key in `hangang.toml`.
    pub key: &'static str,
    pub default: &'static str,
    pub form: Form,
    pub comment: &'static str,
}

const fn opt(key: &'static str, default: &'static str, form: Form, comment: &'static str) -> Opt {
    Opt { key, default, form, comment }
}

/// All options, in the order in which `hangang.toml` lists them.
pub const OPTIONS: &[Opt] = &[
    opt("data.dir", "data", Form::Path, "Folder of everything that is kept: the lake, the broker's log, the city's clock."),
    opt(
        "city.source",
        "synthetic",
        Form::OneOf(&["synthetic", "archive", "real"]),
        "Which city answers: a synthetic one, an archive folder replayed, or Seoul itself (needs HANGANG_SEOUL_KEY).",
    ),
    opt(
        "city.seed",
        "2022",
        Form::Number(0.0, 9_007_199_254_740_992.0),
        "Seed of the synthetic city: the same seed, the same city.",
    ),
    opt("city.archive", "", Form::Path, "Folder of the archive, for city.source = \"archive\"."),
    opt("city.start", "2022-10-01T00:00+09:00", Form::Instant, "City time at the first start of a data folder."),
    opt("city.speed", "600", Form::Speed, "City seconds a real second; \"stepped\" advances when all due work has landed."),
    opt(
        "city.history_days",
        "120",
        Form::Number(0.0, 3_650.0),
        "Days of history imported at the first start of the synthetic city.",
    ),
    opt("simulator.listen", "127.0.0.1:8088", Form::Address, "Where the simulated upstream answers."),
    opt(
        "simulator.url",
        "",
        Form::Text,
        "Where other processes find the simulator, whose time they follow. Empty: http:// and simulator.listen.",
    ),
    opt(
        "upstream.seoul",
        "",
        Form::Text,
        "Base address of Seoul's API. Empty: the simulator, or http://openapi.seoul.go.kr:8088 for the real city.",
    ),
    opt("kafka.bootstrap", "", Form::Text, "HOST:PORT of a Kafka. Empty: the embedded broker."),
    opt("kafka.listen", "127.0.0.1:9292", Form::Address, "Where the embedded broker listens."),
    opt("kafka.group", "hangang", Form::Text, "Consumer group that process instances share partitions through."),
    opt("lake.url", "", Form::Text, "Where the lake lies: file:///absolute/folder. Empty: the folder lake in data.dir."),
    opt("process.linger", "200ms", Form::Duration, "Longest that a landed batch waits for more rows."),
    opt("process.batch_rows", "50000", Form::Number(1.0, 10_000_000.0), "Most rows that are landed in one commit."),
    opt("api.listen", "127.0.0.1:8080", Form::Address, "Where the page and the REST API answer."),
    opt("postgres.listen", "127.0.0.1:5433", Form::Address, "Where PostgreSQL clients query the lake."),
    opt("log.level", "warn", Form::OneOf(&["error", "warn", "info", "debug", "trace"]), "What is logged, to standard error."),
];

/// An option by its key.
pub fn find(key: &str) -> Option<&'static Opt> {
    OPTIONS.iter().find(|option| option.key == key)
}

/// An option's default.
pub fn default(key: &str) -> &'static str {
    find(key).unwrap_or_else(|| panic!("there is no option \"{key}\"")).default
}

impl Opt {
    /// Name of the environment variable that sets it.
    pub fn env(&self) -> String {
        format!("HANGANG_{}", self.key.replace('.', "_").to_uppercase())
    }
}

/// `hangang.toml` with every option at its default.
pub fn default_file() -> String {
    let mut text = String::from(
        "# Hangang's options, each at its default. Everything here can also be given in the environment\n\
         # (kafka.bootstrap is HANGANG_KAFKA_BOOTSTRAP) or on the command line (--set kafka.bootstrap=HOST:PORT).\n",
    );
    let mut table = "";
    for option in OPTIONS {
        let (of, key) = option.key.split_once('.').expect("an option's key has a table");
        if of != table {
            text.push_str(&format!("\n[{of}]\n"));
            table = of;
        }
        let value = match option.form {
            Form::Number(..) => option.default.to_owned(),
            Form::Speed if option.default != "stepped" => option.default.to_owned(),
            _ => format!("\"{}\"", option.default),
        };
        text.push_str(&format!("# {}\n{key} = {value}\n", option.comment));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_in_the_repository_is_the_one_that_is_derived() {
        let kept = include_str!("../hangang.toml");
        assert_eq!(kept, default_file(), "write it anew with: hangang config --defaults > hangang.toml");
    }
}
