//! `hangang status`: how it stands, on one screen.

use chrono::{DateTime, Utc};
use clap::Args;

use crate::city::City;
use crate::config::Config;
use crate::overview::{self, Overview, Standing};
use crate::{screen, stages};

#[derive(Args)]
pub struct StatusArgs {
    /// Write JSON, for programs
    #[arg(long)]
    json: bool,
}

pub async fn run(config: Config, args: StatusArgs) -> anyhow::Result<()> {
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
