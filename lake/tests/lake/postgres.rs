//! SQL over the wire, by real clients: tokio-postgres, psql, psycopg, and bytes of our own.

mod protocol;
mod queries;
mod refusals;
mod tools;
mod transactions;

use std::net::SocketAddr;
use std::time::Duration;

use crate::Lake;
use crate::postgres::{PostgresOptions, PostgresServer, serve};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use tokio_util::sync::CancellationToken;

use super::rows::{HOURLY, OBSERVED, hourly, lake, observed};

/// A served lake: three observations of two spots, and two hours of the rollup.
struct Served {
    _folder: tempfile::TempDir,
    lake: Lake,
    server: PostgresServer,
    stop: CancellationToken,
}

fn options() -> PostgresOptions {
    PostgresOptions { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..PostgresOptions::default() }
}

async fn served() -> Served {
    served_with(options()).await
}

async fn served_with(options: PostgresOptions) -> Served {
    let (folder, lake) = lake().await;
    let mut table = lake.table(&OBSERVED).await.unwrap();
    table.append(&[observed(&[("A-01", 1, 0, 100, 0), ("A-01", 2, 0, 50, 1), ("B-02", 0, 1, 70, 2)])], &[]).await.unwrap();
    lake.table(&HOURLY).await.unwrap().append(&[hourly(&[(0, 155), (1, 70)])], &[]).await.unwrap();
    let stop = CancellationToken::new();
    let server = serve(lake.clone(), options, stop.clone()).await.unwrap();
    Served { _folder: folder, lake, server, stop }
}

impl Served {
    fn address(&self) -> SocketAddr {
        self.server.address()
    }

    fn config(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(self.address().port())
            .user("tester")
            .dbname("hangang")
            .connect_timeout(Duration::from_secs(10));
        config
    }

    async fn connect(&self) -> Client {
        connect(&self.config()).await.unwrap()
    }
}

async fn connect(config: &tokio_postgres::Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The rows of a text of statements over the simple protocol, columns joined by `|`, rows by a blank.
async fn simple(client: &Client, sql: &str) -> String {
    match client.simple_query(sql).await {
        Ok(messages) => rows(messages),
        Err(error) => panic!("{sql}: {}", told(&error)),
    }
}

fn rows(messages: Vec<SimpleQueryMessage>) -> String {
    let row = |message: SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|at| row.get(at).unwrap_or("∅").to_owned()).collect::<Vec<_>>().join("|"))
        }
        _ => None,
    };
    messages.into_iter().filter_map(row).collect::<Vec<_>>().join(" ")
}

/// SQLSTATE and message as the client was told them.
fn told(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{} {}", error.code().code(), error.message()),
        None => format!("{error:?}"),
    }
}
