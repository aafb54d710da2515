//! What damage took from `observed` is landed again, and what was made of it is made anew.
//!
//! The log still says which offsets a damaged file held. Each partition's mark goes back to the first of them that is
//! neither in the table nor in quarantine, and the rows from there on are taken out with the file, in one commit: so each
//! offset stands once, before and after. Nobody may be landing meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, bail};
use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use catalog::{Feed, ROLLUPS, tables};
use chrono::{DateTime, Utc};
use lake::{Lake, Lost, Mark, Outcome, Windows};

use crate::marks::{Place, newest};

/// What is landed again, and what cannot be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// Partitions whose records are landed again, from one offset to before another.
    pub again: Vec<(Place, i64, i64)>,
    /// Rows that an import had brought, or a topic that is no more: only importing again brings them back.
    pub imported: usize,
}

/// Takes the damaged files at `paths` out of a feed's table.
pub async fn mend_observed(lake: &Lake, feed: &Feed, paths: &[String]) -> anyhow::Result<Mended> {
    let mut table = lake.table(&feed.observed().name).await?;
    let lost: Vec<Lost> = paths.iter().filter_map(|path| table.lost(path)).collect();
    let mut offsets = offsets_of(&table.scan_without(&lost).await?)?;
    let quarantined = lake
        .query(&format!("SELECT topic, generation, partition, \"offset\" FROM ops.quarantine WHERE topic = '{}'", feed.topic()))
        .await?;
    for (place, refused) in offsets_of(&quarantined)? {
        offsets.entry(place).or_default().extend(refused);
    }
    let imported = lost.iter().map(|lost| table.lost_nulls(lost, "topic").or(lost.rows).unwrap_or(0)).sum();
    let mut mended = Mended { imported, ..Mended::default() };
    for (partition, (generation, mark)) in newest(&table.marks(), feed.topic()) {
        let place = Place { topic: feed.topic().into(), generation, partition };
        let held = offsets.get(&place);
        let missing = lost.iter().filter_map(|lost| {
            let (least, _) = table.lost_bounds(lost, "offset").unwrap_or((0, 0));
            (least..mark).find(|offset| held.is_none_or(|held| !held.contains(offset)))
        });
        if let Some(from) = missing.min() {
            mended.again.push((place, from, mark));
        }
    }
    let marks: Vec<Mark> =
        mended.again.iter().map(|(place, from, mark)| Mark { app_id: place.to_string(), from: Some(*mark), to: *from }).collect();
    let again = mended.again.clone();
    let keep = move |rows: &RecordBatch| -> BooleanArray {
        let places = places_of(rows).expect("observed has its source's columns");
        let is_again = |(place, offset): &(Option<Place>, i64)| {
            again.iter().any(|(of, from, _)| place.as_ref() == Some(of) && offset >= from)
        };
        places.iter().map(|row| Some(!is_again(row))).collect()
    };
    match table.take_out(&lost, &keep, &marks).await? {
        Outcome::Committed { .. } => Ok(mended),
        Outcome::Superseded => bail!("{} was landed further meanwhile: stop the processor first", feed.observed().name),
    }
}

/// Empties what is rolled up from a feed, so that the next processor rolls it up from all that `observed` then holds.
pub async fn roll_up_anew(lake: &Lake, feed: &Feed) -> anyhow::Result<()> {
    let all = Windows::one(DateTime::<Utc>::UNIX_EPOCH - chrono::TimeDelta::days(100 * 366), "9000-01-01T00:00:00Z".parse()?);
    let app_id = feed.observed().name.to_string();
    for rollup in ROLLUPS.iter().filter(|rollup| rollup.feed.name == feed.name) {
        let mut table = lake.table(&rollup.table().name).await?;
        let Some(seen) = table.mark(&app_id) else { continue };
        let mark = Mark { app_id: app_id.clone(), from: Some(seen), to: 0 };
        let emptied = table.replace(&all, &[], &[mark]).await.with_context(|| format!("emptying {}", rollup.table().name))?;
        if let Outcome::Superseded = emptied {
            bail!("{} was rolled up meanwhile: stop the processor first", rollup.table().name);
        }
    }
    Ok(())
}

/// Has forecasts scored anew from all that is observed and forecast.
pub async fn score_anew(lake: &Lake) -> anyhow::Result<()> {
    let mut table = lake.table(&tables::accuracy().name).await?;
    let marks: Vec<Mark> = table.marks().into_iter().map(|(app_id, seen)| Mark { app_id, from: Some(seen), to: 0 }).collect();
    match table.append(&[], &marks).await? {
        Outcome::Committed { .. } => Ok(()),
        Outcome::Superseded => bail!("forecasts were scored meanwhile: stop forecasting first"),
    }
}

fn offsets_of(batches: &[RecordBatch]) -> anyhow::Result<BTreeMap<Place, BTreeSet<i64>>> {
    let mut offsets: BTreeMap<Place, BTreeSet<i64>> = BTreeMap::new();
    for rows in batches {
        for (place, offset) in places_of(rows)? {
            if let Some(place) = place {
                offsets.entry(place).or_default().insert(offset);
            }
        }
    }
    Ok(offsets)
}

/// Of each row its partition, none for an imported one, and its offset.
fn places_of(rows: &RecordBatch) -> anyhow::Result<Vec<(Option<Place>, i64)>> {
    let column = |name: &str, kind: &DataType| -> anyhow::Result<_> {
        let column = rows.column_by_name(name).with_context(|| format!("no column \"{name}\""))?;
        Ok(cast(column, kind)?)
    };
    let (topics, generations) = (column("topic", &DataType::Utf8)?, column("generation", &DataType::Int32)?);
    let (partitions, offsets) = (column("partition", &DataType::Int32)?, column("offset", &DataType::Int64)?);
    let (topics, generations) = (topics.as_string::<i32>(), generations.as_primitive::<Int32Type>());
    let (partitions, offsets) = (partitions.as_primitive::<Int32Type>(), offsets.as_primitive::<Int64Type>());
    let mut names: BTreeMap<&str, Arc<str>> = BTreeMap::new();
    let row = |row: usize| {
        let topic =
            topics.is_valid(row).then(|| names.entry(topics.value(row)).or_insert_with(|| topics.value(row).into()).clone());
        let place = |topic| Place { topic, generation: generations.value(row), partition: partitions.value(row) };
        (topic.map(place), offsets.value(row))
    };
    Ok((0..rows.num_rows()).map(row).collect())
}
