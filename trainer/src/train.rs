//! One training, from the lake to the registry: read → fit → gate → register.

use std::sync::Arc;

use anyhow::{Context, Result};
use catalog::Target;
use chrono::{DateTime, TimeDelta, Utc};
use clock::Clock;
use forecaster::{Bundle, History};
use lake::Lake;

use crate::fit::{fit, fit_naive};
use crate::gate::{self, Verdict};
use crate::panel::{self, Panel};
use crate::recipe::{HISTORY_DAYS_MAX, HISTORY_DAYS_MIN, Recipe};
use crate::registry::{Registry, Standing};

/// Registrations that others may forestall before one gives up: each is a decision of theirs, and there are few.
const FORESTALLED_MAX: usize = 10;

#[derive(Clone, Debug, Default)]
pub struct TrainOptions {
    pub recipe: Recipe,
}

/// What became of a training.
#[derive(Clone, Debug)]
pub enum TrainReport {
    /// There is too little history for trees: some of this many days.
    TooEarly { days: i64, days_min: i64 },
    /// The challenger was judged.
    Judged { bundle: String, verdict: Box<Verdict> },
    /// The same data gave the same bundle as before, which has been judged and stays what it is.
    Before { bundle: String, standing: String },
}

/// Fits on what was known at `known_at` and offers the result to the gate, which decides at the time that `clock` shows
/// then. Progress is in trees.
pub async fn train_once(
    lake: &Lake,
    target: &'static Target,
    known_at: DateTime<Utc>,
    clock: &Clock,
    options: &TrainOptions,
    progress: Arc<dyn Fn(u64, u64) + Send + Sync>,
) -> Result<TrainReport> {
    let started = std::time::Instant::now();
    let known_at = catalog::kst::floor(known_at, target.step());
    let Some((first, _)) = panel::extent(lake, target).await? else {
        return Ok(TrainReport::TooEarly { days: 0, days_min: HISTORY_DAYS_MIN });
    };
    let from = first.max(known_at - TimeDelta::days(HISTORY_DAYS_MAX));
    let days = (known_at - from).num_days();
    if days < HISTORY_DAYS_MIN {
        return Ok(TrainReport::TooEarly { days, days_min: HISTORY_DAYS_MIN });
    }
    let history = Panel::load(lake, target, from, known_at).await?.shared_history();
    let fitted = blocking(&history, {
        let recipe = options.recipe.clone();
        move |history| fit(history, target, known_at, &recipe, &*progress)
    })
    .await?;
    let fitted = Arc::new(fitted);
    for _ in 0..FORESTALLED_MAX {
        let mut registry = Registry::read(lake, target).await?;
        if let Some(before) = registry.state(fitted.bundle.id()) {
            return Ok(TrainReport::Before { bundle: before.bundle.clone(), standing: before.standing.clone() });
        }
        let champion = match registry.champion() {
            Some(entry) => Some(registry.load(entry).await?),
            None => None,
        };
        let verdict = blocking(&history, {
            let fitted = fitted.clone();
            move |history| Ok(gate::judge(history, &fitted.gated, champion.as_ref(), fitted.gate_from, known_at)?)
        })
        .await?;
        let standing = if verdict.passed { Standing::Champion } else { Standing::Refused };
        let scores = serde_json::to_string(&verdict)?;
        if registry.register(&fitted.bundle, standing, &verdict.reason, &scores, clock.now()).await? {
            let seconds = started.elapsed().as_secs_f64();
            metrics::histogram!("hangang_train_seconds", "target" => target.name).record(seconds);
            tracing::info!(
                target = target.name,
                bundle = fitted.bundle.id(),
                passed = verdict.passed,
                reason = verdict.reason,
                seconds,
                "trained"
            );
            return Ok(TrainReport::Judged { bundle: fitted.bundle.id().to_owned(), verdict: Box::new(verdict) });
        }
    }
    anyhow::bail!(
        "the registry of \"{}\" changed {FORESTALLED_MAX} times while a bundle was to be registered; is something training without end?",
        target.name
    )
}

/// Makes the best naive rule champion where there is none yet, so that there always is one. Gives the champion; none
/// where nothing has come yet that a rule could be fitted on. `now` is the city's time; `before` is the champion as last
/// seen, so that it is read again only when it has changed.
pub async fn ensure_champion(
    lake: &Lake,
    target: &'static Target,
    history: &Arc<History>,
    known_at: DateTime<Utc>,
    now: DateTime<Utc>,
    before: Option<Arc<Bundle>>,
) -> Result<Option<Arc<Bundle>>> {
    for _ in 0..FORESTALLED_MAX {
        let mut registry = Registry::read(lake, target).await?;
        if let Some(entry) = registry.champion() {
            return match before {
                Some(before) if before.id() == entry.bundle => Ok(Some(before)),
                _ => registry.load(entry).await.map(|bundle| Some(Arc::new(bundle))),
            };
        }
        let fitted = blocking(history, move |history| Ok(fit_naive(history, target, known_at, &Recipe::default()))).await?;
        let bundle = match fitted {
            Ok(bundle) => bundle,
            Err(error) => {
                tracing::info!(target = target.name, reason = format!("{error:#}"), "no champion yet");
                return Ok(None);
            }
        };
        let reason = "the first champion: the best naive rule, until a model beats it";
        if registry.register(&bundle, Standing::Champion, reason, "{}", now).await? {
            return Ok(Some(Arc::new(bundle)));
        }
    }
    anyhow::bail!(
        "the registry of \"{}\" changed {FORESTALLED_MAX} times while its first champion was to be registered",
        target.name
    )
}

/// Runs work that takes the processor for long beside the runtime's threads.
pub(crate) async fn blocking<T: Send + 'static>(
    history: &Arc<History>,
    work: impl FnOnce(&History) -> Result<T> + Send + 'static,
) -> Result<T> {
    let history = history.clone();
    tokio::task::spawn_blocking(move || work(&history)).await.context("work beside the runtime broke off")?
}
