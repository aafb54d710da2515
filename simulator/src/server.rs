//! The HTTP server: a request's way from its path to its bytes.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use clock::Clock;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::city::{City, Source, open};
use crate::envelope::Refusal;
use crate::faults::{Fault, FaultSwitch, Faults};
use crate::{SimulatorError, own, request, services};

/// How long an orderly stop waits for requests that are being answered: far more than an answer takes.
const STOP_WAIT: Duration = Duration::from_secs(2);
/// As recorded with INFO-100; ASSUMED for the others.
const XML: &str = "text/xml;charset=UTF-8";

#[derive(Clone)]
pub struct SimulatorConfig {
    /// Port 0 takes a free one: see [`Simulator::addr`].
    pub listen: SocketAddr,
    pub source: Source,
    /// Keys that are accepted besides `sample`.
    pub keys: Vec<String>,
    pub faults: Faults,
}

impl fmt::Debug for SimulatorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SimulatorConfig { listen, source, keys, faults } = self;
        f.debug_struct("SimulatorConfig")
            .field("listen", listen)
            .field("source", source)
            .field("keys", &format_args!("{} hidden", keys.len()))
            .field("faults", faults)
            .finish()
    }
}

/// A running simulator. Dropped, it goes on until its token is cancelled; [`Simulator::stop`] waits for its end.
pub struct Simulator {
    addr: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<std::io::Result<()>>,
}

/// What every request sees.
pub(crate) struct Shared {
    pub(crate) city: Arc<dyn City>,
    pub(crate) clock: Clock,
    pub(crate) keys: HashSet<String>,
    pub(crate) faults: FaultSwitch,
    pub(crate) stopping: CancellationToken,
}

impl Simulator {
    /// Opens the source, listens, and answers from then on. City time is the clock's; `cancel` stops it in order.
    ///
    /// Fails when the source can't be opened, knows nothing yet at the city's time, or the address is taken.
    pub async fn start(config: SimulatorConfig, clock: Clock, cancel: CancellationToken) -> Result<Simulator, SimulatorError> {
        let SimulatorConfig { listen, source, keys, faults } = config;
        let city = tokio::task::spawn_blocking(move || open(&source)).await.expect("opening a source does not panic")?;
        check_period(&*city, &clock)?;
        let listener = TcpListener::bind(listen).await.map_err(|source| match source.kind() {
            std::io::ErrorKind::AddrInUse => SimulatorError::PortInUse { address: listen },
            _ => SimulatorError::Listen { address: listen, source },
        })?;
        let addr = listener.local_addr().map_err(|source| SimulatorError::Listen { address: listen, source })?;
        let shared = Arc::new(Shared {
            city,
            clock,
            keys: keys.into_iter().collect(),
            faults: FaultSwitch::new(faults)?,
            stopping: cancel,
        });
        tracing::info!(%addr, city = shared.city.identity(), "the simulator answers");
        let serving = tokio::spawn(serve(listener, shared.clone()));
        Ok(Simulator { addr, shared, serving })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Base address, as the producers and [`Clock::follow`] want it: no slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The city behind the answers: for its history and its identity.
    pub fn city(&self) -> &Arc<dyn City> {
        &self.shared.city
    }

    /// Replaces the faults in force, as `POST /faults` does.
    pub fn set_faults(&self, faults: Faults) -> Result<(), SimulatorError> {
        self.shared.faults.set(faults)
    }

    /// Cancels the token it was started with, and waits until the port is free.
    pub async fn stop(mut self) {
        self.shared.stopping.cancel();
        match tokio::time::timeout(STOP_WAIT, &mut self.serving).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::error!(%error, "the simulator had stopped serving"),
            Ok(Err(error)) => tracing::error!(%error, "the simulator's server broke"),
            Err(_) => {
                tracing::warn!("a request to the simulator did not end in time: its connection is cut");
                self.serving.abort();
                // Cut, as asked: there is nothing else to learn from its end.
                let _cancelled = self.serving.await;
            }
        }
    }
}

fn check_period(city: &dyn City, clock: &Clock) -> Result<(), SimulatorError> {
    let (now, period) = (clock.now(), city.period());
    if now < period.start {
        return Err(SimulatorError::TooEarly { now, begin: period.start, city: city.identity() });
    }
    if now >= period.end {
        tracing::warn!(%now, end = %period.end, city = city.identity(), "city time is past what the source knows");
    }
    Ok(())
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) -> std::io::Result<()> {
    let stopping = shared.stopping.clone();
    let app = Router::new()
        .route("/", get(own::welcome))
        .route("/clock", get(own::clock))
        .route("/faults", get(own::faults).post(own::set_faults))
        .route("/truth/volume", get(own::truth_volume))
        .fallback(upstream)
        .with_state(shared);
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::warn!(%error, "small answers may be held back");
        }
    });
    axum::serve(listener, app).with_graceful_shutdown(stopping.cancelled_owned()).await
}

/// Answers as the upstream would, or with the fault that is this request's turn. The path holds a key: it goes into no
/// log and no metric.
async fn upstream(State(shared): State<Arc<Shared>>, method: Method, uri: Uri) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let fault = shared.faults.next();
    if let Some(fault) = fault {
        metrics::counter!("hangang_simulator_faults_total", "fault" => fault.name()).increment(1);
    }
    match fault {
        None => xml(answer(&shared, uri.path())),
        Some(Fault::Http500) => (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, HTML)], BROKEN_PAGE).into_response(),
        Some(Fault::Maintenance) => ([(header::CONTENT_TYPE, HTML)], MAINTENANCE_PAGE).into_response(),
        Some(Fault::Hang) => {
            shared.stopping.cancelled().await;
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
        Some(Fault::Truncated) => {
            let mut body = answer(&shared, uri.path()).into_bytes();
            body.truncate(body.len() / 2);
            xml(body)
        }
        Some(Fault::Error500) => xml(Refusal::Server.body()),
        Some(Fault::Error600) => xml(Refusal::Database.body()),
        Some(Fault::Slow { ms }) => {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(ms)) => {}
                () = shared.stopping.cancelled() => {}
            }
            xml(answer(&shared, uri.path()))
        }
    }
}

fn answer(shared: &Shared, path: &str) -> String {
    let asked = request::parse(path, &shared.keys);
    let service = asked.as_ref().map_or("none", |request| request.service.name);
    let answered = asked.and_then(|request| services::answer(&*shared.city, &request, shared.clock.now()));
    let code = answered.as_ref().map_or_else(|refusal| refusal.code(), |_| "INFO-000");
    metrics::counter!("hangang_simulator_requests_total", "service" => service, "code" => code).increment(1);
    answered.unwrap_or_else(Refusal::body)
}

fn xml(body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, XML)], body.into()).into_response()
}

/// No such page is recorded: ASSUMED, but for being HTML.
const HTML: &str = "text/html;charset=UTF-8";
const BROKEN_PAGE: &str = "<!DOCTYPE html><html><head><title>500 Internal Server Error</title></head>\
                           <body><h1>Internal Server Error</h1></body></html>";
const MAINTENANCE_PAGE: &str = "<!DOCTYPE html><html lang=\"ko\"><head><meta charset=\"UTF-8\"><title>시스템 점검 안내</title></head>\
                                <body><h1>시스템 점검 중입니다</h1><p>이용에 불편을 드려 죄송합니다.</p></body></html>";
