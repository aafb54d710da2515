//! `hangang forecast`: the champion speaks from the newest origin, and what came since is scored.

use std::sync::Arc;
use std::time::Duration;

use catalog::{TARGETS, kst};
use chrono::TimeDelta;
use clap::Args;
use clock::Clock;
use futures::TryFutureExt;
use lake::Lake;
use tokio_util::sync::CancellationToken;
use trainer::{ForecastConfig, LandedThrough};

use crate::city::City;
use crate::config::Config;
use crate::{overview, screen, stages};

#[derive(Args)]
pub struct ForecastArgs {
    /// Go on at every origin until stopped
    #[arg(long)]
    schedule: bool,
}

pub async fn run(config: Config, args: ForecastArgs) -> anyhow::Result<()> {
    let city = City::join(&config).await?;
    let lake = stages::lake(&config).await?;
    let landed = landed(lake.clone(), city.clock.clone(), config.kafka.address());
    if args.schedule {
        screen::fact("forecast", format!("{} targets, from {}", TARGETS.len(), screen::kst(city.clock.now())));
        return schedule(lake, city.clock, landed, stages::stopped_by_signal()).await;
    }
    for target in TARGETS {
        landed(kst::floor(city.clock.now(), target.step())).await;
        trainer::forecast_round(&lake, &city.clock, target, &mut None).await?;
    }
    let overview = overview::read(&lake, &config.kafka.address(), Some(city.clock.now())).await?;
    for target in overview.targets {
        let issued =
            target.issued_at.map_or("nothing to forecast from yet".to_owned(), |at| format!("issued from {}", screen::kst(at)));
        screen::fact(target.target, issued);
    }
    Ok(())
}

/// Issues and scores every target's forecasts until `cancel`. A stepped clock waits for them from the call on.
pub fn schedule(
    lake: Lake,
    clock: Clock,
    landed: LandedThrough,
    cancel: CancellationToken,
) -> impl Future<Output = anyhow::Result<()>> + Send + 'static {
    let each = TARGETS.iter().map(|target| {
        trainer::run_forecasts(lake.clone(), clock.clone(), ForecastConfig { target }, landed.clone(), cancel.clone())
    });
    futures::future::try_join_all(each.collect::<Vec<_>>()).map_ok(|_| ())
}

/// How long after an origin, in city time, a producer elsewhere may still be publishing what it received before.
const IN_FLIGHT: TimeDelta = TimeDelta::minutes(2);
/// Real time between looks at the lag.
const LOOK: Duration = Duration::from_millis(200);

/// Waits for a landing that happens in other processes: a little city time, then until the topics hold nothing that
/// is not landed.
fn landed(lake: Lake, clock: Clock, bootstrap: String) -> LandedThrough {
    Arc::new(move |origin| {
        let (lake, clock, bootstrap) = (lake.clone(), clock.clone(), bootstrap.clone());
        Box::pin(async move {
            clock.sleep_until(origin + IN_FLIGHT).await;
            loop {
                match overview::lag_total(&lake, &bootstrap).await {
                    Ok(0) => return,
                    Ok(_) => {}
                    Err(error) => tracing::warn!(error = format!("{error:#}"), "the forecast waits until the topics can be read"),
                }
                tokio::time::sleep(LOOK).await;
            }
        })
    })
}
