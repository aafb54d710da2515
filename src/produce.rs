//! `hangang produce`: asks, fetches, parses and publishes, alone.

use crate::city::City;
use crate::config::Config;
use crate::{screen, stages};

pub async fn run(config: Config) -> anyhow::Result<()> {
    let city = City::join(&config).await?;
    let lake = stages::lake(&config).await?;
    stream_processor::ensure_topics(&stages::processing(&config)).await?;
    let cancel = stages::stopped_by_signal();
    let producers = stages::produce(&config, &city, &lake, &cancel).await?;
    screen::fact("produce", format!("{} to {}, from {}", city.seoul_url, config.kafka.address(), screen::kst(city.clock.now())));
    cancel.cancelled().await;
    producers.stop().await;
    Ok(())
}
