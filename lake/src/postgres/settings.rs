//! The session's parameters: what SET accepts, SHOW answers, and the client is told of unasked.
//!
//! A parameter stands for something here (`timezone`, `statement_timeout`), or is kept because drivers set it and read
//! it back, or is fixed. Anything else is refused with 42704; a default in its place would be a silent lie.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use arrow::array::timezone::Tz;

use super::error::SqlError;

/// How one parameter behaves.
struct Parameter {
    /// As PostgreSQL writes it in ParameterStatus.
    name: &'static str,
    default: &'static str,
    rule: Rule,
    /// Sent to the client at start-up and whenever it changes.
    reported: bool,
}

enum Rule {
    /// Kept and shown, without effect here.
    Any,
    /// Cannot be changed.
    Fixed,
    /// Accepts only what begins so, in any case: what this server does anyway.
    Only(&'static [&'static str]),
    TimeZone,
    Milliseconds,
}

const fn parameter(name: &'static str, default: &'static str, rule: Rule, reported: bool) -> Parameter {
    Parameter { name, default, rule, reported }
}

/// The version that clients are told: they choose their catalog queries and types by it.
pub(super) const SERVER_VERSION: &str = "17.0 (Hangang)";

const PARAMETERS: &[Parameter] = &[
    parameter("application_name", "", Rule::Any, true),
    parameter("bytea_output", "hex", Rule::Only(&["hex"]), false),
    parameter("client_encoding", "UTF8", Rule::Only(&["utf8", "utf-8", "unicode"]), true),
    parameter("client_min_messages", "notice", Rule::Any, false),
    parameter("DateStyle", "ISO, MDY", Rule::Only(&["iso"]), true),
    parameter("default_transaction_isolation", "read committed", Rule::Any, false),
    parameter("default_transaction_read_only", "on", Rule::Only(&["on", "true"]), true),
    parameter("extra_float_digits", "1", Rule::Any, false),
    parameter("idle_in_transaction_session_timeout", "0", Rule::Any, false),
    parameter("in_hot_standby", "off", Rule::Fixed, true),
    parameter("integer_datetimes", "on", Rule::Fixed, true),
    parameter("IntervalStyle", "postgres", Rule::Only(&["postgres"]), true),
    parameter("is_superuser", "off", Rule::Fixed, true),
    parameter("lock_timeout", "0", Rule::Any, false),
    parameter("max_identifier_length", "63", Rule::Fixed, false),
    parameter("search_path", "public", Rule::Any, true),
    parameter("server_encoding", "UTF8", Rule::Fixed, true),
    parameter("server_version", SERVER_VERSION, Rule::Fixed, true),
    parameter("server_version_num", "170000", Rule::Fixed, false),
    parameter("standard_conforming_strings", "on", Rule::Only(&["on", "true"]), true),
    parameter("statement_timeout", "0", Rule::Milliseconds, false),
    parameter("TimeZone", "UTC", Rule::TimeZone, true),
    parameter("transaction_isolation", "read committed", Rule::Fixed, false),
    parameter("transaction_read_only", "on", Rule::Fixed, false),
];

type Values = BTreeMap<&'static str, String>;

/// The values of one session.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    /// What RESET goes back to, where it isn't the parameter's own default.
    startup: Values,
    session: Values,
    /// Set with SET LOCAL, until the transaction's end.
    local: Values,
}

impl Settings {
    /// From the start-up packet. Names that aren't known are passed over, as `options` and `user` are not parameters;
    /// values that are not possible are refused.
    pub fn new(statement_timeout: Duration, startup: &[(String, String)]) -> Result<Settings, SqlError> {
        let mut settings = Settings::default();
        settings.startup.insert("statement_timeout", statement_timeout.as_millis().to_string());
        for (name, value) in startup {
            if name == "options" {
                for (name, value) in command_line(value)? {
                    let parameter = find(name).ok_or_else(|| unknown(name))?;
                    settings.startup.insert(parameter.name, parameter.check(value)?);
                }
            } else if let Some(parameter) = find(name)
                && !matches!(parameter.rule, Rule::Fixed)
            {
                settings.startup.insert(parameter.name, parameter.check(value)?);
            }
        }
        Ok(settings)
    }

    pub fn set(&mut self, name: &str, value: Option<&str>, local: bool) -> Result<(), SqlError> {
        let parameter = find(name).ok_or_else(|| unknown(name))?;
        if matches!(parameter.rule, Rule::Fixed) {
            return Err(SqlError::new("55P02", format!("parameter \"{name}\" cannot be changed")));
        }
        let value = match value {
            Some(value) => parameter.check(value)?,
            None => self.reset_value(parameter),
        };
        if local {
            self.local.insert(parameter.name, value);
        } else {
            self.local.remove(parameter.name);
            self.session.insert(parameter.name, value);
        }
        Ok(())
    }

    pub fn reset(&mut self, name: Option<&str>) -> Result<(), SqlError> {
        match name {
            Some(name) => self.set(name, None, false),
            None => {
                self.session.clear();
                self.local.clear();
                Ok(())
            }
        }
    }

    /// The name as PostgreSQL writes it, and the value.
    pub fn show(&self, name: &str) -> Result<(&'static str, String), SqlError> {
        let parameter = find(name).ok_or_else(|| unknown(name))?;
        Ok((parameter.name, self.get(parameter)))
    }

    pub fn all(&self) -> impl Iterator<Item = (&'static str, String)> {
        PARAMETERS.iter().map(|parameter| (parameter.name, self.get(parameter)))
    }

    /// Those that a client is told of.
    pub fn reported(&self) -> impl Iterator<Item = (&'static str, String)> {
        PARAMETERS.iter().filter(|parameter| parameter.reported).map(|parameter| (parameter.name, self.get(parameter)))
    }

    pub fn end_transaction(&mut self) {
        self.local.clear();
    }

    pub fn time_zone(&self) -> (String, Tz) {
        let name = self.show("TimeZone").expect("a known parameter").1;
        let zone = Tz::from_str(&name).expect("checked when it was set");
        (name, zone)
    }

    /// `None` for no limit.
    pub fn statement_timeout(&self) -> Option<Duration> {
        let milliseconds = self.show("statement_timeout").expect("a known parameter").1.parse().expect("checked when it was set");
        (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
    }

    fn get(&self, parameter: &Parameter) -> String {
        let value = self.local.get(parameter.name).or_else(|| self.session.get(parameter.name)).cloned();
        value.unwrap_or_else(|| self.reset_value(parameter))
    }

    fn reset_value(&self, parameter: &Parameter) -> String {
        self.startup.get(parameter.name).cloned().unwrap_or_else(|| parameter.default.to_owned())
    }
}

impl Parameter {
    /// The value in its canonical form.
    fn check(&self, value: &str) -> Result<String, SqlError> {
        let invalid = || SqlError::new("22023", format!("invalid value for parameter \"{}\": {value:?}", self.name));
        match self.rule {
            Rule::Any | Rule::Fixed => Ok(value.to_owned()),
            Rule::Only(prefixes) => {
                let lower = value.to_lowercase();
                match prefixes.iter().any(|prefix| lower.starts_with(prefix)) {
                    true => Ok(self.default.to_owned()),
                    false => Err(invalid().hint(format!("only {} is possible here", self.default))),
                }
            }
            Rule::TimeZone => {
                time_zone(value).ok_or_else(|| invalid().hint("a name as in \"Asia/Seoul\", or hours east of UTC as in 9"))
            }
            Rule::Milliseconds => milliseconds(value).map(|milliseconds| milliseconds.to_string()).ok_or_else(invalid),
        }
    }
}

fn find(name: &str) -> Option<&'static Parameter> {
    PARAMETERS.iter().find(|parameter| parameter.name.eq_ignore_ascii_case(name))
}

fn unknown(name: &str) -> SqlError {
    SqlError::new("42704", format!("unrecognized configuration parameter \"{name}\""))
}

/// The start-up packet's `options`: `-c name=value` and `--name=value`, as libpq passes PGOPTIONS on.
fn command_line(options: &str) -> Result<Vec<(&str, &str)>, SqlError> {
    let mut words = options.split_whitespace();
    let mut assignments = Vec::new();
    while let Some(word) = words.next() {
        let assignment = if word == "-c" { words.next() } else { word.strip_prefix("-c").or_else(|| word.strip_prefix("--")) };
        let assignment = assignment.and_then(|assignment| assignment.split_once('='));
        assignments
            .push(assignment.ok_or_else(|| SqlError::new("42601", format!("option {word:?} is not of the form -c name=value")))?);
    }
    Ok(assignments)
}

/// A zone by its IANA name, or hours east of UTC. What Arrow can't read is no zone here.
fn time_zone(value: &str) -> Option<String> {
    let value = value.trim();
    if let Ok(hours) = value.parse::<f64>() {
        let minutes = (hours * 60.0).round() as i64;
        let offset = format!("{}{:02}:{:02}", if minutes < 0 { '-' } else { '+' }, minutes.abs() / 60, minutes.abs() % 60);
        return (hours.abs() < 24.0 && Tz::from_str(&offset).is_ok()).then_some(offset);
    }
    let name = match value.to_uppercase().as_str() {
        "UTC" | "Z" | "ZULU" | "GMT" => "UTC",
        _ => value,
    };
    // Arrow would read "9" or "+9" as an offset too; a name begins with a letter or is a full offset.
    Tz::from_str(name).ok().map(|_| name.to_owned())
}

/// `5000`, `5s`, `2min`, `1h`; a bare number is in milliseconds.
fn milliseconds(value: &str) -> Option<u64> {
    let value = value.trim();
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let (number, unit) = value.split_at(digits);
    let factor = match unit.trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    // PostgreSQL's parameter is a signed 32-bit integer.
    number.parse::<u64>().ok()?.checked_mul(factor).filter(|&milliseconds| milliseconds <= i32::MAX as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::new(
            Duration::from_secs(60),
            &[("timezone".to_owned(), "Asia/Seoul".to_owned()), ("user".to_owned(), "me".to_owned())],
        )
        .unwrap()
    }

    #[test]
    fn the_list_is_in_the_order_of_its_names_and_its_defaults_are_possible() {
        assert!(PARAMETERS.is_sorted_by_key(|parameter| parameter.name.to_lowercase()));
        for parameter in PARAMETERS {
            assert_eq!(parameter.check(parameter.default).unwrap(), parameter.default, "{}", parameter.name);
        }
    }

    #[test]
    fn reset_goes_back_to_what_the_client_started_with() {
        let mut settings = settings();
        settings.set("TIMEZONE", Some("utc"), false).unwrap();
        assert_eq!(settings.show("timezone").unwrap(), ("TimeZone", "UTC".to_owned()));
        settings.reset(None).unwrap();
        assert_eq!(settings.show("timezone").unwrap(), ("TimeZone", "Asia/Seoul".to_owned()));
        assert_eq!(settings.statement_timeout(), Some(Duration::from_secs(60)));
    }

    #[test]
    fn a_local_value_ends_with_its_transaction() {
        let mut settings = settings();
        settings.set("statement_timeout", Some("5s"), true).unwrap();
        assert_eq!(settings.statement_timeout(), Some(Duration::from_secs(5)));
        settings.end_transaction();
        assert_eq!(settings.statement_timeout(), Some(Duration::from_secs(60)));
        settings.set("statement_timeout", Some("0"), false).unwrap();
        assert_eq!(settings.statement_timeout(), None);
    }

    #[test]
    fn what_is_not_possible_is_refused_with_its_code() {
        let mut settings = settings();
        for (name, value, code) in [
            ("timezone", "Mars/Olympus", "22023"),
            ("timezone", "99", "22023"),
            ("client_encoding", "LATIN1", "22023"),
            ("datestyle", "German", "22023"),
            ("statement_timeout", "soon", "22023"),
            ("statement_timeout", "99999999999999999999", "22023"),
            ("server_version", "9", "55P02"),
            ("colour", "red", "42704"),
        ] {
            assert_eq!(settings.set(name, Some(value), false).unwrap_err().code, code, "{name} = {value}");
        }
        assert_eq!(settings.show("timezone").unwrap().1, "Asia/Seoul", "a refused value leaves the old one");
    }

    #[test]
    fn options_of_the_start_up_packet_are_parameters() {
        let start = |options: &str| Settings::new(Duration::ZERO, &[("options".to_owned(), options.to_owned())]);
        let settings = start("-c statement_timeout=5s --timezone=Asia/Seoul").unwrap();
        assert_eq!(
            (settings.statement_timeout(), settings.time_zone().0),
            (Some(Duration::from_secs(5)), "Asia/Seoul".to_owned())
        );
        assert_eq!(start("-c colour=red").unwrap_err().code, "42704");
        assert_eq!(start("-x").unwrap_err().code, "42601");
    }

    #[test]
    fn a_zone_is_a_name_or_hours_east() {
        assert_eq!(time_zone("9").as_deref(), Some("+09:00"));
        assert_eq!(time_zone("-3.5").as_deref(), Some("-03:30"));
        assert_eq!(time_zone("gmt").as_deref(), Some("UTC"));
        assert_eq!(time_zone("Asia/Seoul").as_deref(), Some("Asia/Seoul"));
        assert_eq!(time_zone(""), None);
    }
}
