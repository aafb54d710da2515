//! `hangang up`: the whole city in one process. Every stage is the one that also runs alone, and all of them speak the
//! same protocols; only training is a process of its own, so that serving keeps its memory and speed.

pub mod live;

use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use anyhow::Context;
use catalog::TARGETS;
use chrono::{DateTime, Utc};
use clap::Args;
use clock::Stepper;
use stream_processor::Processor;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::city::{CityArgs, OwnCity};
use crate::config::{Config, Source, Speed, parse_instant};
use crate::folder::Folder;
use crate::options::default;
use crate::ports::{self, Server};
use crate::screen::fact;
use crate::{broker, forecast, history, screen, stages, training};

#[derive(Args)]
pub struct UpArgs {
    #[command(flatten)]
    pub city: CityArgs,
    /// Stop when city time reaches this, as 2022-10-08T02:00+09:00
    #[arg(long, value_name = "TIME", value_parser = parse_instant)]
    until: Option<DateTime<Utc>>,
    /// Don't train, and don't forecast
    #[arg(long)]
    no_forecasts: bool,
}

pub async fn run(mut config: Config, args: UpArgs) -> anyhow::Result<()> {
    let mut folder = Folder::hold(&config.data)?;
    let new = folder.accept(&config)?;
    let cancel = stages::stopped_by_signal();
    headline(&config, &folder, new);
    ports::free(&config, &Server::of_city(&config))?;

    let mut own = OwnCity::start(&config, &folder, &cancel).await?;
    folder.belong(&config)?;
    // Port 0 has become a port, here and below.
    config.simulator_url = own.simulator_url().unwrap_or(config.simulator_url);
    let clock = own.city.clock.clone();
    let broker = broker::embedded(&config).await?;
    if let Some(broker) = &broker {
        config.kafka.listen = broker.addr();
    }
    let lake = stages::lake(&config).await?;
    stream_processor::ensure_topics(&stages::processing(&config)).await?;
    if let Some(city) = own.simulated() {
        history::import_once(&config, city, &lake).await?;
    }

    let processor = Arc::new(stages::process(&config, &own.city, &lake).await?);
    let producers = Arc::new(stages::produce(&config, &own.city, &lake, &cancel).await?);
    let overview = Arc::new(RwLock::new(serde_json::Value::Null));
    let status = {
        let overview = overview.clone();
        Arc::new(move || overview.read().expect("no writer panics").clone())
    };
    let (api, postgres) = stages::serve(&config, &own.city, &lake, status, &cancel).await?;
    let mut working = JoinSet::new();
    let (kept, stop) = (lake.clone(), cancel.clone());
    working.spawn(async move {
        lake::maintain(kept, Default::default(), stop).await;
        Ok(())
    });
    if !args.no_forecasts {
        let landed = live::landed(processor.clone(), producers.clone());
        working.spawn(forecast::schedule(lake.clone(), clock.clone(), landed, cancel.clone()));
        let say = |said: &str| tracing::info!("{said}");
        working.spawn(training::schedule(&config, TARGETS, lake.clone(), clock.clone(), say, cancel.clone()));
    }
    addresses(&config, &own, &api, &postgres);

    let showing = tokio::spawn(live::show(config.clone(), lake.clone(), clock.clone(), overview, cancel.clone()));
    let until = args.until.unwrap_or(DateTime::<Utc>::MAX_UTC);
    let stepper = own.stepper.take();
    let time = async {
        if let Some(stepper) = stepper {
            return step(stepper, until, &processor, &cancel).await;
        }
        clock.sleep_until(until).await;
        Ok(())
    };
    let mut went = tokio::select! {
        went = time => went,
        () = cancel.cancelled() => Ok(()),
        fault = processor.ended() => Err(fault.into()),
        Some(ended) = working.join_next() => well(ended),
    };

    // In the order of a record's life, so that nothing is left on the way.
    cancel.cancel();
    showing.await.context("the live line")?;
    fact("stopping", "what was fetched is published, what is published is landed");
    while let Some(ended) = working.join_next().await {
        went = went.and(well(ended));
    }
    Arc::into_inner(producers).expect("the schedules have ended").stop().await;
    Arc::into_inner(processor).expect("the schedules have ended").stop().await;
    api.stopped().await?;
    postgres.stopped().await;
    if let Some(broker) = broker {
        broker.stop().await;
    }
    let now = clock.now();
    own.stop().await;
    went?;
    fact("stopped", format!("at {} city time; `hangang up` goes on from there", screen::kst(now)));
    Ok(())
}

/// What a schedule says that has ended: a fault of its own is an error like any other.
fn well(ended: Result<anyhow::Result<()>, JoinError>) -> anyhow::Result<()> {
    ended.context("a schedule has ended by a fault of its own, told above; nothing is lost: start again, and it goes on")?
}

/// Moves a stepped city until `until`.
async fn step(
    mut stepper: Stepper,
    until: DateTime<Utc>,
    processor: &Processor,
    cancel: &CancellationToken,
) -> anyhow::Result<()> {
    let mut settled = Ok(());
    while settled.is_ok() {
        tokio::select! {
            more = stepper.step(until, async || settled = processor.settled().await) => if !more? {
                break;
            },
            () = cancel.cancelled() => break,
        }
    }
    settled.context("time stands: what is published cannot be landed")
}

fn headline(config: &Config, folder: &Folder, new: bool) {
    eprintln!("Hangang 한강 forecasts Seoul.\n");
    fact(
        "city",
        match &config.city.source {
            Source::Synthetic { seed } => format!("synthetic, seed {seed}, {}", pace(config)),
            Source::Archive { folder } => format!("the archive in {}, {}", folder.display(), pace(config)),
            Source::Real => "Seoul itself, polled as it publishes".to_owned(),
        },
    );
    let state = if new { "new" } else { "going on from where it stopped" };
    fact("data", format!("{} ({state})", folder.path().display()));
}

/// This program as it was called.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "hangang".to_owned())
}

/// What another command must be told to find this city: nothing where all is as it comes.
fn options(config: &Config, own: &OwnCity) -> String {
    let mut options = String::new();
    if config.data != Path::new(default("data.dir")) {
        options.push_str(&format!(" --data {}", config.data.display()));
    }
    if config.kafka.address() != default("kafka.listen") {
        options.push_str(&format!(" --kafka {}", config.kafka.address()));
    }
    if config.city.source != Source::Real && own.city.seoul_url != format!("http://{}", default("simulator.listen")) {
        options.push_str(&format!(" --simulator {}", own.city.seoul_url));
    }
    options
}

fn pace(config: &Config) -> String {
    match config.city.speed {
        Speed::Stepped => "stepped: time advances when all due work has landed".to_owned(),
        Speed::Scaled(speed) => {
            let day = screen::duration(Duration::from_secs_f64(86_400.0 / speed));
            format!("{speed} times as fast as real time (a day in {day})")
        }
    }
}

fn addresses(config: &Config, own: &OwnCity, api: &predictor_api::Api, postgres: &lake::postgres::PostgresServer) {
    let sql = postgres.address();
    fact("upstream", &own.city.seoul_url);
    fact("kafka", config.kafka.address());
    eprintln!("\nOpen       http://{}\n", api.address());
    eprintln!("Try        {} status{}", program(), options(config, own));
    eprintln!("           curl http://{}/v1/forecasts/traffic_volume/A-01/1", api.address());
    eprintln!("           psql -h {} -p {} -c 'SELECT * FROM rollup.traffic_hourly LIMIT 5'", sql.ip(), sql.port());
    eprintln!("Ctrl-C stops it cleanly; the next start goes on from there.\n");
}
