//! The simulator over HTTP, as a client meets it.

#[path = "simulator/archive.rs"]
mod archive;
#[path = "simulator/faults.rs"]
mod faults;
#[path = "simulator/history.rs"]
mod history;
#[path = "simulator/protocol.rs"]
mod protocol;
#[path = "simulator/speed.rs"]
mod speed;

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::{Faults, Simulator, SimulatorConfig, SimulatorError, Source};
use chrono::{DateTime, TimeDelta, Utc};
use clock::{Clock, Stepper};
use tokio_util::sync::CancellationToken;

const KEY: &str = "6b6579666f7274657374696e676f6e6c";

/// A simulator on a free port, and the hand that moves its time.
struct Running {
    simulator: Simulator,
    stepper: Stepper,
    now: DateTime<Utc>,
    client: reqwest::Client,
}

impl Running {
    async fn start(source: Source, now: &str) -> Running {
        let now = now.parse().unwrap();
        let (clock, stepper) = Clock::stepped(None, now).unwrap();
        let simulator = Simulator::start(config(source), clock, CancellationToken::new()).await.unwrap();
        Running { simulator, stepper, now, client: reqwest::Client::new() }
    }

    async fn synthetic(now: &str) -> Running {
        Running::start(Source::Synthetic { seed: 1 }, now).await
    }

    /// Lets city time pass.
    async fn pass(&mut self, time: TimeDelta) {
        self.now += time;
        while self.stepper.step(self.now, async || ()).await.unwrap() {}
    }

    /// The body of a path, which must come with HTTP 200.
    async fn get(&self, path: &str) -> String {
        let answer = self.client.get(format!("{}{path}", self.simulator.url())).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.text().await.unwrap()
    }

    /// A path below the key.
    async fn ask(&self, path: &str) -> String {
        self.get(&format!("/{KEY}/{path}")).await
    }
}

fn config(source: Source) -> SimulatorConfig {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    SimulatorConfig { listen, source, keys: vec![KEY.to_owned()], faults: Faults::default() }
}

async fn refused(config: SimulatorConfig, now: &str) -> SimulatorError {
    let (clock, _stepper) = Clock::stepped(None, now.parse().unwrap()).unwrap();
    match Simulator::start(config, clock, CancellationToken::new()).await {
        Ok(_) => panic!("it started"),
        Err(error) => error,
    }
}

/// A file or folder of the shared recordings, or none where they are absent and not demanded.
fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("HANGANG_SHARED").map(PathBuf::from);
    let path = root.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared")).join(path);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var("HANGANG_DEMAND_SHARED").as_deref() != Ok("1"), "\"{}\" is demanded but absent", path.display());
    eprintln!("skipped: \"{}\" is absent; set HANGANG_SHARED to the folder of recordings", path.display());
    None
}

/// The texts of all elements of this name.
fn texts<'a>(xml: &'a str, element: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    xml.split(&open).skip(1).map(|rest| rest.split(&close).next().unwrap()).collect()
}

fn numbers(xml: &str, element: &str) -> Vec<u32> {
    texts(xml, element).into_iter().map(|text| text.parse().unwrap()).collect()
}
