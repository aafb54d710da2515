//! All feeds' loops, started and stopped together.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use catalog::Feed;
use chrono::{DateTime, Utc};
use clock::{Clock, ClockError, kept};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::ask::Schedule;
use crate::feeds::{Source, SpeaksOf};
use crate::fetch::Fetcher;
use crate::poll::Poller;
use crate::publish::Publisher;
use crate::resume::Resume;
use crate::secret::Secret;
use crate::status::FeedStatus;

#[derive(Clone, Debug)]
pub struct ProducersConfig {
    /// The upstream's address without the key: `http://openapi.seoul.go.kr:8088`, or the simulator's.
    pub base_url: String,
    pub key: Secret,
    /// Kafka's `host:port`, several separated by commas.
    pub bootstrap: String,
    /// The feeds to poll.
    pub feeds: Vec<&'static Feed>,
    /// Folder, made where it is not there, in which each feed keeps up to when all asks have been answered. Without it a
    /// start has only what the lake shows, and what was asked in vain for longer than a schedule of re-reads is lost.
    pub progress: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("no key is set for the upstream; set HANGANG_SEOUL_KEY, or leave the real host to use the simulator")]
    NoKey,
    #[error("\"{url}\" is not an upstream's address: {detail}")]
    BaseUrl { url: String, detail: String },
    #[error("the feed \"{feed}\" cannot be polled")]
    Feed { feed: &'static str },
    #[error("cannot make \"{folder}\", where asking keeps its progress: {detail}")]
    Progress { folder: String, detail: String },
    #[error(transparent)]
    Kept(#[from] ClockError),
    #[error("no Kafka producer can be made for \"{bootstrap}\": {detail}")]
    Kafka { bootstrap: String, detail: String },
}

/// The running loops, one a feed.
pub struct Producers {
    /// Ends the loops when dropped.
    running: DropGuard,
    publisher: Arc<Publisher>,
    feeds: Vec<(Arc<Mutex<FeedStatus>>, JoinHandle<()>)>,
}

impl Producers {
    /// Starts polling, from where `resume` ends. Does not wait for the upstream or the broker. From its return on, a
    /// stepped clock waits for what is due.
    ///
    /// Must be called inside a tokio runtime.
    pub fn start(
        config: ProducersConfig,
        clock: Clock,
        resume: Resume,
        cancel: CancellationToken,
    ) -> Result<Producers, StartError> {
        if config.key.is_empty() {
            return Err(StartError::NoKey);
        }
        let sources = config.feeds.iter().map(|feed| Source::of(feed).ok_or(StartError::Feed { feed: feed.name }));
        let sources: Vec<&'static Source> = sources.collect::<Result<_, _>>()?;
        let base_url = |detail| StartError::BaseUrl { url: config.base_url.clone(), detail };
        let fetcher = Fetcher::new(&config.base_url, config.key.clone(), clock.clone()).map_err(base_url)?;
        let cancel = cancel.child_token();
        let publisher = Publisher::new(&config.bootstrap, cancel.clone())
            .map_err(|error| StartError::Kafka { bootstrap: config.bootstrap.clone(), detail: error.to_string() })?;
        if let Some(folder) = &config.progress {
            let failed =
                |error: std::io::Error| StartError::Progress { folder: folder.display().to_string(), detail: error.to_string() };
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut spots: Vec<Arc<str>> = resume.spots.iter().map(|spot| spot.as_str().into()).collect();
        spots.sort();
        let shared = Shared {
            fetcher: Arc::new(fetcher),
            publisher: Arc::new(publisher),
            places: Arc::new(watch::Sender::new(spots.into())),
            clock,
            progress: config.progress,
            cancel: cancel.clone(),
        };
        let mut resumes = resume.feeds;
        let feeds = sources.into_iter().map(|source| shared.spawn(source, &mut resumes)).collect::<Result<_, _>>()?;
        Ok(Producers { running: cancel.drop_guard(), publisher: shared.publisher, feeds })
    }

    /// State of each feed, in the order in which they were given.
    pub fn status(&self) -> Vec<FeedStatus> {
        self.feeds.iter().map(|feed| self.status_of(feed)).collect()
    }

    fn status_of(&self, (status, running): &(Arc<Mutex<FeedStatus>>, JoinHandle<()>)) -> FeedStatus {
        let mut status = status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if running.is_finished() && status.next_ask_at.take().is_some() {
            status.alert = Some("its loop has died, which is a bug; start again to go on".to_owned());
        }
        // Without the broker nothing else matters.
        status.alert = self.publisher.trouble().or(status.alert);
        status
    }

    /// Stops asking, waits a few seconds for acknowledgements, and returns when all loops have ended.
    pub async fn stop(self) {
        drop(self.running);
        for (_, feed) in self.feeds {
            if let Err(error) = feed.await {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }
}

/// What all loops share.
struct Shared {
    fetcher: Arc<Fetcher>,
    publisher: Arc<Publisher>,
    places: crate::poll::PlacesSender,
    clock: Clock,
    progress: Option<PathBuf>,
    cancel: CancellationToken,
}

impl Shared {
    fn spawn(
        &self,
        source: &'static Source,
        resumes: &mut HashMap<String, crate::resume::FeedResume>,
    ) -> Result<(Arc<Mutex<FeedStatus>>, JoinHandle<()>), ClockError> {
        let (feed, now) = (source.feed, self.clock.now());
        let resume = resumes.remove(feed.name).unwrap_or_default();
        let mut asked_up_to = resume.asked_up_to(feed, now);
        if source.lists.is_some() && self.places.borrow().is_empty() {
            // Whoever needs the list has none: ask for the newest at once.
            asked_up_to = asked_up_to.min(now - feed.interval());
        }
        let progress = self.progress.as_ref().map(|folder| folder.join(feed.name));
        if let Some(path) = &progress {
            let kept = match kept::read(path) {
                Err(error @ ClockError::Damaged { .. }) => {
                    tracing::warn!(feed = feed.name, %error, "how far asking had come is not known: asking goes on from what the lake shows, and what was asked in vain before that is lost");
                    None
                }
                kept => kept?,
            };
            asked_up_to = kept.map_or(asked_up_to, |answered_up_to| asked_up_to.min(answered_up_to));
            // Before anything is asked: a process that is killed amid its first poll has answered nothing.
            kept::write(path, asked_up_to)?;
        }
        let holes: Vec<DateTime<Utc>> = match source.speaks_of {
            SpeaksOf::Asked => resume.holes(feed),
            SpeaksOf::Now => Vec::new(),
        };
        let status =
            Arc::new(Mutex::new(FeedStatus { feed: feed.name.to_owned(), next_ask_at: Some(now), ..FeedStatus::default() }));
        let poller = Poller {
            source,
            fetcher: self.fetcher.clone(),
            publisher: self.publisher.clone(),
            known: Mutex::new(resume.into_known()),
            places: self.places.clone(),
            status: status.clone(),
            progress,
            clock: self.clock.clone(),
            cancel: self.cancel.clone(),
        };
        // Taken here and not in the task, so that a stepped clock stands from now on.
        let participant = self.clock.participant();
        let run = poller.run(participant, Schedule::new(source, asked_up_to), holes);
        Ok((status, tokio::spawn(run)))
    }
}
