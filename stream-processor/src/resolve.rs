//! The two commands for a partition that stands still (decision 9). Both keep everything that was landed; they only move
//! marks, in one commit, so that the next processor knows where to go on.

use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use lake::{Lake, Mark, Outcome, Table};

use crate::config::ProcessorConfig;
use crate::judge::{Judged, ask, judge};
use crate::marks::Place;
use crate::resume::Loss;
use crate::topics::Topics;
use crate::work::table_of;

/// A partition and the offset at which it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    pub place: Place,
    pub next: i64,
}

/// `hangang process --new-generation TOPIC`: every partition that was landed before is read from its start, as the next
/// generation, so that offsets seen again aren't taken for repeats.
pub async fn new_generation(lake: &Lake, config: &ProcessorConfig, topic: &str) -> anyhow::Result<Vec<Resolved>> {
    resolve(lake, config, topic, |judged| judged.mark.map(|_| anew(judged))).await
}

/// `hangang process --accept-loss TOPIC`: each partition that stands still goes on from where it starts. Where records
/// expired it stays in its generation; where the topic was made anew its offsets begin anew, and so does the generation.
pub async fn accept_loss(lake: &Lake, config: &ProcessorConfig, topic: &str) -> anyhow::Result<Vec<Resolved>> {
    let resolved = resolve(lake, config, topic, |judged| match judged.start {
        Ok(_) => None,
        Err(Loss::Expired { start, .. }) => Some((judged.mark, Resolved { place: judged.place.clone(), next: start })),
        Err(Loss::Wiped { .. } | Loss::Recreated { .. }) => Some(anew(judged)),
    });
    let resolved = resolved.await?;
    ensure!(!resolved.is_empty(), "no partition of topic \"{topic}\" stands still: there is no loss to accept");
    Ok(resolved)
}

fn anew(judged: &Judged) -> (Option<i64>, Resolved) {
    let place = Place { generation: judged.place.generation + 1, ..judged.place.clone() };
    (None, Resolved { place, next: judged.first })
}

/// Moves marks as `decide` says: from what, to what.
async fn resolve(
    lake: &Lake,
    config: &ProcessorConfig,
    topic: &str,
    decide: impl Fn(&Judged) -> Option<(Option<i64>, Resolved)>,
) -> anyhow::Result<Vec<Resolved>> {
    let topics = Arc::new(Topics::new(config).context("setting up a Kafka client")?);
    let mut table: Table = table_of(lake, topic).await?;
    let partitions = ask(&topics, topic, |topics, topic| topics.partitions(topic)).await?;
    let partitions = partitions.with_context(|| format!("topic \"{topic}\" is not on the broker at \"{}\"", config.bootstrap))?;
    let mut decided = Vec::new();
    for partition in 0..partitions {
        decided.extend(decide(&judge(lake, &topics, &table, topic, partition).await?));
    }
    let marks: Vec<Mark> = decided
        .iter()
        .map(|(from, resolved)| Mark { app_id: resolved.place.to_string(), from: *from, to: resolved.next })
        .collect();
    if let Outcome::Superseded = table.append(&[], &marks).await? {
        bail!(
            "topic \"{topic}\" was landed further meanwhile: stop the processor, then look again whether anything stands still"
        );
    }
    Ok(decided.into_iter().map(|(_, resolved)| resolved).collect())
}
