//! Step 1: which questions are due. Pure: schedule and time in, asks out.
//!
//! Each interval is asked for several times after its end (the catalog's `asks_seconds`), whether or not it has been
//! filled, since late and revised values are seen only by asking again. [`Schedule`] holds what is due and not answered
//! yet: an ask leaves it when the upstream has answered, never because time has passed, so that asks are late after
//! trouble but not skipped. Several due asks of the same thing are one.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use catalog::{Feed, kst};
use chrono::{DateTime, TimeDelta, Utc};

use crate::feeds::{Source, SpeaksOf};

/// How many unanswered asks are kept, so that an upstream that is gone for good does not fill the memory: two months of
/// one ask a spot and hour. The oldest go first, and that is an error.
const WAITING_MAX: usize = 200_000;

/// One question to an upstream.
#[derive(Clone, Debug)]
pub struct Ask {
    pub source: &'static Source,
    /// What it names, where the upstream is asked place by place: a spot's id.
    pub place: Option<Arc<str>>,
    /// Start of the interval it is about, UTC.
    pub interval: DateTime<Utc>,
    /// City time at which it was due; of several asks that became one, the latest.
    pub due_at: DateTime<Utc>,
    /// How often it has been made without an answer.
    pub attempt: u32,
    /// Why its answer was last sent to the dead letters, so that the same reason sends it only once.
    pub(crate) dead_letter: Option<&'static str>,
}

impl Ask {
    /// A question about the newest interval that can be had, outside any schedule.
    pub fn now(source: &'static Source, place: Option<&str>, now: DateTime<Utc>) -> Ask {
        let feed = source.feed;
        let interval = kst::floor(now - feed.delay(), feed.interval()) - feed.interval();
        Ask { source, place: place.map(Arc::from), interval, due_at: now, attempt: 0, dead_letter: None }
    }
}

/// The asks of one feed that are due and unanswered, and how far the schedule has been followed.
pub(crate) struct Schedule {
    source: &'static Source,
    /// City time up to which every due ask has been taken up, included.
    taken_up_to: DateTime<Utc>,
    waiting: BTreeMap<Key, Ask>,
    /// Asks given up and not told yet, and the newest interval that any was about.
    given_up: u64,
    given_up_to: Option<DateTime<Utc>>,
}

/// The newest interval first: it is what the next forecast waits for.
type Key = (Reverse<DateTime<Utc>>, Option<Arc<str>>);

impl Schedule {
    /// A schedule of which everything due at or before `taken_up_to` has been done.
    pub(crate) fn new(source: &'static Source, taken_up_to: DateTime<Utc>) -> Schedule {
        Schedule { source, taken_up_to, waiting: BTreeMap::new(), given_up: 0, given_up_to: None }
    }

    /// Takes up what has become due until `now`, for each of the places (none for a feed that is asked whole).
    pub(crate) fn advance(&mut self, now: DateTime<Utc>, places: &[Arc<str>]) {
        let due = due(self.source, self.taken_up_to, now);
        self.taken_up_to = self.taken_up_to.max(now);
        if self.source.speaks_of == SpeaksOf::Now && !due.is_empty() {
            // The answer will be about now, whatever interval an older ask was meant for.
            self.waiting.clear();
        }
        for (interval, due_at) in due {
            self.wait(interval, due_at, places);
        }
        self.tell_given_up();
    }

    /// Takes up an ask for an interval outside the schedule.
    pub(crate) fn wait(&mut self, interval: DateTime<Utc>, due_at: DateTime<Utc>, places: &[Arc<str>]) {
        let named = places.iter().cloned().map(Some);
        let places: Vec<_> = if self.source.by.is_some() { named.collect() } else { vec![None] };
        for place in places {
            let ask = Ask { source: self.source, place, interval, due_at, attempt: 0, dead_letter: None };
            self.put_back(ask);
        }
        while self.waiting.len() > WAITING_MAX {
            let (_, ask) = self.waiting.pop_last().expect("more than none wait");
            self.given_up += 1;
            self.given_up_to = self.given_up_to.max(Some(ask.interval));
        }
    }

    /// Says once what was given up since the last time: what waits is bounded.
    fn tell_given_up(&mut self) {
        let (asks, feed) = (std::mem::take(&mut self.given_up), self.source.feed.name);
        if asks == 0 {
            return;
        }
        metrics::counter!("hangang_ask_given_up_total", "feed" => feed).increment(asks);
        let up_to = self.given_up_to.map(|interval| kst::at_kst(interval).to_rfc3339()).unwrap_or_default();
        tracing::error!(
            feed,
            asks,
            up_to,
            "asks are given up unanswered, of intervals up to this one: more than {WAITING_MAX} wait. What they would have brought comes by `hangang import` only"
        );
    }

    /// Everything that waits, the newest interval first. What stays unanswered has to be put back.
    pub(crate) fn take(&mut self) -> Vec<Ask> {
        std::mem::take(&mut self.waiting).into_values().collect()
    }

    pub(crate) fn put_back(&mut self, ask: Ask) {
        let waiting = self.waiting.entry((Reverse(ask.interval), ask.place.clone())).or_insert_with(|| ask.clone());
        waiting.due_at = waiting.due_at.max(ask.due_at);
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Start of the oldest interval that waits.
    pub(crate) fn oldest(&self) -> Option<DateTime<Utc>> {
        self.waiting.keys().next_back().map(|(interval, _)| interval.0)
    }

    /// City time up to which every ask has been answered, included. Asks that were taken and not put back count as answered.
    pub(crate) fn answered_up_to(&self) -> DateTime<Utc> {
        let unanswered = self.waiting.values().map(|ask| ask.due_at).min();
        unanswered.map_or(self.taken_up_to, |due_at| self.taken_up_to.min(due_at - TimeDelta::microseconds(1)))
    }

    /// When something becomes due that has not been taken up.
    pub(crate) fn next_due(&self) -> DateTime<Utc> {
        next_due(self.source.feed, self.taken_up_to)
    }
}

/// The intervals with an ask due after `from` and at or before `to`, each once, with its latest such ask. Where the
/// upstream speaks of now only, just the newest.
fn due(source: &Source, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    let feed = source.feed;
    let mut latest = BTreeMap::new();
    // Ascending, so that an interval's later ask replaces its earlier one.
    for ask in feed.asks() {
        let after_start = feed.interval() + ask;
        let mut interval = first_after(feed, from - after_start);
        while interval + after_start <= to {
            latest.insert(interval, interval + after_start);
            interval += feed.interval();
        }
    }
    match source.speaks_of {
        SpeaksOf::Asked => latest.into_iter().collect(),
        SpeaksOf::Now => latest.pop_last().into_iter().collect(),
    }
}

fn next_due(feed: &Feed, after: DateTime<Utc>) -> DateTime<Utc> {
    let next = |ask: TimeDelta| first_after(feed, after - feed.interval() - ask) + feed.interval() + ask;
    feed.asks().map(next).min().expect("a feed is asked at least once")
}

/// The first interval that starts after an instant.
fn first_after(feed: &Feed, instant: DateTime<Utc>) -> DateTime<Utc> {
    kst::floor(instant, feed.interval()) + feed.interval()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feeds::{traffic_spot, traffic_volume};

    fn at(kst: &str) -> DateTime<Utc> {
        format!("{kst}:00+09:00").parse().expect("a time")
    }

    fn show(instant: DateTime<Utc>) -> String {
        kst::at_kst(instant).format("%d %H:%M").to_string()
    }

    fn places(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|&name| name.into()).collect()
    }

    /// What waits, as `interval ← due place`, in the order in which it is asked.
    fn waiting(schedule: &mut Schedule) -> String {
        let asks = schedule.take();
        let line =
            |ask: &Ask| format!("{} <- {} {}", show(ask.interval), show(ask.due_at), ask.place.as_deref().unwrap_or("whole"));
        asks.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn an_hour_is_asked_for_five_times_after_its_end_filled_or_not() {
        let mut schedule = Schedule::new(&traffic_volume::SOURCE, at("2022-10-01T07:00"));
        let mut asked = Vec::new();
        while schedule.next_due() < at("2022-10-02T09:00") {
            let now = schedule.next_due();
            schedule.advance(now, &places(&["A-01"]));
            asked.extend(
                schedule.take().into_iter().filter(|ask| ask.interval == at("2022-10-01T07:00")).map(|ask| show(ask.due_at)),
            );
        }
        assert_eq!(asked, ["01 08:30", "01 10:30", "01 11:30", "01 14:30", "02 08:30"]);
    }

    #[test]
    fn five_hours_are_due_at_each_half_hour_the_newest_first() {
        let mut schedule = Schedule::new(&traffic_volume::SOURCE, at("2022-10-01T11:45"));
        assert_eq!(show(schedule.next_due()), "01 12:30");
        schedule.advance(at("2022-10-01T12:30"), &places(&["A-01", "A-02"]));
        insta::assert_snapshot!(waiting(&mut schedule), @r"
        01 11:00 <- 01 12:30 A-01
        01 11:00 <- 01 12:30 A-02
        01 09:00 <- 01 12:30 A-01
        01 09:00 <- 01 12:30 A-02
        01 08:00 <- 01 12:30 A-01
        01 08:00 <- 01 12:30 A-02
        01 05:00 <- 01 12:30 A-01
        01 05:00 <- 01 12:30 A-02
        30 11:00 <- 01 12:30 A-01
        30 11:00 <- 01 12:30 A-02
        ");
    }

    #[test]
    fn after_an_outage_every_missed_ask_is_made_and_those_of_one_interval_once() {
        let mut schedule = Schedule::new(&traffic_volume::SOURCE, at("2022-10-01T12:30"));
        schedule.advance(at("2022-10-01T15:40"), &places(&["A-01"]));
        // 11:00 was due at 14:30 and again at 15:30: it is asked once.
        insta::assert_snapshot!(waiting(&mut schedule), @r"
        01 14:00 <- 01 15:30 A-01
        01 13:00 <- 01 14:30 A-01
        01 12:00 <- 01 15:30 A-01
        01 11:00 <- 01 15:30 A-01
        01 10:00 <- 01 14:30 A-01
        01 09:00 <- 01 13:30 A-01
        01 08:00 <- 01 15:30 A-01
        01 07:00 <- 01 14:30 A-01
        01 06:00 <- 01 13:30 A-01
        30 14:00 <- 01 15:30 A-01
        30 13:00 <- 01 14:30 A-01
        30 12:00 <- 01 13:30 A-01
        ");
    }

    #[test]
    fn an_upstream_that_speaks_of_now_is_asked_once_after_any_outage() {
        let mut schedule = Schedule::new(&traffic_spot::SOURCE, at("2022-10-01T00:10"));
        schedule.advance(at("2022-10-05T13:00"), &[]);
        insta::assert_snapshot!(waiting(&mut schedule), @"05 00:00 <- 05 00:10 whole");
        assert_eq!(show(schedule.next_due()), "06 00:10");
    }

    #[test]
    fn an_unanswered_ask_waits_until_it_is_answered_and_joins_a_later_one() {
        let mut schedule = Schedule::new(&traffic_volume::SOURCE, at("2022-10-01T12:00"));
        schedule.advance(at("2022-10-01T12:30"), &places(&["A-01"]));
        for ask in schedule.take().into_iter().filter(|ask| ask.interval == at("2022-10-01T11:00")) {
            schedule.put_back(Ask { attempt: ask.attempt + 1, ..ask });
        }
        schedule.advance(at("2022-10-01T14:30"), &places(&["A-01"]));
        let joined: Vec<_> = schedule.take().into_iter().filter(|ask| ask.interval == at("2022-10-01T11:00")).collect();
        assert_eq!(joined.len(), 1);
        assert_eq!((show(joined[0].due_at).as_str(), joined[0].attempt), ("01 14:30", 1));
    }

    #[test]
    fn what_goes_on_from_where_all_was_answered_asks_for_what_was_not() {
        let mut schedule = Schedule::new(&traffic_volume::SOURCE, at("2022-10-01T12:00"));
        schedule.advance(at("2022-10-01T14:40"), &places(&["A-01", "A-02"]));
        let unanswered: Vec<Ask> = schedule
            .take()
            .into_iter()
            .filter(|ask| show(ask.due_at) == "01 13:30" && ask.place.as_deref() == Some("A-02"))
            .collect();
        assert!(!unanswered.is_empty());
        unanswered.iter().cloned().for_each(|ask| schedule.put_back(ask));
        let mut anew = Schedule::new(&traffic_volume::SOURCE, schedule.answered_up_to());
        anew.advance(at("2022-10-01T14:40"), &places(&["A-01", "A-02"]));
        let asked = anew.take();
        let same = |ask: &Ask, other: &Ask| (ask.interval, &ask.place) == (other.interval, &other.place);
        assert!(
            unanswered.iter().all(|ask| asked.iter().any(|other| same(ask, other))),
            "{unanswered:?} not all among {asked:?}"
        );
        schedule.take();
        assert_eq!(show(schedule.answered_up_to()), "01 14:40", "nothing waits");
    }

    #[test]
    fn nothing_is_due_twice_however_time_is_cut() {
        let (from, to) = (at("2022-10-01T00:00"), at("2022-10-08T00:00"));
        let mut cut = Schedule::new(&traffic_volume::SOURCE, from);
        let (mut times, mut now) = (0, from);
        while now < to {
            // Steps of uneven length, none on the grid.
            now = (now + TimeDelta::minutes(7 + (times % 11) * 5)).min(to);
            cut.advance(now, &places(&["A-01"]));
            times += cut.take().len() as i64;
        }
        // Every interval's five asks in seven days of 24 hours.
        assert_eq!(times, 7 * 24 * 5);
    }
}
