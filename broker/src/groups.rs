//! Consumer groups: who reads which partition (`group`, in memory) and how far they are (`offsets`, on disk).
//!
//! Here are all groups together, the clock that ends their waits, and the bounds on them.

pub(crate) mod group;
pub(crate) mod member;
pub(crate) mod offsets;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use group::Group;

/// Groups with members at one time: no more connections can have so many.
const GROUPS_MAX: usize = 200;
/// How often deadlines are looked at: the precision of session and rebalance timeouts.
const TICK: Duration = Duration::from_millis(50);

#[derive(Default)]
pub(crate) struct Groups(Mutex<HashMap<String, Arc<Mutex<Group>>>>);

impl Groups {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<Mutex<Group>>>> {
        self.0.lock().expect("no holder of the groups panics")
    }

    /// Does something with a group that has members or had some a moment ago.
    pub fn with<T>(&self, id: &str, act: impl FnOnce(&mut Group) -> T) -> Option<T> {
        let group = self.all().get(id)?.clone();
        let mut group = group.lock().expect("no holder of a group panics");
        Some(act(&mut group))
    }

    /// The same, making the group where it is not there; none where there are too many.
    pub fn with_new<T>(&self, id: &str, act: impl FnOnce(&mut Group) -> T) -> Option<T> {
        // Under the lock of all, so that a tick does not remove the group before anyone has joined it.
        let mut all = self.all();
        if !all.contains_key(id) && all.len() >= GROUPS_MAX {
            return None;
        }
        let group = all.entry(id.to_owned()).or_insert_with(|| Arc::new(Mutex::new(Group::new(id)))).clone();
        let mut group = group.lock().expect("no holder of a group panics");
        drop(all);
        Some(act(&mut group))
    }

    /// The groups' ids, in order.
    pub fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.all().keys().cloned().collect();
        ids.sort_unstable();
        ids
    }

    fn tick(&self, now: Instant) {
        self.all().retain(|_, group| {
            let mut group = group.lock().expect("no holder of a group panics");
            group.tick(now);
            !group.is_forgettable()
        });
    }

    /// Ends sessions and rebalances when their time is over, until `stop`.
    pub async fn keep_time(self: Arc<Groups>, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(TICK)).await.is_some() {
            self.tick(Instant::now());
        }
    }
}
