//! A cached forecast beside a bare axum route that sends the same bytes: measured by `predictor-api`'s own measurement,
//! which has a served city at hand, as a process of its own.

use std::process::Command;

use anyhow::Context;

use crate::program;
use crate::table::{Goal, Table};

/// What the measurement's line begins with.
const BEGINS: &str = "a kept forecast GET beside a bare axum route, ";
const RATIO_MIN: f64 = 0.85;

pub fn run(table: &mut Table) -> anyhow::Result<()> {
    let cargo = std::env::var("CARGO").context("this section starts cargo, and is started by it: use `make bench`")?;
    let mut command = Command::new(cargo);
    command.args(["test", "--workspace", "--test", "api"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    // What cargo tells us of our package: a build script that looks at it (ring's) would have most dependencies built anew.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    command.env_remove("LD_LIBRARY_PATH");
    if let Ok(features) = std::env::var("HANGANG_FEATURES") {
        command.args(["--features", &features]);
    }
    command.args(["--", "--ignored", "--nocapture", "cost"]);
    let said = program::output(command)?;
    let line = said
        .lines()
        .find_map(|line| line.split_once(BEGINS))
        .with_context(|| format!("the measurement told no ratio: {said}"))?
        .1;
    // `one series (2900 bytes) 0.91: 30100 of 33000 a second, all series (…) …, goal 0.85 met`
    for part in line.split(", ").filter(|part| part.contains(" bytes) ")) {
        let told = part.split_once(") ").and_then(|(what, rest)| Some((what, rest.split_once(": ")?)));
        let (what, (ratio, rates)) = told.with_context(|| format!("\"{part}\" tells no ratio"))?;
        let ratio: f64 = ratio.parse().with_context(|| format!("\"{ratio}\" is no ratio"))?;
        table.add(
            format!("a cached forecast, {what}), beside a bare route"),
            format!("{ratio:.2} of its answers/s"),
            Some(Goal {
                text: format!("≥ {RATIO_MIN}"),
                met: ratio >= RATIO_MIN,
                reason: format!("it answered {rates}; the difference is what is done for an answer besides sending it"),
            }),
        );
    }
    Ok(())
}
