//! Training on schedule, in a process of its own that dies with this one.

use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, bail};
use catalog::{TARGETS, Target};
use chrono::{DateTime, Utc};
use futures::TryFutureExt;
use futures::future::BoxFuture;
use lake::Lake;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use trainer::{Train, TrainingConfig};

use crate::city::OwnCity;
use crate::config::Config;

/// Trains every target as it becomes due until `cancel`. A stepped clock waits for it from the call on.
pub fn schedule(
    config: &Config,
    lake: Lake,
    own: &OwnCity,
    cancel: CancellationToken,
) -> impl Future<Output = anyhow::Result<()>> + Send + 'static {
    let each = TARGETS.iter().map(|target| {
        let training = TrainingConfig::daily(target);
        trainer::run_training(lake.clone(), own.city.clock.clone(), training, child(config, own, target), cancel.clone())
    });
    futures::future::try_join_all(each.collect::<Vec<_>>()).map_ok(|_| ())
}

/// `hangang train` for one target. Its standard input stays open as long as this process lives, and it ends with it;
/// dropped while it runs, it is killed.
fn child(config: &Config, own: &OwnCity, target: &'static Target) -> Train {
    let (config, simulator) = (config.clone(), own.simulator_url());
    Arc::new(move |known_at: DateTime<Utc>| -> BoxFuture<'static, anyhow::Result<()>> {
        let (config, simulator) = (config.clone(), simulator.clone());
        Box::pin(async move {
            let mut command = Command::new(std::env::current_exe().context("where this program lies")?);
            command.args(["train", "--tethered", "--target", target.name, "--known-at", &known_at.to_rfc3339()]);
            command.arg("--lake").arg(config.lake_url.as_str()).arg("--data").arg(&config.data);
            if let Some(simulator) = simulator {
                // It listens where a port was free, and the child asks it for the time of its decision.
                command.arg("--set").arg(format!("simulator.url={simulator}"));
            }
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
            let mut child = command.spawn().context("starting a training")?;
            // Held until it has ended: with this end of the pipe gone, it would end itself.
            let _tether = child.stdin.take();
            let output = child.wait_with_output().await.context("waiting for a training")?;
            let said = String::from_utf8_lossy(&output.stderr);
            if !output.status.success() {
                bail!("the training of \"{}\" ended with {}: {}", target.name, output.status, said.trim());
            }
            tracing::info!("{}", said.trim());
            Ok(())
        })
    })
}
