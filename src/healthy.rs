//! `hangang healthy`: whether what others wait for answers, told by the exit code. For a container's health check, whose
//! image holds no other client.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};

use crate::city::City;
use crate::config::Config;
use crate::screen;

/// A check that takes longer has failed, whatever would come of it.
const WITHIN: Duration = Duration::from_secs(4);

#[derive(Args)]
pub struct HealthyArgs {
    /// What is asked
    #[arg(value_enum)]
    what: What,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// The city's time, from the simulator; the real city always has one
    City,
    /// The API at api.listen
    Api,
}

pub async fn run(config: Config, args: HealthyArgs) -> anyhow::Result<()> {
    match args.what {
        What::City => {
            let city = City::join(&config).await?;
            screen::fact("city", screen::kst(city.clock.now()));
        }
        What::Api => {
            let url = format!("http://{}/healthz", reachable(config.api_listen));
            let client = reqwest::Client::builder().timeout(WITHIN).build()?;
            client.get(&url).send().await.and_then(reqwest::Response::error_for_status).with_context(|| format!("GET {url}"))?;
            screen::fact("api", "alive");
        }
    }
    Ok(())
}

/// Who listens on every address of a machine answers on its loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, listen.port())),
        _ => listen,
    }
}
