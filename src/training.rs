//! Training on schedule, in a process of its own that dies with this one.

use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, bail};
use catalog::Target;
use chrono::{DateTime, Utc};
use clock::Clock;
use futures::TryFutureExt;
use futures::future::BoxFuture;
use lake::Lake;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use trainer::{Train, TrainingConfig};

use crate::config::{Config, Source};

/// Trains each of `targets` as it becomes due until `cancel`, which also ends a training that is under way. What each one
/// came to is said with `say`. A stepped clock waits for it from the call on.
pub fn schedule(
    config: &Config,
    targets: &[&'static Target],
    lake: Lake,
    clock: Clock,
    say: fn(&str),
    cancel: CancellationToken,
) -> impl Future<Output = anyhow::Result<()>> + Send + use<> {
    let each = targets.iter().map(|target| {
        let training = TrainingConfig::daily(target);
        trainer::run_training(lake.clone(), clock.clone(), training, child(config, target, say), cancel.clone())
    });
    futures::future::try_join_all(each.collect::<Vec<_>>()).map_ok(|_| ())
}

/// `hangang train` for one target. Its standard input stays open as long as this process lives, and it ends with it;
/// dropped while it runs, it is killed.
fn child(config: &Config, target: &'static Target, say: fn(&str)) -> Train {
    let config = config.clone();
    Arc::new(move |known_at: DateTime<Utc>| -> BoxFuture<'static, anyhow::Result<()>> {
        let config = config.clone();
        Box::pin(async move {
            let mut command = Command::new(std::env::current_exe().context("where this program lies")?);
            command.args(["train", "--tethered", "--target", target.name, "--known-at", &known_at.to_rfc3339()]);
            if let Some(file) = &config.given.file {
                command.arg("--config").arg(file);
            }
            for (key, value) in &config.given.sets {
                command.arg("--set").arg(format!("{key}={value}"));
            }
            command.arg("--lake").arg(config.lake_url.as_str()).arg("--data").arg(&config.data);
            // The child asks for the city's time when it decides.
            match config.city.source {
                Source::Real => command.args(["--set", "city.source=real"]),
                _ => command.args(["--simulator", &config.simulator_url]),
            };
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
            let mut child = command.spawn().context("starting a training")?;
            // Held until it has ended: with this end of the pipe gone, it would end itself.
            let _tether = child.stdin.take();
            let output = child.wait_with_output().await.context("waiting for a training")?;
            let said = String::from_utf8_lossy(&output.stderr);
            if !output.status.success() {
                bail!("the training of \"{}\" ended with {}: {}", target.name, output.status, said.trim());
            }
            say(said.trim());
            Ok(())
        })
    })
}
