//! `hangang process`: consumes, checks, lands and rolls up, alone; and resolves what a broker has lost.

use ::broker::{Broker, BrokerError};
use anyhow::bail;
use catalog::FEEDS;
use clap::Args;
use lake::Lake;
use stream_processor::Resolved;

use crate::city::City;
use crate::config::Config;
use crate::{broker, screen, stages};

#[derive(Args)]
pub struct ProcessArgs {
    /// The topic was wiped or made anew: keep what was landed, and read it from its start as its next generation
    #[arg(long, value_name = "TOPIC", conflicts_with = "accept_loss")]
    new_generation: Option<String>,
    /// Records between the last landed one and the topic's start are lost: go on from where it starts
    #[arg(long, value_name = "TOPIC")]
    accept_loss: Option<String>,
}

pub async fn run(config: Config, args: ProcessArgs) -> anyhow::Result<()> {
    if args.new_generation.is_some() || args.accept_loss.is_some() {
        return resolve(config, args).await;
    }
    let city = City::join(&config).await?;
    let lake = stages::lake(&config).await?;
    stream_processor::ensure_topics(&stages::processing(&config)).await?;
    let cancel = stages::stopped_by_signal();
    let processor = stages::process(&config, &city, &lake).await?;
    let names: Vec<&str> = FEEDS.iter().map(|feed| feed.topic()).collect();
    screen::fact("process", format!("{} from {} into {}", names.join(", "), config.kafka.address(), lake.url()));
    let fault = tokio::select! {
        () = cancel.cancelled() => None,
        fault = processor.ended() => Some(fault),
    };
    processor.stop().await;
    fault.map_or(Ok(()), |fault| Err(fault.into()))
}

/// Moves the marks of a topic that stands still.
async fn resolve(mut config: Config, args: ProcessArgs) -> anyhow::Result<()> {
    let lake = stages::open_lake(&config).await?;
    let own = reachable_broker(&mut config).await?;
    let resolved = resolved(&config, &lake, &args).await;
    if let Some(own) = own {
        own.stop().await;
    }
    say(&resolved?);
    Ok(())
}

async fn resolved(config: &Config, lake: &Lake, args: &ProcessArgs) -> anyhow::Result<Vec<Resolved>> {
    let processing = stages::processing(config);
    // A wiped broker may not have them yet, and then they begin at 0.
    stream_processor::ensure_topics(&processing).await?;
    match (&args.new_generation, &args.accept_loss) {
        (Some(topic), _) => stream_processor::new_generation(lake, &processing, topic).await,
        (None, Some(topic)) => stream_processor::accept_loss(lake, &processing, topic).await,
        (None, None) => Ok(Vec::new()),
    }
}

/// The topics are asked where they stand: of the Kafka outside, of the embedded broker that another process runs, or
/// else of one that runs for as long as this takes.
async fn reachable_broker(config: &mut Config) -> anyhow::Result<Option<Broker>> {
    match broker::embedded(config).await {
        Ok(None) => Ok(None),
        Ok(Some(own)) => {
            config.kafka.listen = own.addr();
            Ok(Some(own))
        }
        Err(error) => match error.downcast_ref() {
            Some(BrokerError::PortInUse { .. }) => Ok(None),
            Some(BrokerError::Locked { .. }) => {
                bail!("the embedded broker of \"{}\" runs already; say where with --kafka HOST:PORT", config.data.display())
            }
            _ => Err(error),
        },
    }
}

fn say(resolved: &[Resolved]) {
    for Resolved { place, next } in resolved {
        screen::fact("resolved", format!("{place} goes on from offset {next}"));
    }
    if resolved.is_empty() {
        screen::fact("resolved", "nothing stood still");
    } else {
        screen::fact("next", "start `hangang up` or `hangang process`; one that runs goes on by itself");
    }
}
