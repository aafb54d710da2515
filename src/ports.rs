//! The ports that a command listens on, tried before it starts anything: what is taken is told at once and together,
//! not one by one after a history has been imported.

use std::net::{SocketAddr, TcpListener};

use anyhow::bail;

use crate::config::{Config, Source};

/// What listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    Simulator,
    Kafka,
    Api,
    Postgres,
}

impl Server {
    /// Those of a whole city in one process.
    pub fn of_city(config: &Config) -> Vec<Server> {
        let simulator = (config.city.source != Source::Real).then_some(Server::Simulator);
        let kafka = config.kafka.bootstrap.is_none().then_some(Server::Kafka);
        [simulator, kafka, Some(Server::Api), Some(Server::Postgres)].into_iter().flatten().collect()
    }

    /// The option that says where it listens.
    pub const fn option(self) -> &'static str {
        match self {
            Server::Simulator => "simulator.listen",
            Server::Kafka => "kafka.listen",
            Server::Api => "api.listen",
            Server::Postgres => "postgres.listen",
        }
    }

    /// What it is to people.
    const fn what(self) -> &'static str {
        match self {
            Server::Simulator => "the simulator",
            Server::Kafka => "the embedded broker",
            Server::Api => "the page and the REST API",
            Server::Postgres => "the PostgreSQL wire",
        }
    }

    pub fn address(self, config: &Config) -> SocketAddr {
        match self {
            Server::Simulator => config.simulator_listen,
            Server::Kafka => config.kafka.listen,
            Server::Api => config.api_listen,
            Server::Postgres => config.postgres_listen,
        }
    }
}

/// Fails with every port that is taken. Each server still says so itself, should another program be faster than it.
pub fn free(config: &Config, servers: &[Server]) -> anyhow::Result<()> {
    let taken: Vec<String> = servers.iter().filter_map(|server| taken(*server, server.address(config))).collect();
    match &taken[..] {
        [] => Ok(()),
        [one] => bail!("{one}"),
        all => bail!("{} addresses cannot be listened on:\n  - {}", all.len(), all.join("\n  - ")),
    }
}

fn taken(server: Server, address: SocketAddr) -> Option<String> {
    let (option, what) = (server.option(), server.what());
    let ip = address.ip();
    let error = TcpListener::bind(address).err()?;
    Some(match error.kind() {
        std::io::ErrorKind::AddrInUse => format!(
            "port {} is in use by another program, and {what} wants it ({option} = \"{address}\"); \
             stop that program, or choose another port with --set {option}={ip}:PORT (0 takes any free one)",
            address.port()
        ),
        _ => format!(
            "{what} cannot listen on \"{address}\": {error}; choose an address of this machine with --set {option}=HOST:PORT"
        ),
    })
}
