//! The list of the lake's stored tables: those of the feeds and rollups, and the few declared here.

use crate::column::{Column, Kind};
use crate::table::{Table, TableName};
use crate::{FEEDS, ROLLUPS};

/// Every stored table, in the order of a record's life.
pub fn all() -> Vec<Table> {
    let mut tables: Vec<Table> = FEEDS.iter().map(|feed| feed.observed()).collect();
    tables.extend(ROLLUPS.iter().map(|rollup| rollup.table()));
    tables.extend([quarantine(), models(), forecasts(), accuracy()]);
    tables
}

/// `ops.quarantine`: what broke its contract, once per source offset; what never had an offset, an unparsed response,
/// once per place in the dead-letter topic.
pub fn quarantine() -> Table {
    Table {
        name: TableName::new("ops", "quarantine"),
        comment: "Rows and responses that broke their feed's contract, with the reason and the bytes",
        columns: vec![
            Column::new("feed", Kind::Text, "feed whose contract was broken"),
            Column::new("reason", Kind::Text, "which part of the contract: a short stable code, as out_of_range"),
            Column::new("detail", Kind::Text, "the reason in words, with the value"),
            Column::new("received_at", Kind::Instant, "city time (UTC) at which it was received; null where it did not say")
                .nullable(),
            Column::new("refused_at", Kind::Instant, "city time (UTC) at which it was refused"),
            Column::new("topic", Kind::Text, "source topic; null for a response that was never published").nullable(),
            Column::new("generation", Kind::Int32, "generation of the source topic"),
            Column::new("partition", Kind::Int32, "source partition; null for a response that was never published").nullable(),
            Column::new("offset", Kind::Int64, "source offset; null for a response that was never published").nullable(),
            Column::new("dead_letter_topic", Kind::Text, "dead-letter topic it was landed from"),
            Column::new("dead_letter_partition", Kind::Int32, "partition there"),
            Column::new("dead_letter_offset", Kind::Int64, "offset there"),
            Column::new("key", Kind::Text, "key of the record").nullable(),
            Column::new("payload", Kind::Bytes, "the bytes as they came"),
        ],
        key: vec!["dead_letter_topic", "dead_letter_partition", "dead_letter_offset"],
        time: "refused_at",
        apart: None,
        replaced: false,
    }
}

/// `forecast.models`: the registry. One row each time that a bundle changes its standing; the newest row is its state.
pub fn models() -> Table {
    Table {
        name: TableName::new("forecast", "models"),
        comment: "The model registry: bundles, their scores and what became of them; the newest row of a bundle is its state",
        columns: vec![
            Column::new("target", Kind::Text, "what it forecasts"),
            Column::new("bundle", Kind::Text, "id of the bundle"),
            Column::new("kind", Kind::Text, "lightgbm, or the naive rule's name"),
            Column::new("standing", Kind::Text, "champion, refused or retired"),
            Column::new("reason", Kind::Text, "why it has this standing, in words"),
            Column::new(
                "decided_at",
                Kind::Instant,
                "city time (UTC) of the decision; of one target a later decision always has a later time",
            ),
            Column::new("known_at", Kind::Instant, "city time (UTC): it was fitted on what was known then"),
            Column::new("fingerprint", Kind::Text, "SHA-256 of the data it was fitted on"),
            Column::new(
                "scores",
                Kind::Text,
                "backtest on rolling origins, as JSON: errors of the bundle, the champion and the naive rules",
            ),
            Column::new("path", Kind::Text, "where the bundle lies below the lake's root").nullable(),
        ],
        key: vec!["target", "bundle", "decided_at"],
        time: "decided_at",
        apart: None,
        replaced: false,
    }
}

const FORECAST: [Column; 14] = [
    Column::new("target", Kind::Text, "what is forecast"),
    Column::new("series", Kind::Text, "which of the target's series, as A-01/1"),
    Column::new("issued_at", Kind::Instant, "origin (UTC): what was received by then is what the forecast knew"),
    Column::new("valid_at", Kind::Instant, "start (UTC) of the interval that is forecast"),
    Column::new("horizon", Kind::Int32, "steps ahead, from 1: valid_at = issued_at + (horizon − 1) steps"),
    Column::new("p10", Kind::Float64, "tenth percentile, in the target's unit"),
    Column::new("p50", Kind::Float64, "median, in the target's unit"),
    Column::new("p90", Kind::Float64, "ninetieth percentile, in the target's unit"),
    Column::new("naive_last", Kind::Float64, "the newest value known at the origin").nullable(),
    Column::new("naive_day", Kind::Float64, "the newest value known of that hour of the day").nullable(),
    Column::new("naive_week", Kind::Float64, "the value 168 h before").nullable(),
    Column::new("naive_week_mean", Kind::Float64, "mean of the last four values known of that hour of the week").nullable(),
    Column::new("rule", Kind::Text, "model, or the naive rule that stood in for it because the series is dead, stuck or new"),
    Column::new("bundle", Kind::Text, "id of the bundle; joins forecast.models"),
];

/// `forecast.forecasts`: each forecast as issued, never changed.
pub fn forecasts() -> Table {
    let mut columns = FORECAST.to_vec();
    columns.push(Column::new("computed_at", Kind::Instant, "city time (UTC) at which it was computed"));
    Table {
        name: TableName::new("forecast", "forecasts"),
        comment: "Each forecast as issued",
        columns,
        key: vec!["target", "series", "issued_at", "valid_at"],
        time: "issued_at",
        apart: None,
        replaced: false,
    }
}

/// `forecast.accuracy`: each forecast against what came. Re-scored when its actual is revised.
pub fn accuracy() -> Table {
    let mut columns = FORECAST.to_vec();
    columns.push(Column::new("actual", Kind::Float64, "what came, in the target's unit"));
    Table {
        name: TableName::new("forecast", "accuracy"),
        comment: "Each forecast against what came; re-scored when the actual is revised",
        columns,
        key: vec!["target", "series", "issued_at", "valid_at"],
        time: "valid_at",
        apart: Some("target"),
        replaced: true,
    }
}
