//! How a processor is set up.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use catalog::{FEEDS, Feed};
use rdkafka::ClientConfig;

/// Everything a [`Processor`](crate::Processor) is told.
#[derive(Clone)]
pub struct ProcessorConfig {
    /// Kafka's address, `host:port`, several by commas.
    pub bootstrap: String,
    /// Consumer group: processors of one group share the partitions.
    pub group: String,
    pub feeds: Vec<&'static Feed>,
    /// Real time that a batch waits for more after its first record. Each commit has a price, and this bounds how many
    /// there are; it is also what a row waits at most before it is visible.
    pub linger: Duration,
    /// Records of a batch at most.
    pub batch_records: usize,
    /// Further options of librdkafka, as `security.protocol`; they may hold secrets.
    pub client: BTreeMap<String, String>,
}

/// Some hundred bytes each make this a batch of 10 MB, read and checked in under a tenth of a second.
const BATCH_RECORDS: usize = 50_000;
const LINGER: Duration = Duration::from_millis(200);

impl ProcessorConfig {
    /// All feeds, with the usual bounds.
    pub fn new(bootstrap: impl Into<String>, group: impl Into<String>) -> ProcessorConfig {
        ProcessorConfig {
            bootstrap: bootstrap.into(),
            group: group.into(),
            feeds: FEEDS.to_vec(),
            linger: LINGER,
            batch_records: BATCH_RECORDS,
            client: BTreeMap::new(),
        }
    }

    /// What every client of this processor has in common.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.bootstrap).set("client.id", "hangang-process");
        // A broker that restarts is back within seconds; don't wait longer than that before trying again.
        client.set("reconnect.backoff.max.ms", "1000").set("allow.auto.create.topics", "false");
        for (name, value) in &self.client {
            client.set(name, value);
        }
        client
    }
}

impl fmt::Debug for ProcessorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessorConfig")
            .field("bootstrap", &self.bootstrap)
            .field("group", &self.group)
            .field("feeds", &self.feeds.iter().map(|feed| feed.name).collect::<Vec<_>>())
            .field("linger", &self.linger)
            .field("batch_records", &self.batch_records)
            .field("client", &self.client.keys().collect::<Vec<_>>())
            .finish()
    }
}
