//! The gate: whether a challenger may replace the champion.
//!
//! Judged on rolling origins that neither has learnt from. A challenger must beat the best naive rule there, and the
//! champion on those of the origins that came after the champion was trained; where these are too few, the champion
//! stays.

use chrono::{DateTime, Utc};
use forecaster::{Bundle, Forecast, ForecastError, History, Rule, Score, spread_origins};
use serde::Serialize;

/// Origins that are judged.
const ORIGINS: usize = 28;
/// Origins after a trained champion's fit below which nothing is said about it: those of three days.
const ORIGINS_MIN: usize = 10;

/// What the gate saw and decided.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    pub passed: bool,
    /// In words.
    pub reason: String,
    /// First and last origin, UTC.
    pub origins: Option<(DateTime<Utc>, DateTime<Utc>)>,
    pub challenger: Score,
    /// The champion, and the challenger beside it, over the origins that the champion may be judged on.
    pub champion: Option<(Score, Score)>,
}

/// Judges `challenger`, grown on what was known at `from`, at origins from then to `known_at`.
pub fn judge(
    history: &History,
    challenger: &Bundle,
    champion: Option<&Bundle>,
    from: DateTime<Utc>,
    known_at: DateTime<Utc>,
) -> Result<Verdict, ForecastError> {
    let origins = spread_origins(history, from, known_at, ORIGINS);
    let forecasts = challenger.forecast(history, &origins, known_at)?;
    let score = Score::of(&forecasts);
    let best = best_rule(&score);
    let span = origins.first().copied().zip(origins.last().copied());
    let verdict = |passed, reason, champion| Verdict { passed, reason, origins: span, challenger: score.clone(), champion };

    let Some((rule, rule_mae, mae)) = best else {
        return Ok(verdict(false, "nothing came of the last days that it could be judged by".into(), None));
    };
    let naive = format!("MAE {mae:.1} against {rule_mae:.1} of the best naive rule, {rule}");
    if mae >= rule_mae {
        return Ok(verdict(false, format!("not better than the best naive rule: {naive}"), None));
    }
    let Some(champion) = champion else {
        return Ok(verdict(true, format!("the first: {naive}"), None));
    };
    // A naive rule learns nothing from the days but its rank and intervals: it may be judged on all of them.
    let learnt = champion.kind() == "lightgbm";
    let later: Vec<DateTime<Utc>> = origins.into_iter().filter(|&origin| !learnt || origin >= champion.known_at()).collect();
    if learnt && later.len() < ORIGINS_MIN {
        let reason =
            format!("the champion is too young to be judged: {} of {ORIGINS_MIN} origins lie after its fit", later.len());
        return Ok(verdict(false, reason, None));
    }
    let theirs = Score::of(&champion.forecast(history, &later, known_at)?);
    let ours = Score::of(forecasts.iter().filter(|forecast: &&Forecast| later.contains(&forecast.issued_at)));
    let passed = matches!((ours.mae, theirs.mae), (Some(ours), Some(theirs)) if ours < theirs);
    let show = |score: &Score| score.mae.map_or("unknown".to_owned(), |mae| format!("{mae:.1}"));
    let word = if passed { "better than" } else { "not better than" };
    let reason = format!("{word} the champion {}: MAE {} against {}; {naive}", champion.id(), show(&ours), show(&theirs));
    Ok(verdict(passed, reason, Some((theirs, ours))))
}

/// The rule with the least error, its MAE, and the challenger's over the same rows.
fn best_rule(score: &Score) -> Option<(Rule, f64, f64)> {
    let rules = score.rules.iter().filter_map(|rule| Some((rule.rule, rule.mae?, rule.mae_beside?)));
    // By skill, since rules speak of different rows: the one that leaves the challenger the least.
    rules.min_by(|a, b| (a.1 / a.2).total_cmp(&(b.1 / b.2)))
}
