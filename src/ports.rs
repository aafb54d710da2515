//! The ports that a command listens on, tried before it starts anything: what is taken is told at once and together,
//! not one by one after a history has been imported.

use std::net::{SocketAddr, TcpListener};

use anyhow::bail;

use crate::config::Config;

/// What listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    Simulator,
    Kafka,
    Api,
    Postgres,
}

impl Server {
    /// The option that says where, and what the server is to people.
    const fn named(self) -> (&'static str, &'static str) {
        match self {
            Server::Simulator => ("simulator.listen", "the simulator"),
            Server::Kafka => ("kafka.listen", "the embedded broker"),
            Server::Api => ("api.listen", "the page and the REST API"),
            Server::Postgres => ("postgres.listen", "the PostgreSQL wire"),
        }
    }

    fn address(self, config: &Config) -> SocketAddr {
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
    let (option, what) = server.named();
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
