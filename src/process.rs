//! `hangang process`: consumes, checks, lands and rolls up, alone; and resolves what a broker has lost.

use catalog::FEEDS;
use clap::Args;
use stream_processor::Resolved;

use crate::city::City;
use crate::config::Config;
use crate::{screen, stages, topics};

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
    let lake = stages::lake(&config).await?;
    let processing = stages::processing(&config);
    if let Some(topic) = &args.new_generation {
        let said = stream_processor::new_generation(&lake, &processing, topic).await?;
        say(&said);
        return Ok(());
    }
    if let Some(topic) = &args.accept_loss {
        let said = stream_processor::accept_loss(&lake, &processing, topic).await?;
        say(&said);
        return Ok(());
    }
    let city = City::join(&config).await?;
    topics::ensure(&config.kafka.address()).await?;
    let cancel = stages::stopped_by_signal();
    let processor = stages::process(&config, &city, &lake).await?;
    let names: Vec<&str> = FEEDS.iter().map(|feed| feed.topic()).collect();
    screen::fact("process", format!("{} from {} into {}", names.join(", "), config.kafka.address(), lake.url()));
    cancel.cancelled().await;
    processor.stop().await;
    Ok(())
}

fn say(resolved: &[Resolved]) {
    for Resolved { place, next } in resolved {
        screen::fact("resolved", format!("{place} goes on from offset {next}"));
    }
    if resolved.is_empty() {
        screen::fact("resolved", "nothing stood still");
    }
}
