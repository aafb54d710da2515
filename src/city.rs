//! The city that is polled: its upstream's address, the key for it, and its time.
//!
//! Whoever runs the simulator owns the city's time; every other process follows it. The real city has the machine's.

use anyhow::Context;
use chrono::TimeDelta;
use clap::Args;
use clock::{Clock, ClockError, Stepper};
use simulator::{Faults, Simulator, SimulatorConfig};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, SEOUL_HOST, SEOUL_KEY, Source, Speed};
use crate::folder::Folder;
use crate::{screen, stages};

/// Options that choose the city, for the subcommands that own one.
#[derive(Args, Clone)]
pub struct CityArgs {
    /// Replay the real data in a folder instead of the synthetic city (city.archive)
    #[arg(long, value_name = "DIR")]
    archive: Option<String>,
    /// City time at the first start of a data folder, as 2022-10-01T00:00+09:00 (city.start)
    #[arg(long, value_name = "TIME")]
    start: Option<String>,
    /// City seconds a real second, or "stepped" (city.speed)
    #[arg(long, value_name = "N")]
    speed: Option<String>,
    /// Seed of the synthetic city (city.seed)
    #[arg(long, value_name = "N")]
    seed: Option<String>,
}

impl CityArgs {
    pub fn sets(&self) -> Vec<(String, String)> {
        let named = [
            ("city.archive", self.archive.clone()),
            ("city.source", self.archive.as_ref().map(|_| "archive".to_owned())),
            ("city.start", self.start.clone()),
            ("city.speed", self.speed.clone()),
            ("city.seed", self.seed.clone()),
        ];
        named.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }
}

/// The key that the simulator accepts.
const SIMULATOR_KEY: &str = "hangang";

/// A city as a stage sees it.
pub struct City {
    pub clock: Clock,
    /// Base address of Seoul's API.
    pub seoul_url: String,
    pub key: producers::Secret,
}

/// A city that this process owns.
pub struct OwnCity {
    pub city: City,
    /// Moves the time of a stepped city.
    pub stepper: Option<Stepper>,
    /// None for the real city.
    simulator: Option<Simulator>,
}

impl City {
    /// The city that another process owns, or the real one.
    pub async fn join(config: &Config) -> anyhow::Result<City> {
        if config.city.source == Source::Real {
            return real(config);
        }
        let clock = time(config).await?;
        let seoul_url = config.seoul_url.clone().unwrap_or_else(|| config.simulator_url.clone());
        Ok(City { clock, seoul_url, key: producers::Secret::new(SIMULATOR_KEY) })
    }
}

/// The time of the city, without the city itself: the real one's needs no key.
pub async fn time(config: &Config) -> anyhow::Result<Clock> {
    match config.city.source {
        Source::Real => Ok(Clock::real()),
        _ => Ok(Clock::follow(&config.simulator_url).await?),
    }
}

fn real(config: &Config) -> anyhow::Result<City> {
    let key = std::env::var(SEOUL_KEY).with_context(|| format!("the real city needs a key in {SEOUL_KEY}"))?;
    let seoul_url = config.seoul_url.clone().unwrap_or_else(|| SEOUL_HOST.to_owned());
    Ok(City { clock: Clock::real(), seoul_url, key: producers::Secret::new(key) })
}

/// The source that a simulator answers from; none for the real city.
pub fn simulated(source: &Source) -> Option<simulator::Source> {
    match source {
        Source::Synthetic { seed } => Some(simulator::Source::Synthetic { seed: *seed }),
        Source::Archive { folder } => Some(simulator::Source::Archive { folder: folder.clone() }),
        Source::Real => None,
    }
}

/// City time beyond what a damaged clock's lake has received, at which it goes on: what was received and not landed yet.
const UNLANDED: TimeDelta = TimeDelta::hours(6);

/// Where the kept time is damaged, puts one there that is later than all that the lake knows, so that time does not go
/// back. A file that is not there is that of a new city.
async fn mend_clock(config: &Config, folder: &Folder) -> anyhow::Result<()> {
    let path = folder.clock();
    let damage = match clock::kept::read(&path) {
        Err(damage @ ClockError::Damaged { .. }) => damage,
        read => return Ok(read.map(|_| ())?),
    };
    let Ok(lake) = stages::open_lake(config).await else { return Err(damage.into()) };
    let newest = stages::newest_instant(&lake).await.context("looking for the newest time that the lake knows")?;
    let resumed = newest.map_or(config.city.start, |newest| newest + UNLANDED).max(config.city.start);
    clock::kept::write(&path, resumed)?;
    tracing::warn!(file = %path.display(), "the city's time was damaged; it goes on from {}, {} hours after the newest that the lake has received", screen::kst(resumed), UNLANDED.num_hours());
    Ok(())
}

impl OwnCity {
    /// Starts the city of `config` in `folder`: its time, and the simulator that answers for it.
    pub async fn start(config: &Config, folder: &Folder, cancel: &CancellationToken) -> anyhow::Result<OwnCity> {
        let Some(source) = simulated(&config.city.source) else {
            return Ok(OwnCity { city: real(config)?, stepper: None, simulator: None });
        };
        mend_clock(config, folder).await?;
        let (clock, stepper) = match config.city.speed {
            Speed::Scaled(speed) => (Clock::scaled(&folder.clock(), config.city.start, speed)?, None),
            Speed::Stepped => {
                let (clock, stepper) = Clock::stepped(Some(&folder.clock()), config.city.start)?;
                (clock, Some(stepper))
            }
        };
        let simulated = SimulatorConfig {
            listen: config.simulator_listen,
            source,
            keys: vec![SIMULATOR_KEY.to_owned()],
            faults: Faults::default(),
        };
        let simulator = Simulator::start(simulated, clock.clone(), cancel.child_token()).await?;
        let seoul_url = config.seoul_url.clone().unwrap_or_else(|| simulator.url());
        let city = City { clock, seoul_url, key: producers::Secret::new(SIMULATOR_KEY) };
        Ok(OwnCity { city, stepper, simulator: Some(simulator) })
    }

    /// Where the simulator answers; none for the real city.
    pub fn simulator_url(&self) -> Option<String> {
        self.simulator.as_ref().map(Simulator::url)
    }

    /// The city behind the simulator's answers; none for the real one, whose past nobody has at hand.
    pub fn simulated(&self) -> Option<&dyn simulator::City> {
        self.simulator.as_ref().map(|simulator| &**simulator.city())
    }

    pub async fn stop(self) {
        if let Some(simulator) = self.simulator {
            simulator.stop().await;
        }
    }
}
