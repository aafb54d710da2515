//! `hangang train`: fits a challenger on what is known now, and lets it replace the champion if it is better.

use std::io::Read;
use std::sync::Arc;

use catalog::{TARGETS, Target};
use chrono::{DateTime, Utc};
use clap::Args;
use clock::Clock;
use lake::Lake;
use trainer::{TrainOptions, TrainReport};

use crate::city;
use crate::config::{Config, parse_instant};
use crate::screen::{self, Progress, fact};
use crate::{stages, training};

#[derive(Args)]
pub struct TrainArgs {
    /// What to forecast
    #[arg(long, default_value = "traffic_volume", value_parser = target)]
    target: &'static Target,
    /// Fit on what was known then [default: now, in the city]
    #[arg(long, value_name = "TIME", value_parser = parse_instant)]
    known_at: Option<DateTime<Utc>>,
    /// Go on training every day until stopped
    #[arg(long, conflicts_with = "known_at")]
    schedule: bool,
    /// End when standard input ends: the process that started this one is gone
    #[arg(long, hide = true)]
    tethered: bool,
}

pub async fn run(config: Config, args: TrainArgs) -> anyhow::Result<()> {
    if args.tethered {
        end_with_parent();
    }
    let lake = stages::open_lake(&config).await?;
    if args.schedule {
        let clock = city::time(&config).await?;
        let cancel = stages::stopped_by_signal();
        fact("train", format!("{} every day, from {}", args.target.name, screen::kst(clock.now())));
        return training::schedule(&config, &[args.target], lake, clock, |said| eprintln!("{said}"), cancel).await;
    }
    let (clock, known_at) = match (city::time(&config).await, args.known_at) {
        (Ok(clock), known_at) => (clock.clone(), known_at.unwrap_or(clock.now())),
        // The city stands, and what it was like is trained on: it is decided as of then.
        (Err(_), Some(known_at)) => (Clock::stepped(None, known_at)?.0, known_at),
        (Err(error), None) => {
            return Err(error.context("what is known now takes the city's time; start the city, or give --known-at"));
        }
    };
    once(&lake, args.target, known_at, &clock).await
}

async fn once(lake: &Lake, target: &'static Target, known_at: DateTime<Utc>, clock: &Clock) -> anyhow::Result<()> {
    let progress = Arc::new(Progress::start("train", "trees"));
    let reporting = {
        let progress = progress.clone();
        Arc::new(move |done, total| progress.report(done, total))
    };
    let report = trainer::train_once(lake, target, known_at, clock, &TrainOptions::default(), reporting).await?;
    let took = screen::duration(progress.finish());
    match report {
        TrainReport::TooEarly { days, days_min } => {
            fact(
                "train",
                format!(
                    "{days} days of history are too few for trees; from {days_min} on there are models, until then the best naive rule"
                ),
            );
        }
        TrainReport::Judged { bundle, verdict } => {
            let standing = if verdict.passed { "is champion" } else { "is refused" };
            fact(
                "trained",
                format!("{bundle} on what was known at {} in {took}: it {standing}; {}", screen::kst(known_at), verdict.reason),
            );
        }
        TrainReport::Before { bundle, standing } => {
            fact("trained", format!("{bundle} in {took}: the same as before, which is {standing}; nothing new was known"));
        }
    }
    Ok(())
}

/// A target by its name, for the command line.
pub fn target(name: &str) -> Result<&'static Target, String> {
    Target::by_name(name).ok_or_else(|| {
        let known: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        format!("there is no target \"{name}\"; there are {}", known.join(", "))
    })
}

/// Whoever started this process holds the other end of its standard input; when it dies, however it dies, the pipe
/// closes.
fn end_with_parent() {
    std::thread::spawn(|| {
        let mut nothing = [0; 64];
        while matches!(std::io::stdin().read(&mut nothing), Ok(read) if read > 0) {}
        std::process::exit(1);
    });
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_unknown_target_is_answered_with_the_known_ones() {
        assert_eq!(super::target("trafic").unwrap_err(), "there is no target \"trafic\"; there are traffic_volume");
    }
}
