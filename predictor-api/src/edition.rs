//! What everyone is answered from at one moment: the tables' versions, each target's newest forecast and champion, and the
//! bodies made of them so far.
//!
//! A new edition appears when a table's version or a forecast's staleness changes, and takes along every body that rests
//! on nothing that changed. A body is never older than its edition's versions. If the lake can't be read, the last
//! edition stays: the last good forecast is served, and in its time marked stale.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, OnceLock, RwLock};

use anyhow::Context;
use catalog::{TARGETS, TableName, Target};
use chrono::{DateTime, Utc};
use lake::Lake;
use serde::Serialize;
use utoipa::ToSchema;

use crate::body::Body;
use crate::feeds::LiveFeed;
use crate::forecast::{self, Forecast};
use crate::front::Count;
use crate::rows::{Rows, text_literal};
use crate::times::kst;

/// A forecast is stale when city time is more than this many steps past its origin: one step is how often a new one
/// is due, another is its grace.
const STALE_AFTER_STEPS: i32 = 2;

/// What a body can rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// `observed.*`: how much has landed and how fresh it is.
    Arrivals,
    /// `rollup.*`: what came.
    Observations,
    /// The names and places of spots.
    Places,
    /// `forecast.forecasts` and `forecast.models`, and whether the newest forecast is stale.
    Forecasts,
    /// `forecast.accuracy`.
    Accuracy,
}

impl Part {
    fn of(table: &TableName) -> &'static [Part] {
        match (table.schema, table.table) {
            ("observed", "traffic_spot") => &[Part::Arrivals, Part::Places],
            ("observed", _) => &[Part::Arrivals],
            ("rollup", _) => &[Part::Observations],
            ("forecast", "accuracy") => &[Part::Accuracy],
            ("forecast", _) => &[Part::Forecasts],
            _ => &[],
        }
    }
}

/// See the module.
pub struct Edition {
    versions: BTreeMap<TableName, i64>,
    pub headlines: Vec<Headline>,
    /// What has landed of every feed, once someone has asked.
    pub feeds: OnceLock<Vec<LiveFeed>>,
    bodies: RwLock<Bodies>,
}

/// What there is of one target.
#[derive(Clone)]
pub struct Headline {
    pub target: &'static Target,
    pub champion: Option<Champion>,
    /// The newest forecast.
    pub forecast: Option<Arc<Forecast>>,
    /// Whether a newer one is overdue.
    pub stale: bool,
}

/// The bundle in use.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Champion {
    /// Id of the bundle; joins `forecast.models`.
    pub bundle: String,
    /// `lightgbm`, or the naive rule's name.
    pub kind: String,
    /// Since when it is champion (KST).
    pub since: DateTime<chrono::FixedOffset>,
    /// It was fitted on what was known then (KST).
    pub known_at: DateTime<chrono::FixedOffset>,
    /// Why it became champion, in words.
    pub reason: String,
}

impl Edition {
    /// Before the lake has been read.
    pub fn empty() -> Edition {
        let headlines = TARGETS.iter().map(|target| Headline { target, champion: None, forecast: None, stale: false }).collect();
        Edition { versions: BTreeMap::new(), headlines, feeds: OnceLock::new(), bodies: RwLock::default() }
    }

    /// The edition that follows this one at city time `now`; none where nothing has changed.
    pub async fn next(&self, lake: &Lake, now: DateTime<Utc>) -> anyhow::Result<Option<Edition>> {
        let versions = versions(lake).await?;
        let changed: HashSet<Part> = versions
            .iter()
            .filter(|(table, version)| self.versions.get(table) != Some(version))
            .flat_map(|(table, _)| Part::of(table))
            .copied()
            .collect();
        let mut headlines = self.headlines.clone();
        if changed.contains(&Part::Forecasts) {
            for headline in &mut headlines {
                headline.refresh(lake).await?;
            }
        }
        Ok(self.turned(versions, headlines, changed, now))
    }

    /// The edition that follows this one while the lake can't be read: what was known last, which grows stale.
    pub fn aged(&self, now: DateTime<Utc>) -> Option<Edition> {
        self.turned(self.versions.clone(), self.headlines.clone(), HashSet::new(), now)
    }

    fn turned(
        &self,
        versions: BTreeMap<TableName, i64>,
        mut headlines: Vec<Headline>,
        mut changed: HashSet<Part>,
        now: DateTime<Utc>,
    ) -> Option<Edition> {
        for headline in &mut headlines {
            let stale = headline.is_stale(now);
            if stale != headline.stale {
                headline.stale = stale;
                changed.insert(Part::Forecasts);
            }
        }
        if changed.is_empty() {
            return None;
        }
        let bodies = self.bodies.read().expect("no holder of the bodies panics").without(&changed);
        let feeds = if changed.contains(&Part::Arrivals) { OnceLock::new() } else { self.feeds.clone() };
        Some(Edition { versions, headlines, feeds, bodies: RwLock::new(bodies) })
    }

    pub fn headline(&self, target: &Target) -> &Headline {
        self.headlines.iter().find(|headline| headline.target.name == target.name).expect("every target has a headline")
    }

    pub fn kept(&self, path_and_query: &str) -> Option<Arc<Kept>> {
        self.bodies.read().expect("no holder of the bodies panics").kept.get(path_and_query).cloned()
    }

    pub fn keep(&self, path_and_query: &str, kept: Kept) {
        self.bodies.write().expect("no holder of the bodies panics").keep(path_and_query, kept);
    }
}

impl Headline {
    async fn refresh(&mut self, lake: &Lake) -> anyhow::Result<()> {
        self.champion = champion(lake, self.target).await?;
        let known = self.forecast.as_ref().map(|forecast| forecast.issued_at);
        let newest = forecast::newest_issued_at(lake, self.target, known).await?;
        if let Some(issued_at) = newest.filter(|&newest| Some(newest) != known) {
            self.forecast = forecast::read(lake, self.target, issued_at).await?;
        }
        Ok(())
    }

    fn is_stale(&self, now: DateTime<Utc>) -> bool {
        self.forecast.as_ref().is_some_and(|forecast| now > forecast.issued_at + self.target.step() * STALE_AFTER_STEPS)
    }
}

/// The version of every table that a route reads.
async fn versions(lake: &Lake) -> anyhow::Result<BTreeMap<TableName, i64>> {
    let mut versions = BTreeMap::new();
    for table in catalog::tables::all().into_iter().filter(|table| !Part::of(&table.name).is_empty()) {
        let version = lake.table(&table.name).await.with_context(|| format!("looking for news of {}", table.name))?.version();
        versions.insert(table.name, version);
    }
    Ok(versions)
}

async fn champion(lake: &Lake, target: &Target) -> anyhow::Result<Option<Champion>> {
    let sql = format!(
        "SELECT bundle, kind, decided_at, known_at, reason FROM current.champions WHERE target = {}",
        text_literal(target.name)
    );
    let rows = Rows::of(lake, &sql).await?;
    if rows.count() == 0 {
        return Ok(None);
    }
    Ok(Some(Champion {
        bundle: rows.texts("bundle")?.value(0).to_owned(),
        kind: rows.texts("kind")?.value(0).to_owned(),
        since: kst(rows.instants("decided_at")?.at(0)?),
        known_at: kst(rows.instants("known_at")?.at(0)?),
        reason: rows.texts("reason")?.value(0).to_owned(),
    }))
}

/// Most bytes of bodies kept: some forty answers of every series, or thousands of one. The whole process may take 400 MB.
const BODIES_BYTES_MAX: usize = 24 << 20;

/// A body that is sent until something that it rests on changes.
pub struct Kept {
    pub body: Body,
    pub rests_on: &'static [Part],
    /// Where its sendings are counted.
    pub count: Count,
}

#[derive(Default)]
struct Bodies {
    kept: HashMap<String, Arc<Kept>>,
    bytes: usize,
}

impl Bodies {
    fn without(&self, changed: &HashSet<Part>) -> Bodies {
        let rests = |kept: &Kept| kept.rests_on.iter().any(|part| changed.contains(part));
        let kept: HashMap<_, _> =
            self.kept.iter().filter(|(_, kept)| !rests(kept)).map(|(key, kept)| (key.clone(), kept.clone())).collect();
        let bytes = kept.iter().map(|(key, kept)| key.len() + kept.body.bytes()).sum();
        Bodies { kept, bytes }
    }

    /// Makes room by forgetting all: what is asked for is soon made again.
    fn keep(&mut self, key: &str, kept: Kept) {
        let bytes = key.len() + kept.body.bytes();
        if bytes > BODIES_BYTES_MAX {
            return;
        }
        if self.bytes + bytes > BODIES_BYTES_MAX {
            *self = Bodies::default();
        }
        if let Some(old) = self.kept.insert(key.to_owned(), Arc::new(kept)) {
            self.bytes -= key.len() + old.body.bytes();
        }
        self.bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(bytes: impl Into<bytes::Bytes>, rests_on: &'static [Part]) -> Kept {
        Kept { body: Body::new("text/plain", bytes), rests_on, count: Count::of("/") }
    }

    #[test]
    fn a_change_forgets_only_what_rests_on_it() {
        let edition = Edition::empty();
        edition.keep("/a", kept("forecast", &[Part::Forecasts, Part::Places]));
        edition.keep("/b", kept("accuracy", &[Part::Accuracy]));
        let next = edition.bodies.read().unwrap().without(&HashSet::from([Part::Forecasts]));
        assert_eq!(next.kept.keys().collect::<Vec<_>>(), ["/b"]);
        assert_eq!(next.bytes, "/baccuracy".len());
    }

    #[test]
    fn bodies_never_outgrow_their_bound() {
        let mut bodies = Bodies::default();
        for number in 0..100 {
            // Noise, which gzip can't make smaller; every byte of it counts twice.
            let mut state = number as u64 + 1;
            let noise = (0..500_000).map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 56) as u8
            });
            bodies.keep(&format!("/{number}"), kept(noise.collect::<Vec<_>>(), &[]));
            assert!(bodies.bytes <= BODIES_BYTES_MAX);
            assert!(bodies.kept.contains_key(&format!("/{number}")));
        }
        let counted: usize = bodies.kept.iter().map(|(key, kept)| key.len() + kept.body.bytes()).sum();
        assert_eq!(counted, bodies.bytes);
    }
}
