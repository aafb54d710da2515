//! What is going on, told while it runs: one line for people, the whole overview for the API.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use catalog::{Target, kst};
use clock::Clock;
use lake::Lake;
use producers::Producers;
use stream_processor::Processor;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::overview::{self, Overview};
use crate::screen::{self, Live};

/// How often the lake is asked how it stands.
const INTERVAL: Duration = Duration::from_secs(2);
/// How often it is looked whether everything due has been asked.
const LANDED_INTERVAL: Duration = Duration::from_millis(20);

/// Keeps the overview fresh and the line alive until `cancel`.
pub async fn show(config: Config, lake: Lake, clock: Clock, shared: Arc<RwLock<serde_json::Value>>, cancel: CancellationToken) {
    let mut live = Live::start();
    loop {
        match overview::read(&lake, &config.kafka.address(), Some(clock.now())).await {
            Ok(overview) => {
                live.show(&line(&overview));
                let json = serde_json::to_value(&overview).expect("an overview is JSON");
                *shared.write().expect("no reader panics") = json;
            }
            Err(error) => tracing::warn!(error = format!("{error:#}"), "the lake did not say how it stands; it is asked again"),
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = cancel.cancelled() => return live.end(),
        }
    }
}

fn line(overview: &Overview) -> String {
    let mut parts = vec![overview.now.map(screen::kst).unwrap_or_default()];
    let rows: i64 = overview.feeds.iter().map(|feed| feed.rows).sum();
    let lag: Option<i64> = overview.feeds.iter().map(|feed| feed.lag).sum();
    let dead: i64 = overview.feeds.iter().map(|feed| feed.dead_letters).sum();
    parts.push(format!("{} rows landed", screen::count(rows.unsigned_abs())));
    parts.push(lag.map_or("lag unknown".to_owned(), |lag| format!("lag {}", screen::count(lag.unsigned_abs()))));
    for feed in overview.feeds.iter().filter(|feed| feed.lost.is_some()) {
        parts.push(format!("{} stands still", feed.feed));
    }
    for (feed, since) in overview.feeds.iter().filter_map(|feed| Some((feed.feed, feed.overdue_since?))) {
        parts.push(format!("{feed} overdue since {}", screen::kst(since)));
    }
    if dead > 0 {
        parts.push(format!("{} dead letters", screen::count(dead.unsigned_abs())));
    }
    for target in &overview.targets {
        let hour = |at| kst::at_kst(at).format("%H:%M");
        let issued = target.issued_at.map_or("no forecast yet".to_owned(), |at| format!("forecast from {}", hour(at)));
        // The overview was read a while after its `now`: an origin may have passed between.
        let next = overview.now.max(target.issued_at).zip(Target::by_name(target.target));
        let next = next.map(|(now, target)| format!(", next at {}", hour(kst::floor(now, target.step()) + target.step())));
        parts.push(issued + &next.unwrap_or_default());
        if let Some(champion) = &target.champion {
            parts.push(format!("champion {}", champion.kind));
        }
    }
    parts.join(" · ")
}

/// Waits until all that was due by an origin has been asked, published and landed.
pub fn landed(processor: Arc<Processor>, producers: Arc<Producers>) -> trainer::LandedThrough {
    Arc::new(move |origin| {
        let (processor, producers) = (processor.clone(), producers.clone());
        Box::pin(async move {
            let asked = || producers.status().iter().all(|feed| feed.next_ask_at.is_none_or(|next| next > origin));
            while !asked() {
                tokio::time::sleep(LANDED_INTERVAL).await;
            }
            if let Err(error) = processor.settled().await {
                tracing::error!(%error, "a forecast is made from what has landed; not all that was received has");
            }
        })
    })
}
