//! The city that is polled: its upstream's address, the key for it, and its time.
//!
//! Whoever runs the simulator owns the city's time; every other process follows it. The real city has the machine's.

use std::path::PathBuf;

use anyhow::Context;
use chrono::TimeDelta;
use clap::Args;
use clock::{Clock, Stepper};
use simulator::{Faults, Simulator, SimulatorConfig};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, SEOUL_HOST, SEOUL_KEY, Source, Speed};
use crate::folder::Folder;
use crate::screen::Progress;

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

impl OwnCity {
    /// Starts the city of `config` in `folder`: its time, and the simulator that answers for it.
    pub async fn start(config: &Config, folder: &Folder, cancel: &CancellationToken) -> anyhow::Result<OwnCity> {
        let source = match &config.city.source {
            Source::Real => return Ok(OwnCity { city: real(config)?, stepper: None, simulator: None }),
            Source::Synthetic { seed } => simulator::Source::Synthetic { seed: *seed },
            Source::Archive { folder } => simulator::Source::Archive { folder: folder.clone() },
        };
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

    /// Files of what lies before the start, ready to be imported; those of the synthetic city are written first. None
    /// for the real city, whose past nobody has at hand.
    pub fn history(&self, config: &Config, folder: &Folder) -> anyhow::Result<Vec<PathBuf>> {
        let Some(simulator) = &self.simulator else { return Ok(Vec::new()) };
        let city = simulator.city();
        if !city.history_files().is_empty() {
            return Ok(city.history_files().to_vec());
        }
        let history = folder.path().join("history");
        std::fs::create_dir_all(&history).with_context(|| format!("cannot make \"{}\"", history.display()))?;
        let (spots, volumes) = (history.join("traffic_spots.csv"), history.join("traffic_volume.csv.gz"));
        let start = config.city.start;
        let progress = Progress::start("history", "rows");
        simulator::write_spots(&**city, &spots, start)?;
        let from = start - TimeDelta::days(config.city.history_days.into());
        simulator::write_history(&**city, &volumes, from, start, &|done, total| progress.report(done, total))?;
        progress.finish();
        Ok(vec![spots, volumes])
    }

    pub async fn stop(self) {
        if let Some(simulator) = self.simulator {
            simulator.stop().await;
        }
    }
}
