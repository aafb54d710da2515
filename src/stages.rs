//! How each stage is started from the configuration: the same for `up` and for a stage alone.

use anyhow::{Context, bail};
use catalog::FEEDS;
use chrono::{DateTime, Utc};
use lake::Lake;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use predictor_api::{Api, ApiConfig, StatusSource};
use producers::{Producers, ProducersConfig};
use stream_processor::{Processor, ProcessorConfig};
use tokio_util::sync::CancellationToken;

use crate::city::City;
use crate::config::Config;
use crate::{folder, overview, resume};

/// The lake, made when it is not there.
pub async fn lake(config: &Config) -> anyhow::Result<Lake> {
    if folder::holds_lake(config) {
        folder::mark(&config.data)?;
    }
    Lake::open(&config.lake_url).await.with_context(|| format!("the lake at {}", config.lake_url))
}

/// The lake for those who only look: one that is not there is an error and isn't made.
pub async fn open_lake(config: &Config) -> anyhow::Result<Lake> {
    if config.lake_url.to_file_path().is_ok_and(|folder| !folder.exists()) {
        bail!("there is no lake at {}; `hangang up` makes one, or name another with --data DIR or --lake URL", config.lake_url);
    }
    lake(config).await
}

/// The latest city time that anything in the lake was received, refused, issued or decided at.
pub async fn newest_instant(lake: &Lake) -> anyhow::Result<Option<DateTime<Utc>>> {
    let observed = FEEDS.iter().map(|feed| format!("SELECT max(received_at) AS at FROM observed.{}", feed.name));
    let others = [
        "refused_at) AS at FROM ops.quarantine",
        "computed_at) AS at FROM forecast.forecasts",
        "decided_at) AS at FROM forecast.models",
    ];
    let all = observed.chain(others.map(|other| format!("SELECT max({other}"))).collect::<Vec<_>>().join(" UNION ALL ");
    Ok(overview::instant(&lake.query(&format!("SELECT max(at) FROM ({all}) AS newest")).await?, 0))
}

/// Polls the city from where the lake ends.
pub async fn produce(config: &Config, city: &City, lake: &Lake, cancel: &CancellationToken) -> anyhow::Result<Producers> {
    folder::mark(&config.data)?;
    let resume = resume::read(lake, city.clock.now()).await.context("reading where polling goes on from")?;
    let producing = ProducersConfig {
        base_url: city.seoul_url.clone(),
        key: city.key.clone(),
        bootstrap: config.kafka.address(),
        feeds: FEEDS.to_vec(),
        progress: Some(config.data.join("asked")),
    };
    Ok(Producers::start(producing, city.clock.clone(), resume, cancel.clone())?)
}

/// How what is in the topics is landed.
pub fn processing(config: &Config) -> ProcessorConfig {
    ProcessorConfig {
        linger: config.process_linger,
        batch_records: config.process_batch_rows,
        ..ProcessorConfig::new(config.kafka.address(), &config.kafka.group)
    }
}

/// Lands what is in the topics.
pub async fn process(config: &Config, city: &City, lake: &Lake) -> anyhow::Result<Processor> {
    Processor::start(lake.clone(), city.clock.clone(), processing(config)).await
}

/// Serves the page, the REST API and the PostgreSQL wire.
pub async fn serve(
    config: &Config,
    city: &City,
    lake: &Lake,
    status: StatusSource,
    cancel: &CancellationToken,
) -> anyhow::Result<(Api, lake::postgres::PostgresServer)> {
    let serving = ApiConfig { listen: config.api_listen, ..ApiConfig::default() };
    let api = Api::start(serving, lake.clone(), city.clock.clone(), metrics()?, status, cancel.clone()).await?;
    let wire = lake::postgres::PostgresOptions { listen: config.postgres_listen, ..Default::default() };
    let postgres = lake::postgres::serve(lake.clone(), wire, cancel.clone()).await?;
    Ok((api, postgres))
}

/// The process's one recorder of metrics, which `/metrics` prints.
fn metrics() -> anyhow::Result<PrometheusHandle> {
    PrometheusBuilder::new().install_recorder().context("cannot record metrics")
}

/// A token that the first signal to stop cancels: Ctrl-C, SIGTERM, or SIGHUP, as a terminal that is closed sends. The
/// second ends the process at once: nothing waits for blocked work for ever, and what was landed stands.
pub fn stopped_by_signal() -> CancellationToken {
    use tokio::signal::unix::{SignalKind, signal};
    let cancel = CancellationToken::new();
    let cancelled = cancel.clone();
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let [mut interrupt, mut terminate, mut hangup] = kinds.map(|kind| signal(kind).expect("signals can be handled"));
    tokio::spawn(async move {
        let mut signalled = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        };
        signalled().await;
        cancelled.cancel();
        signalled().await;
        eprintln!("stopped at once, by a second signal; the next start goes on from what was landed");
        std::process::exit(130);
    });
    cancel
}
