//! Starting and stopping: the folder is opened, the port is listened on, connections are served, all is written down.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::BrokerError;
use crate::groups::Groups;
use crate::groups::offsets::Offsets;
use crate::node::Node;
use crate::storage::store::Store;
use crate::{connection, storage};

/// Connections at one time. Each client has two to four; each takes an open file.
const CONNECTIONS_MAX: usize = 200;
/// Bytes that all requests together may hold: two of the greatest.
const REQUEST_BYTES: usize = 32 << 20;
/// Bytes that all records on their way out may hold: four of the greatest answers.
const FETCH_BYTES: usize = 32 << 20;
/// What is waited after an accept that failed, mostly for want of open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What connections are given to end when the broker stops.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// What a broker needs to know.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// The folder that holds everything. Made where it is missing.
    pub data: PathBuf,
    /// Where clients connect. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The option by which people choose `listen`, for messages.
    pub listen_option: &'static str,
    /// Host and port that clients are told, where that is not the address they came to.
    pub advertised: Option<(String, u16)>,
    /// How long an acknowledged record may be where only a power cut, not a kill, takes it.
    pub sync_interval: Duration,
    /// With how many partitions a topic is made that someone asks for; `None`: topics are only made explicitly.
    pub auto_create_partitions: Option<u32>,
}

impl BrokerConfig {
    /// A broker in `data` that listens on `listen`, with the defaults for the rest: synced each second, topics made
    /// only explicitly.
    pub fn new(data: impl Into<PathBuf>, listen: SocketAddr) -> BrokerConfig {
        BrokerConfig {
            data: data.into(),
            listen,
            listen_option: "--listen",
            advertised: None,
            sync_interval: Duration::from_secs(1),
            auto_create_partitions: None,
        }
    }
}

/// A running broker. Dropping it ends it like a kill does: what was acknowledged is kept.
pub struct Broker {
    addr: SocketAddr,
    node: Arc<Node>,
    tasks: TaskTracker,
}

impl Broker {
    /// Opens the folder, listens and serves. Must be called inside a tokio runtime.
    ///
    /// Reads each partition's newest segment (64 MiB at most) and cuts what a crash has left unfinished behind its last
    /// acknowledged record; that is a warning. Errors say what a person has to do.
    pub async fn start(config: BrokerConfig) -> Result<Broker, BrokerError> {
        // The port first: a second start on the same port is told so, whatever its folder.
        let listener = TcpListener::bind(config.listen).await.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => BrokerError::PortInUse { listen: config.listen, option: config.listen_option },
            _ => BrokerError::Listen { listen: config.listen, option: config.listen_option, source },
        })?;
        let listen_failed = |source| BrokerError::Listen { listen: config.listen, option: config.listen_option, source };
        let addr = listener.local_addr().map_err(listen_failed)?;
        let data = config.data.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let store = Store::open(&data, storage::SEGMENT_BYTES)?;
            Ok((store, Offsets::open(&data)?))
        });
        let (store, offsets) = opened.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        let node = Arc::new(Node {
            store,
            groups: Arc::new(Groups::default()),
            offsets,
            advertised: config.advertised,
            auto_create_partitions: config.auto_create_partitions,
            request_bytes: Semaphore::new(REQUEST_BYTES),
            fetch_bytes: Arc::new(Semaphore::new(FETCH_BYTES)),
            stop: CancellationToken::new(),
            cut: CancellationToken::new(),
        });
        let tasks = TaskTracker::new();
        tasks.spawn(node.groups.clone().keep_time(node.stop.clone()));
        tasks.spawn(keep_synced(node.clone(), config.sync_interval));
        tasks.spawn(accept(node.clone(), listener, tasks.clone()));
        tracing::info!(%addr, data = %config.data.display(), topics = node.store.topics().len(), "the broker serves");
        Ok(Broker { addr, node, tasks })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Ends all connections after the answers they are waiting for, makes everything durable and gives the folder free.
    pub async fn stop(self) {
        self.node.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(STOP_WAIT, self.tasks.wait()).await.is_err() {
            tracing::warn!("connections were cut: they did not end within {} s", STOP_WAIT.as_secs());
            self.node.cut.cancel();
            self.tasks.wait().await;
        }
        let node = self.node.clone();
        let synced = tokio::task::spawn_blocking(move || sync(&node)).await;
        if let Err(error) = synced {
            tracing::error!(%error, "records may not outlive a power cut: they could not be synced at the end");
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.node.stop.cancel();
    }
}

async fn accept(node: Arc<Node>, listener: TcpListener, tasks: TaskTracker) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut is_full = false;
    while let Some(accepted) = node.stop.run_until_cancelled(listener.accept()).await {
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = connections.clone().try_acquire_owned() else {
            if !is_full {
                tracing::warn!("more than {CONNECTIONS_MAX} connections: new ones are closed until others end");
            }
            is_full = true;
            continue;
        };
        is_full = false;
        let node = node.clone();
        tasks.spawn(async move {
            let _place = place;
            metrics::gauge!("hangang_broker_connections").increment(1.0);
            let cut = node.cut.clone();
            cut.run_until_cancelled_owned(connection::serve(node, stream, address)).await;
            metrics::gauge!("hangang_broker_connections").decrement(1.0);
        });
    }
}

async fn keep_synced(node: Arc<Node>, interval: Duration) {
    while node.stop.run_until_cancelled(tokio::time::sleep(interval)).await.is_some() {
        let syncing = node.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || sync(&syncing)).await {
            tracing::error!(%error, "records may not outlive a power cut: syncing them failed");
        }
    }
}

fn sync(node: &Node) {
    node.store.sync();
    if let Err(error) = node.offsets.sync() {
        tracing::error!(%error, "what groups have committed may not outlive a power cut: the disk does not confirm it");
    }
}
