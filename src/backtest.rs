//! `hangang backtest`: what the forecasts of past days would have been, from what was known then, and how good.

use std::path::PathBuf;
use std::sync::Arc;

use catalog::Target;
use chrono::NaiveDate;
use clap::Args;
use trainer::{BacktestReport, Recipe};

use crate::config::Config;
use crate::screen::{self, Progress, fact};
use crate::stages;

#[derive(Args)]
pub struct BacktestArgs {
    /// What to forecast
    #[arg(long, value_parser = crate::train::target)]
    target: &'static Target,
    /// First date (KST), included
    #[arg(long, value_name = "DATE", value_parser = date)]
    from: NaiveDate,
    /// Last date (KST), included
    #[arg(long, value_name = "DATE", value_parser = date)]
    to: NaiveDate,
    /// Write every forecast beside what came and the naive rules, as Parquet
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn date(text: &str) -> Result<NaiveDate, String> {
    text.parse().map_err(|_| "there is no such date; give one as 2022-09-01".to_owned())
}

pub async fn run(config: Config, args: BacktestArgs) -> anyhow::Result<()> {
    let lake = stages::open_lake(&config).await?;
    let progress = Arc::new(Progress::start("backtest", "trees and origins"));
    let reporting = {
        let progress = progress.clone();
        Arc::new(move |done, total| progress.report(done, total))
    };
    let report =
        trainer::backtest(&lake, args.target, args.from, args.to, args.output.as_deref(), &Recipe::default(), reporting).await?;
    let took = progress.finish();
    print!("{}", render(&report, args.target));
    fact("took", screen::duration(took));
    if let Some(output) = &args.output {
        fact("written", format!("{} forecasts to {}", screen::count(report.rows as u64), output.display()));
    }
    Ok(())
}

/// A table per horizon against each naive rule: the mean absolute error of p50 and of the rule where both exist, and
/// their ratio.
fn render(report: &BacktestReport, target: &Target) -> String {
    let rules: Vec<&str> = report.overall.rules.iter().map(|rule| rule.rule.name()).collect();
    let mut text = format!(
        "{} of {} series from {} origins, in {}.\n\
         The median's mean absolute error and the share of truths within p10 and p90; then each naive rule's error, and\n\
         ours divided by it where both exist (under 1 is better).\n\n",
        report.target, report.series, report.origins, target.unit
    );
    text.push_str(&format!("{:>8}{:>10}{:>9}{:>10}", "hour", "forecasts", "MAE", "coverage"));
    for rule in &rules {
        text.push_str(&format!("{rule:>18}"));
    }
    text.push('\n');
    let rows = report.by_horizon.iter().enumerate().map(|(index, score)| ((index + 1).to_string(), score));
    for (name, score) in rows.chain([("all".to_owned(), &report.overall)]) {
        let coverage = score.coverage.map(|share| format!("{:.1} %", share * 100.0));
        text.push_str(&format!(
            "{name:>8}{:>10}{:>9}{:>10}",
            screen::count(score.rows),
            decimal(score.mae, 1),
            coverage.unwrap_or("–".into())
        ));
        for rule in &score.rules {
            let ratio = rule.mae_beside.zip(rule.mae).map(|(model, naive)| model / naive);
            text.push_str(&format!("{:>10} {:>7}", decimal(rule.mae, 1), decimal(ratio, 3)));
        }
        text.push('\n');
    }
    text
}

fn decimal(number: Option<f64>, places: usize) -> String {
    number.map_or("–".to_owned(), |number| format!("{number:.places$}"))
}
