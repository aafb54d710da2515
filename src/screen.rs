//! What a person sees: facts in two columns, progress with rate and time left, and one live line.
//!
//! On a terminal progress is a bar that moves; elsewhere it is a plain line every few seconds. What a program reads
//! (`--json`, `sql`, …) goes to standard output, all of this to standard error.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};

/// How often a line is printed where there is no terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);
/// Width of the column of names.
const NAME_WIDTH: usize = 10;

/// One fact: a short name and its text.
pub fn fact(name: &str, text: impl std::fmt::Display) {
    eprintln!("{name:<NAME_WIDTH$}{text}");
}

/// To standard error. Where nobody reads it, it is not said, and the work goes on.
pub fn tell(text: fmt::Arguments) {
    let _ = io::stderr().write_fmt(text);
}

/// To standard output. Where whoever read it has gone, the program ends quietly; where it cannot be written otherwise, with
/// an error.
pub fn print(text: fmt::Arguments) {
    match io::stdout().write_fmt(text).and_then(|()| io::stdout().flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            eprintln!("hangang: cannot write to standard output: {error}");
            std::process::exit(1)
        }
    }
}

/// Whether an error only says that whoever read standard output has gone.
pub fn nobody_reads(error: &anyhow::Error) -> bool {
    let broken = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    };
    error.chain().any(broken)
}

/// An instant as people in Seoul read it.
pub fn kst(instant: DateTime<Utc>) -> String {
    catalog::kst::at_kst(instant).format("%Y-%m-%d %H:%M KST").to_string()
}

/// An error with its causes, each said once: many libraries repeat theirs in their own words.
pub fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string).filter(|cause| !cause.is_empty()) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// A count with its thousands apart: 1,234,567.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How many a second: whole where there are many.
fn rate(per_second: f64) -> String {
    if per_second < 10.0 { format!("{per_second:.1}") } else { count(per_second as u64) }
}

/// A duration in the two units that matter: `2 h 05 min`, `3 min 20 s`, `4.1 s`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// Progress of one piece of long work.
pub struct Progress {
    name: &'static str,
    unit: &'static str,
    started_at: Instant,
    bar: Option<ProgressBar>,
    printed_at: Mutex<Instant>,
}

impl Progress {
    pub fn start(name: &'static str, unit: &'static str) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(&format!(
                "{name:<NAME_WIDTH$}{{bar:32.cyan/blue}} {{human_pos}} of {{human_len}} {unit}, {{rate}}/s, {{eta}} left"
            ))
            .expect("the template is well formed")
            .with_key("rate", |state: &ProgressState, text: &mut dyn fmt::Write| {
                fmt::Write::write_str(text, &rate(state.per_sec())).expect("a text takes all");
            });
            ProgressBar::new(0).with_style(style)
        });
        let now = Instant::now();
        Progress { name, unit, started_at: now, bar, printed_at: Mutex::new(now) }
    }

    /// `done` of `total` so far.
    pub fn report(&self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            return;
        }
        let mut printed_at = self.printed_at.lock().expect("no holder panics");
        if printed_at.elapsed() < PLAIN_INTERVAL {
            return;
        }
        *printed_at = Instant::now();
        let elapsed = self.started_at.elapsed();
        let left = elapsed.mul_f64((total.saturating_sub(done)) as f64 / done.max(1) as f64);
        fact(self.name, format!("{} of {} {}, about {} left", count(done), count(total), self.unit, duration(left)));
    }

    /// Takes the bar away and says how long it took.
    pub fn finish(&self) -> Duration {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.started_at.elapsed()
    }
}

/// The one line that lives: rewritten in place on a terminal, cut to its width; printed now and then elsewhere.
pub struct Live {
    bar: Option<ProgressBar>,
    printed_at: Option<Instant>,
}

impl Live {
    const PLAIN_INTERVAL: Duration = Duration::from_secs(15);

    pub fn start() -> Live {
        let bar = std::io::stderr().is_terminal().then(|| {
            // A bar without an end, for what it knows of terminals: a line that wrapped could not be rewritten.
            ProgressBar::no_length().with_style(ProgressStyle::with_template("{wide_msg}").expect("the template is well formed"))
        });
        Live { bar, printed_at: None }
    }

    pub fn show(&mut self, line: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(line.to_owned());
        } else if self.printed_at.is_none_or(|at| at.elapsed() >= Self::PLAIN_INTERVAL) {
            self.printed_at = Some(Instant::now());
            eprintln!("{line}");
        }
    }

    /// Takes the line away: what is said next begins where it stood.
    pub fn end(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Where log lines go: to standard error, over whatever lives on its last line.
pub struct OverLive;

impl Write for OverLive {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut error = io::stderr().lock();
        if error.is_terminal() {
            error.write_all(b"\r\x1b[K")?;
        }
        error.write_all(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_its_error_tells_already_is_not_told_twice() {
        let error = anyhow::anyhow!("the disk is full").context("cannot write \"a\": the disk is full").context("importing");
        assert_eq!(chain(&error), "importing: cannot write \"a\": the disk is full");
    }

    #[test]
    fn counts_and_durations_read_well() {
        assert_eq!([count(7), count(1_234), count(1_234_567)], ["7", "1,234", "1,234,567"]);
        let text = [4.1, 200.0, 7500.0, 100_000.0].map(|seconds| duration(Duration::from_secs_f64(seconds)));
        assert_eq!(text, ["4.1 s", "3 min 20 s", "2 h 05 min", "1 d 3 h"]);
    }
}
