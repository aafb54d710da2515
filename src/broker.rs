//! `hangang broker`: the embedded Kafka-protocol broker, alone.

use ::broker::{Broker, BrokerConfig};

use crate::config::Config;
use crate::ports::{self, Server};
use crate::{folder, screen, stages};

/// Starts the embedded broker, unless a Kafka outside is configured.
pub async fn embedded(config: &Config) -> anyhow::Result<Option<Broker>> {
    if config.kafka.bootstrap.is_some() {
        return Ok(None);
    }
    folder::mark(&config.data)?;
    let broker = BrokerConfig {
        listen_option: "--set kafka.listen",
        ..BrokerConfig::new(config.data.join("broker"), config.kafka.listen)
    };
    Ok(Some(Broker::start(broker).await?))
}

pub async fn run(config: Config) -> anyhow::Result<()> {
    ports::free(&config, &[Server::Kafka])?;
    let Some(broker) = embedded(&config).await? else {
        anyhow::bail!("kafka.bootstrap names a Kafka outside; leave it empty to run the embedded broker")
    };
    screen::fact("kafka", format!("{} answers, its log is in {}", broker.addr(), config.data.join("broker").display()));
    stages::stopped_by_signal().cancelled().await;
    broker.stop().await;
    Ok(())
}
