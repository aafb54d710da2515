//! `hangang status`: how it stands, on one screen.

use anyhow::bail;
use catalog::FEEDS;
use chrono::{DateTime, Utc};
use clap::Args;
use lake::{Damage, DamageKind};

use crate::city::City;
use crate::config::Config;
use crate::overview::{self, Overview, Standing};
use crate::{screen, stages};

#[derive(Args)]
pub struct StatusArgs {
    /// Write JSON, for programs
    #[arg(long)]
    json: bool,
    /// Read every file that is kept and every row, and say what is damaged and what mends it
    #[arg(long, conflicts_with = "json")]
    check: bool,
}

pub async fn run(config: Config, args: StatusArgs) -> anyhow::Result<()> {
    if args.check {
        return check(&config).await;
    }
    let lake = stages::open_lake(&config).await?;
    // A lake can be looked at while its city stands still.
    let now = City::join(&config).await.ok().map(|city| city.clock.now());
    let overview = overview::read(&lake, &config.kafka.address(), now).await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&overview)?);
    } else {
        print!("{}", render(&overview));
    }
    Ok(())
}

/// Reads all that is kept; an error where anything is damaged.
async fn check(config: &Config) -> anyhow::Result<()> {
    let mut progress: Vec<String> = Vec::new();
    let asked = FEEDS.iter().map(|feed| config.data.join("asked").join(feed.name));
    for file in asked.chain([config.data.join("clock")]) {
        if let Err(error) = clock::kept::read(&file) {
            progress.push(error.to_string());
        }
    }
    let checked = lake::check(&config.lake_url).await?;
    let count = |number: usize| screen::count(number as u64);
    println!(
        "read {} commits, {} checkpoints, {} files, {} rows of the lake at {}",
        count(checked.commits),
        count(checked.checkpoints),
        count(checked.files),
        screen::count(checked.rows),
        config.lake_url
    );
    for damage in &checked.damaged {
        println!("\"{}\" {}", damage.file, damage.detail);
        println!("  {}", cost(damage));
    }
    for damage in &progress {
        println!("{damage}\n  the next start warns, and goes on from what the lake shows");
    }
    match (checked.damaged.len(), progress.len()) {
        (0, 0) => println!("nothing is damaged"),
        (0, _) => {}
        (damaged, _) => {
            bail!("{damaged} files of the lake are damaged: stop the city, then `hangang mend` does what is said above")
        }
    }
    Ok(())
}

/// What mends a damaged file, and what that costs.
fn cost(damage: &Damage) -> &'static str {
    match (damage.table.schema, &damage.kind) {
        (_, DamageKind::Checkpoint { .. }) => "mending puts it aside: the commits say the same, and another is written",
        ("observed", DamageKind::Commit { .. }) => {
            "mending puts it and later commits aside: what the topic holds is landed again; files that were imported since are named"
        }
        ("observed", _) => "mending takes it out: what the topic holds is landed again; files that were imported are named",
        ("rollup", _) => "mending empties the rollup: it is rolled up anew from what is observed",
        ("forecast", _) if damage.table.table == "accuracy" => "mending takes it out: forecasts are scored anew",
        (_, DamageKind::Commit { .. }) => "mending puts it and later commits aside: their rows are lost",
        _ => "mending takes it out: its rows are lost",
    }
}

fn render(overview: &Overview) -> String {
    let mut text = match overview.now {
        Some(now) => format!("city time {}\n", screen::kst(now)),
        None => "city time unknown: no simulator answers\n".to_owned(),
    };
    text.push_str(&format!(
        "\n{:<16}{:>12}   {:<20}   {:<20}{:>10}{:>15}\n",
        "feed", "rows", "newest interval", "received", "lag", "dead letters"
    ));
    for feed in &overview.feeds {
        let lag = feed.lag.map_or("?".to_owned(), |lag| screen::count(lag.unsigned_abs()));
        text.push_str(&format!(
            "{:<16}{:>12}   {:<20}   {:<20}{:>10}{:>15}\n",
            feed.feed,
            screen::count(feed.rows.unsigned_abs()),
            at(feed.newest_observed_at),
            at(feed.newest_received_at),
            lag,
            screen::count(feed.dead_letters.unsigned_abs())
        ));
    }
    for (feed, since) in overview.feeds.iter().filter_map(|feed| Some((feed.feed, feed.overdue_since?))) {
        text.push_str(&format!(
            "\n{feed}: something newer is overdue since {}; does its upstream answer, and do produce and process run?\n",
            screen::kst(since)
        ));
    }
    for lost in overview.feeds.iter().filter_map(|feed| feed.lost.as_ref()) {
        text.push_str(&format!("\n{lost}\n"));
    }
    if let Some(why) = &overview.kafka {
        text.push_str(&format!("lag is unknown: {why}\n"));
    }
    text.push_str(&format!("\n{:<16}{:>12}   {}\n", "target", "forecasts", "newest origin"));
    for target in &overview.targets {
        let forecasts = screen::count(target.forecasts.unsigned_abs());
        text.push_str(&format!("{:<16}{forecasts:>12}   {}\n", target.target, at(target.issued_at)));
        if target.champion.is_none() {
            text.push_str("  no champion yet: nothing has come that a rule could be fitted on\n");
        }
        for (what, when, standing) in [("champion", "since", &target.champion), ("refused", "at", &target.refused)] {
            if let Some(Standing { bundle, kind, decided_at, reason }) = standing {
                text.push_str(&format!("  {what:<10}{kind}, {bundle}\n            {when} {}: {reason}\n", at(*decided_at)));
            }
        }
    }
    text
}

fn at(instant: Option<DateTime<Utc>>) -> String {
    instant.map_or("–".to_owned(), screen::kst)
}
