//! The topics: made explicitly, with settings that keep what is landed re-readable for ever.

use std::time::Duration;

use anyhow::{Context, bail};
use catalog::{FEEDS, Feed};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;

/// How long a broker may take to make the topics.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Every topic there is, with its partitions: the feeds' and, with one partition each, their dead letters'.
pub fn all() -> Vec<(String, i32)> {
    FEEDS.iter().flat_map(|feed| [(feed.topic().to_owned(), feed.partitions), (feed.dead_letter_topic(), 1)]).collect()
}

/// Makes the topics that are not there yet. Stamps of 2022 would fall to a retention of days at once, so nothing
/// expires; and city time may be ahead of the broker's clock, so the future is no error.
pub async fn ensure(bootstrap: &str) -> anyhow::Result<()> {
    let client: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("log_level", "3")
        .create()
        .context("cannot make a Kafka client")?;
    let names = all();
    let topics: Vec<NewTopic> = names
        .iter()
        .map(|(name, partitions)| {
            NewTopic::new(name, *partitions, TopicReplication::Fixed(1))
                .set("retention.ms", "-1")
                .set("message.timestamp.after.max.ms", "9223372036854775807")
        })
        .collect();
    let made = client
        .create_topics(&topics, &AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT)))
        .await
        .with_context(|| format!("no Kafka answers at {bootstrap}; start one, or correct kafka.bootstrap (--kafka HOST:PORT)"))?;
    for result in made {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => bail!("the Kafka at {bootstrap} did not make topic \"{topic}\": {code}"),
        }
    }
    Ok(())
}

/// `docs/topics.md`: each topic's record, key, partitions and an example.
pub fn document() -> String {
    let mut text = String::from(
        "# Topics\n\nDerived from the catalog (`hangang topics > docs/topics.md`; a test holds it). One JSON object an observation. \
         The Kafka timestamp is `observed_at`; `received_at` is the city time at which the response was complete. Times are UTC.\n",
    );
    for feed in FEEDS {
        text.push_str(&section(feed));
    }
    text
}

fn section(feed: &Feed) -> String {
    let example: serde_json::Value = serde_json::from_str(feed.example).expect("a feed's example is JSON");
    let key: Vec<String> = feed
        .series
        .iter()
        .map(|column| match &example[column] {
            serde_json::Value::String(text) => text.clone(),
            value => value.to_string(),
        })
        .collect();
    let received_at = example["observed_at"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .map(|observed_at| feed.received_at_import(observed_at).to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
        .expect("a feed's example has its observed_at");
    let record = format!("{},\"received_at\":\"{received_at}\"}}", feed.example.trim_end_matches('}'));
    let schema = serde_json::to_string_pretty(&catalog::record::json_schema(feed)).expect("a schema is JSON");
    format!(
        "\n## {name}\n\n{title}.\n\n| | |\n|---|---|\n| partitions | {partitions} |\n| key | `{columns}`, as `{key}` |\n| dead letters | `{dlq}` |\n\nExample:\n\n```json\n{record}\n```\n\nSchema:\n\n```json\n{schema}\n```\n",
        name = feed.topic(),
        title = feed.title,
        partitions = feed.partitions,
        columns = feed.series.join(catalog::record::SERIES_SEPARATOR),
        key = key.join(catalog::record::SERIES_SEPARATOR),
        dlq = feed.dead_letter_topic(),
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_document_in_the_repository_is_the_one_that_is_derived() {
        assert_eq!(include_str!("../docs/topics.md"), super::document(), "write it anew with: hangang topics > docs/topics.md");
    }
}
