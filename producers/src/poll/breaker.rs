//! Which places answer, and when one that does not is asked again. Pure: what became of asks in, an order of asks out.
//!
//! A place that failed is asked once a round, by its newest ask alone, after all that answer; so it never keeps a healthy
//! one from being asked, and once it answers, all that waits for it is asked. A feed that is asked whole has one place.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::ask::Ask;
use crate::fault::Remedy;

/// First pause, in city time, after a fault that asking again at once would bring again; doubled each time.
const PAUSE: TimeDelta = TimeDelta::minutes(5);
/// Longest pause, in city time: also after a refused key.
const PAUSE_MAX: TimeDelta = TimeDelta::hours(1);
/// An ask of a place that has not answered for so long, while others do, is given up.
const GIVEN_UP_AFTER: TimeDelta = TimeDelta::days(7);

type Place = Option<Arc<str>>;

/// What is known of the places that do not answer.
#[derive(Default)]
pub(super) struct Breakers {
    failing: HashMap<Place, Failing>,
    rounds: u64,
    /// Nothing is asked before: the key was refused, and nobody answered.
    closed_until: Option<DateTime<Utc>>,
}

struct Failing {
    failures: u32,
    /// City time before which it is not asked.
    not_before: DateTime<Utc>,
    tried_in: u64,
}

/// The asks of a round.
#[derive(Default)]
pub(super) struct Round {
    /// To be made, in this order.
    pub made: Vec<Ask>,
    /// Of places that do not answer: they wait until one of theirs is answered.
    pub waiting: Vec<Ask>,
}

impl Breakers {
    /// Parts asks, the newest interval first, into those that are made now and those that wait.
    pub(super) fn round(&mut self, asks: Vec<Ask>, now: DateTime<Utc>) -> Round {
        self.rounds += 1;
        let mut round = Round::default();
        if self.closed_until.is_some_and(|until| now < until) {
            round.waiting = asks;
            return round;
        }
        self.closed_until = None;
        let mut probes: Vec<(u64, Ask)> = Vec::new();
        for ask in asks {
            match self.failing.get_mut(&ask.place) {
                None => round.made.push(ask),
                Some(failing) if failing.tried_in < self.rounds && failing.not_before <= now => {
                    probes.push((failing.tried_in, ask));
                    failing.tried_in = self.rounds;
                }
                Some(_) => round.waiting.push(ask),
            }
        }
        // The one that has waited longest first, so that a round that ends early begins elsewhere next time.
        probes.sort_by_key(|(tried_in, _)| *tried_in);
        round.made.extend(probes.into_iter().map(|(_, ask)| ask));
        round
    }

    /// Whether a place has failed and not answered since.
    pub(super) fn is_failing(&self, place: &Place) -> bool {
        self.failing.contains_key(place)
    }

    pub(super) fn answered(&mut self, place: &Place) {
        self.failing.remove(place);
    }

    pub(super) fn failed(&mut self, place: &Place, remedy: Remedy, now: DateTime<Utc>) {
        let (rounds, failing) = (self.rounds, self.failing.entry(place.clone()));
        let failing = failing.or_insert(Failing { failures: 0, not_before: now, tried_in: rounds });
        failing.not_before = now
            + match remedy {
                Remedy::Again | Remedy::Later | Remedy::Leave => TimeDelta::zero(),
                Remedy::Patiently => (PAUSE * (1 << failing.failures.min(8))).min(PAUSE_MAX),
                Remedy::Key => PAUSE_MAX,
            };
        failing.failures += 1;
    }

    /// Not made after all: it is as if this round had not asked the place.
    pub(super) fn untried(&mut self, place: &Place) {
        if let Some(failing) = self.failing.get_mut(place) {
            failing.tried_in = failing.tried_in.min(self.rounds - 1);
        }
    }

    /// The key was refused and nobody answered: all is looked at again in an hour.
    pub(super) fn close(&mut self, now: DateTime<Utc>) {
        self.closed_until = Some(now + PAUSE_MAX);
    }

    /// Whether an unanswered ask is given up, where others are answered.
    pub(super) fn gives_up(&self, ask: &Ask, now: DateTime<Utc>) -> bool {
        self.is_failing(&ask.place) && now - ask.due_at > GIVEN_UP_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feeds::traffic_volume::SOURCE;

    fn at(minutes: i64) -> DateTime<Utc> {
        "2022-10-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minutes)
    }

    /// Two asks a place, the newer first.
    fn asks(places: &[&str]) -> Vec<Ask> {
        let of =
            |hour: i64| places.iter().map(move |place| Ask { interval: at(hour * 60), ..Ask::now(&SOURCE, Some(place), at(0)) });
        of(1).chain(of(0)).collect()
    }

    fn names(asks: &[Ask]) -> String {
        asks.iter().map(|ask| ask.place.as_deref().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn places_that_fail_are_asked_once_a_round_after_all_others() {
        let mut breakers = Breakers::default();
        breakers.round(asks(&["a", "b", "c"]), at(0));
        for place in ["a", "b"] {
            breakers.failed(&Some(place.into()), Remedy::Again, at(0));
        }
        let round = breakers.round(asks(&["a", "b", "c"]), at(5));
        assert_eq!((names(&round.made), names(&round.waiting)), ("c c a b".into(), "a b".into()));
        // The round ended before b was asked: the next begins with it.
        breakers.untried(&Some("b".into()));
        breakers.failed(&Some("a".into()), Remedy::Again, at(5));
        assert_eq!(names(&breakers.round(asks(&["a", "b"]), at(10)).made), "b a");
        breakers.answered(&Some("a".into()));
        assert_eq!(names(&breakers.round(asks(&["a", "b"]), at(15)).made), "a a b");
    }

    #[test]
    fn what_asking_again_would_bring_again_is_asked_ever_more_seldom_up_to_hourly() {
        let mut breakers = Breakers::default();
        let mut asked = Vec::new();
        for minutes in (0..300).step_by(5) {
            if !breakers.round(asks(&["a"]), at(minutes)).made.is_empty() {
                asked.push(minutes);
                breakers.failed(&Some("a".into()), Remedy::Patiently, at(minutes));
            }
        }
        assert_eq!(asked, [0, 5, 15, 35, 75, 135, 195, 255]);
    }

    #[test]
    fn a_refused_key_is_looked_at_hourly_and_closes_nobody_who_answers() {
        let mut breakers = Breakers::default();
        breakers.round(asks(&["a", "b"]), at(0));
        breakers.failed(&Some("a".into()), Remedy::Key, at(0));
        assert_eq!(names(&breakers.round(asks(&["a", "b"]), at(55)).made), "b b");
        assert_eq!(names(&breakers.round(asks(&["a", "b"]), at(60)).made), "b b a");
        breakers.close(at(60));
        assert_eq!(names(&breakers.round(asks(&["a", "b"]), at(115)).made), "");
        assert_eq!(names(&breakers.round(asks(&["b"]), at(120)).made), "b b");
    }

    #[test]
    fn an_ask_is_given_up_after_a_week_of_its_place_alone() {
        let mut breakers = Breakers::default();
        let ask = Ask::now(&SOURCE, Some("a"), at(0));
        let week = 7 * 24 * 60;
        assert!(!breakers.gives_up(&ask, at(week + 5)), "its place answers");
        breakers.failed(&ask.place, Remedy::Patiently, at(0));
        assert_eq!([week, week + 5].map(|minutes| breakers.gives_up(&ask, at(minutes))), [false, true]);
    }
}
