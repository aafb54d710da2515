//! Forecasts and training on the city's clock.
//!
//! Forecasts: at each origin, when all that was received by then has landed, the champion speaks, and what came since is
//! scored. Training: as soon as there is enough history, then once a day; the training itself is a process of its own,
//! started by the caller. A stepped clock waits for both, from the call on.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use catalog::{Target, kst};
use chrono::{DateTime, TimeDelta, Utc};
use clock::{Clock, Participant};
use forecaster::Bundle;
use futures::future::BoxFuture;
use lake::{Lake, LakeError};
use tokio_util::sync::CancellationToken;

use crate::issue::{Issued, LOOK_BACK_DAYS, due, issue, issued_through};
use crate::panel::{self, Panel};
use crate::recipe::HISTORY_DAYS_MIN;
use crate::registry::Registry;
use crate::score::score;

/// Waits until all that was received by an instant (UTC) has landed and been rolled up.
pub type LandedThrough = Arc<dyn Fn(DateTime<Utc>) -> BoxFuture<'static, ()> + Send + Sync>;

/// Trains once on what was known at an instant; the caller starts `hangang train` for it and waits for its end.
pub type Train = Arc<dyn Fn(DateTime<Utc>) -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// Origins that are made up for after an outage, in steps: a forecast that nobody could have used any more is not
/// issued.
const CATCH_UP_ORIGINS_MAX: i32 = 24;
/// Real time between tries while the lake can't be used. Short, since city time may run six hundred times as fast.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub struct ForecastConfig {
    pub target: &'static Target,
}

#[derive(Clone, Debug)]
pub struct TrainingConfig {
    pub target: &'static Target,
    /// Time of the day in Seoul at which training is due, after midnight.
    pub at: TimeDelta,
    /// Days from one training to the next.
    pub every_days: i64,
}

impl TrainingConfig {
    /// Nightly at 03:40 KST, when the day before is whole but for its last re-read.
    pub fn daily(target: &'static Target) -> TrainingConfig {
        TrainingConfig { target, at: TimeDelta::minutes(3 * 60 + 40), every_days: 1 }
    }
}

/// Issues and scores a target's forecasts until cancelled. Takes part in the city's work from the call on, not from when
/// it is first polled: a stepped clock can't leave before it has begun.
pub fn run_forecasts(
    lake: Lake,
    clock: Clock,
    config: ForecastConfig,
    landed: LandedThrough,
    cancel: CancellationToken,
) -> impl Future<Output = Result<()>> + Send + 'static {
    forecasts(lake, clock.participant(), config.target, landed, cancel)
}

async fn forecasts(
    lake: Lake,
    mut worker: Participant,
    target: &'static Target,
    landed: LandedThrough,
    cancel: CancellationToken,
) -> Result<()> {
    let clock = worker.clock().clone();
    let mut following = None;
    let mut next = kst::floor(clock.now(), target.step());
    loop {
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = worker.sleep_until(next) => {}
        }
        let round = async {
            landed(next).await;
            forecast_round(&lake, &clock, target, &mut following).await
        };
        let done = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            done = round => done,
        };
        match done {
            // At high speed an hour may have passed meanwhile: then the next round comes at once.
            Ok(()) => next += target.step(),
            Err(error) => {
                // A half-read panel isn't followed further.
                following = None;
                metrics::counter!("hangang_forecast_failures_total", "target" => target.name).increment(1);
                if passing(&error) {
                    tracing::warn!(target = target.name, error = format!("{error:#}"), "the forecast waits for the lake");
                } else {
                    tracing::error!(target = target.name, error = format!("{error:#}"), "no forecast; the last one stays");
                }
                tokio::select! {
                    () = cancel.cancelled() => return Ok(()),
                    () = tokio::time::sleep(RETRY) => {}
                }
            }
        }
    }
}

/// What forecasting keeps from one round to the next.
pub struct Following {
    panel: Panel,
    champion: Option<Arc<Bundle>>,
}

/// Issues every origin that is due, in order, and scores what has come. `following` is none at first, and after an error.
pub async fn forecast_round(
    lake: &Lake,
    clock: &Clock,
    target: &'static Target,
    following: &mut Option<Following>,
) -> Result<()> {
    let now = clock.now();
    let until = now + target.step() * target.horizon as i32;
    let Following { panel, champion } = match following {
        Some(following) => {
            following.panel.refresh(until, LOOK_BACK_DAYS).await?;
            following
        }
        None => {
            let panel = Panel::load(lake, target, now - TimeDelta::days(LOOK_BACK_DAYS), until).await?;
            following.insert(Following { panel, champion: None })
        }
    };
    for origin in due(target, issued_through(lake, target).await?, now, CATCH_UP_ORIGINS_MAX) {
        if let Issued::NothingKnown = issue(lake, target, panel, champion, origin, clock.now()).await? {
            tracing::info!(target = target.name, %origin, "nothing to forecast from yet");
        }
    }
    score(lake, target, panel).await?;
    Ok(())
}

/// Trains a target until cancelled: first as soon as there is history enough and no trained bundle yet, then on
/// schedule. Takes part in the city's work from the call on, as [`run_forecasts`] does.
pub fn run_training(
    lake: Lake,
    clock: Clock,
    config: TrainingConfig,
    train: Train,
    cancel: CancellationToken,
) -> impl Future<Output = Result<()>> + Send + 'static {
    let training = training(lake, clock.participant(), config, train);
    // Whoever started the training's process ends it when this future is dropped.
    async move { cancel.run_until_cancelled(training).await.unwrap_or(Ok(())) }
}

async fn training(lake: Lake, mut worker: Participant, config: TrainingConfig, train: Train) -> Result<()> {
    let (clock, target) = (worker.clock().clone(), config.target);
    let mut last = None;
    loop {
        match next_training(&lake, clock.now(), last, &config).await {
            Ok(Next::Train(at)) => worker.sleep_until(at).await,
            Ok(Next::Look(at)) => {
                worker.sleep_until(at).await;
                continue;
            }
            Err(error) => {
                tracing::warn!(target = target.name, error = format!("{error:#}"), "training waits for the lake");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        }
        if let Err(error) = train(kst::floor(clock.now(), target.step())).await {
            metrics::counter!("hangang_train_failures_total", "target" => target.name).increment(1);
            tracing::error!(target = target.name, error = format!("{error:#}"), "training failed; the champion stays");
        }
        // Whatever came of it, the next one is due on another day.
        last = Some(clock.now());
    }
}

/// What a training's schedule waits for, in the city's time.
enum Next {
    Train(DateTime<Utc>),
    /// Whether history has become long enough.
    Look(DateTime<Utc>),
}

/// What is due at `now`: a training at once if there was none yet; `last` is when one ended that the registry may not
/// know of.
async fn next_training(lake: &Lake, now: DateTime<Utc>, last: Option<DateTime<Utc>>, config: &TrainingConfig) -> Result<Next> {
    let target = config.target;
    let registry = Registry::read(lake, target).await?;
    let trained = registry.entries().iter().filter(|entry| entry.kind == "lightgbm").map(|entry| entry.decided_at);
    if let Some(last) = trained.chain(last).max() {
        let day = kst::floor(last - config.at, TimeDelta::days(1)) + config.at;
        return Ok(Next::Train(day + TimeDelta::days(config.every_days)));
    }
    let known_at = kst::floor(now, target.step());
    let days = panel::extent(lake, target).await?.map_or(0, |(first, _)| (known_at - first).num_days());
    // A history may be imported at any time: looked for once a step, as forecasts are made.
    Ok(if days >= HISTORY_DAYS_MIN { Next::Train(now) } else { Next::Look(known_at + target.step()) })
}

fn passing(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<LakeError>().is_some_and(LakeError::is_passing))
}
