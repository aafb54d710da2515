//! `hangang topics`: the topics' documentation, derived from the catalog.
//!
//! Nothing here talks to a Kafka: topics are made by [`stream_processor::ensure_topics`].

use catalog::{FEEDS, Feed};

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

/// The key of a feed's example, which is the id of its series.
pub fn example_key(feed: &Feed) -> String {
    let example: serde_json::Value = serde_json::from_str(feed.example).expect("a feed's example is JSON");
    let parts = feed.series.iter().map(|column| match &example[column] {
        serde_json::Value::String(text) => text.clone(),
        value => value.to_string(),
    });
    parts.collect::<Vec<_>>().join(catalog::record::SERIES_SEPARATOR)
}

fn section(feed: &Feed) -> String {
    let example: serde_json::Value = serde_json::from_str(feed.example).expect("a feed's example is JSON");
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
        key = example_key(feed),
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
