//! The server: bound, watching the lake, answering, and stopped in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::ServiceExt;
use axum::extract::Request;
use axum::serve::ListenerExt;
use clock::Clock;
use lake::Lake;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::{App, StatusSource, keep_current};
use crate::front::Front;
use crate::routes;

/// What an operator chooses.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How often the lake is looked at for news, in real time.
    pub poll: Duration,
}

impl Default for ApiConfig {
    /// Loopback only, since nothing asks for a password; and a look every quarter second: at speed 600 two and a half
    /// minutes of city time, a small part of the hour between two forecasts.
    fn default() -> ApiConfig {
        ApiConfig { listen: SocketAddr::from(([127, 0, 0, 1], 8080)), poll: Duration::from_millis(250) }
    }
}

/// Why the API does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error(
        "port {} on {} is in use by another program (wanted for the page and the REST API); stop that program, or choose another \
         address with --set api.listen=HOST:PORT",
        .0.port(), .0.ip()
    )]
    PortInUse(SocketAddr),
    #[error("cannot listen on \"{address}\": {source}; choose an address of this machine with --set api.listen=HOST:PORT")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("the API stopped serving: {0}")]
    Serve(std::io::Error),
}

/// After a stop is asked for, how long answers under way may take.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// A running API. Dropped, it goes on until its token is cancelled.
pub struct Api {
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<std::io::Result<()>>,
    watching: JoinHandle<()>,
}

impl Api {
    /// Listens, reads the lake once, and serves until `cancel` is cancelled. A lake that can't be read does not hinder
    /// the start: `/readyz` says so until it can.
    pub async fn start(
        config: ApiConfig,
        lake: Lake,
        clock: Clock,
        metrics: PrometheusHandle,
        status: StatusSource,
        cancel: CancellationToken,
    ) -> Result<Api, ApiError> {
        let listener = TcpListener::bind(config.listen).await.map_err(|source| match source.kind() {
            std::io::ErrorKind::AddrInUse => ApiError::PortInUse(config.listen),
            _ => ApiError::Listen { address: config.listen, source },
        })?;
        let address = listener.local_addr().map_err(|source| ApiError::Listen { address: config.listen, source })?;
        let app = Arc::new(App::new(lake, clock, metrics, status));
        app.refresh().await;
        let watching = tokio::spawn(keep_current(app.clone(), config.poll, cancel.clone()));
        let stop = cancel.clone();
        let listener = listener.tap_io(|connection| {
            // Answers are whole when written; waiting to fill a packet would only delay them.
            if let Err(error) = connection.set_nodelay(true) {
                tracing::debug!(%error, "a connection delays its small answers");
            }
        });
        let front = Front::new(app.clone(), routes::router(app));
        let service = ServiceExt::<Request>::into_make_service(front);
        let server = axum::serve(listener, service).with_graceful_shutdown(async move { stop.cancelled().await });
        let serving = tokio::spawn(server.into_future());
        tracing::info!(%address, "serving");
        Ok(Api { address, stop: cancel, serving, watching })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the API has stopped: its token was cancelled and the answers under way were given.
    pub async fn stopped(self) -> Result<(), ApiError> {
        let Api { stop, mut serving, watching, .. } = self;
        let served = tokio::select! {
            served = &mut serving => served,
            () = async { stop.cancelled().await; tokio::time::sleep(STOP_WITHIN).await } => {
                tracing::warn!(waited = ?STOP_WITHIN, "cutting off clients that still read");
                serving.abort();
                Ok(Ok(()))
            }
        };
        watching.await.expect("the watch does not panic");
        served.expect("the server does not panic").map_err(ApiError::Serve)
    }
}
