//! `hangang serve`: the page, the REST API and the PostgreSQL wire, alone.

use std::sync::{Arc, RwLock};

use crate::city::City;
use crate::config::Config;
use crate::ports::{self, Server};
use crate::up::live;
use crate::{screen, stages};

pub async fn run(config: Config) -> anyhow::Result<()> {
    ports::free(&config, &[Server::Api, Server::Postgres])?;
    let city = City::join(&config).await?;
    let lake = stages::lake(&config).await?;
    let cancel = stages::stopped_by_signal();
    let overview = Arc::new(RwLock::new(serde_json::Value::Null));
    let status = {
        let overview = overview.clone();
        Arc::new(move || overview.read().expect("no writer panics").clone())
    };
    let (api, postgres) = stages::serve(&config, &city, &lake, status, &cancel).await?;
    screen::fact("serve", format!("http://{} and PostgreSQL at {}", api.address(), postgres.address()));
    live::show(config, lake, city.clock.clone(), overview, cancel).await;
    api.stopped().await?;
    postgres.stopped().await;
    Ok(())
}
