//! How the feeds stand: what of each has landed, and whether something newer is overdue.

use anyhow::Result;
use arrow::array::Array;
use catalog::Feed;
use chrono::{DateTime, FixedOffset, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::rows::Rows;
use crate::times::kst;

/// A feed's landing.
#[derive(Clone, Serialize, ToSchema)]
pub struct LiveFeed {
    #[schema(example = "traffic_volume")]
    pub feed: String,
    /// Rows landed, every revision counted; null where the table's files don't say.
    rows: Option<i64>,
    /// Start of the newest interval observed (KST); null before anything has landed.
    observed_at: Option<DateTime<FixedOffset>>,
    /// When the newest row was received (KST).
    received_at: Option<DateTime<FixedOffset>>,
    /// Since when (KST) something newer is overdue by the feed's schedule of asks; null while it is not.
    pub overdue_since: Option<DateTime<FixedOffset>>,
}

impl LiveFeed {
    /// What is overdue, in words; none while nothing is.
    pub fn overdue(&self) -> Option<String> {
        let (since, newest) = (self.overdue_since?, self.observed_at?);
        Some(format!(
            "the newest of {} is of the interval from {}; something newer is overdue since {}: does its upstream answer?",
            self.feed,
            newest.to_rfc3339(),
            since.to_rfc3339()
        ))
    }
}

/// Every feed, at the city's time. What has landed is read once an edition.
pub async fn now(app: &App) -> Result<Vec<LiveFeed>> {
    let edition = app.edition();
    let landed = match edition.feeds.get() {
        Some(landed) => landed,
        None => {
            let read = read(app).await?;
            edition.feeds.get_or_init(|| read)
        }
    };
    let now = app.clock.now();
    let judged = landed.iter().cloned().map(|feed| LiveFeed { overdue_since: overdue_since(&feed, now), ..feed });
    Ok(judged.collect())
}

fn overdue_since(feed: &LiveFeed, now: DateTime<Utc>) -> Option<DateTime<FixedOffset>> {
    let newest = feed.observed_at?.to_utc();
    let overdue_at = Feed::by_name(&feed.feed)?.overdue_at(newest);
    (now > overdue_at).then(|| kst(overdue_at))
}

async fn read(app: &App) -> Result<Vec<LiveFeed>> {
    let rows = Rows::of(
        &app.lake,
        "SELECT feed, \"rows\" AS landed, newest_observed_at, newest_received_at FROM ops.feeds ORDER BY feed",
    )
    .await?;
    let (feed, count) = (rows.texts("feed")?, rows.integers("landed")?);
    let (observed_at, received_at) = (rows.instants("newest_observed_at")?, rows.instants("newest_received_at")?);
    let feeds = (0..feed.len()).map(|row| LiveFeed {
        feed: feed.value(row).to_owned(),
        rows: count.is_valid(row).then(|| count.value(row)),
        observed_at: observed_at.get(row).map(kst),
        received_at: received_at.get(row).map(kst),
        overdue_since: None,
    });
    Ok(feeds.collect())
}
