//! What is refused or fails, each with its SQLSTATE and message; the connection goes on afterwards.

use std::time::{Duration, Instant};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_would_write_is_refused_in_both_protocols() {
    let served = served().await;
    let client = served.connect().await;
    for (sql, verb) in [
        ("INSERT INTO observed.traffic_volume (spot) VALUES ('x')", "INSERT"),
        ("UPDATE rollup.traffic_hourly SET volume = 0", "UPDATE"),
        ("DELETE FROM rollup.traffic_hourly", "DELETE"),
        ("TRUNCATE rollup.traffic_hourly", "TRUNCATE"),
        ("MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE", "MERGE"),
        ("CREATE TABLE t (a int)", "CREATE"),
        ("CREATE TABLE t AS SELECT 1", "CREATE"),
        ("CREATE VIEW v AS SELECT 1", "CREATE"),
        ("CREATE SCHEMA s", "CREATE"),
        ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'", "CREATE"),
        ("DROP TABLE rollup.traffic_hourly", "DROP"),
        ("ALTER TABLE rollup.traffic_hourly ADD COLUMN a int", "ALTER"),
        ("COPY (SELECT 1) TO 'stolen.csv'", "COPY"),
        ("COPY rollup.traffic_hourly TO 'stolen.csv' STORED AS CSV", "COPY"),
        ("COPY rollup.traffic_hourly FROM STDIN", "COPY"),
        ("SELECT 1 INTO t", "SELECT INTO"),
        ("SELECT * FROM rollup.traffic_hourly FOR UPDATE", "SELECT FOR UPDATE"),
        ("WITH x AS (DELETE FROM rollup.traffic_hourly RETURNING 1) SELECT * FROM x", "DELETE"),
        ("EXPLAIN ANALYZE DELETE FROM rollup.traffic_hourly", "DELETE"),
        ("GRANT SELECT ON rollup.traffic_hourly TO tester", "GRANT"),
        ("VACUUM", "VACUUM"),
        ("SET datafusion.execution.target_partitions = 64", "SET of datafusion.execution.target_partitions"),
        ("RESET datafusion.execution.target_partitions", "SET of datafusion.execution.target_partitions"),
    ] {
        let expected = format!("42501 cannot execute {verb}: the lake is read-only over this connection");
        assert_eq!(told(&client.simple_query(sql).await.unwrap_err()), expected, "{sql}");
        assert_eq!(told(&client.prepare(sql).await.unwrap_err()), expected, "{sql}");
    }
    assert!(!std::path::Path::new("stolen.csv").exists());
    assert_eq!(simple(&client, "SELECT count(*) FROM rollup.traffic_hourly").await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_postgresqls_codes_and_say_what_is_wrong() {
    let served = served().await;
    let client = served.connect().await;
    for (sql, expected) in [
        ("SELECT * FROM rollup.nothing", "42P01 relation \"rollup.nothing\" does not exist"),
        ("SELECT * FROM '/etc/passwd'", "42P01 "),
        ("SELECT * FROM \"/etc/passwd\"", "42P01 "),
        ("SELECT colour FROM rollup.traffic_hourly", "42703 column \"colour\" does not exist"),
        ("SELECT t.colour FROM rollup.traffic_hourly t", "42703 column \"t.colour\" does not exist"),
        ("SELECT volume FROM rollup.traffic_hourly a, rollup.traffic_hourly b", "42702 column reference \"volume\" is ambiguous"),
        ("SELEC 1", "42601 syntax error: "),
        ("SELECT (1", "42601 syntax error: "),
        ("SELECT nothing(1)", "42883 function nothing does not exist"),
        ("SELECT abs('x', 'y')", "42883 "),
        ("SELECT CAST('x' AS bigint)", "22P02 "),
        ("SELECT 1 / 0", "22012 division by zero"),
        ("SELECT volume / (volume - volume) FROM rollup.traffic_hourly", "22012 division by zero"),
        ("SELECT spot FROM rollup.traffic_hourly GROUP BY direction", "42803 "),
        ("SHOW colour", "42704 unrecognized configuration parameter \"colour\""),
        ("SET colour = 'red'", "42704 unrecognized configuration parameter \"colour\""),
        ("SET timezone = 'Mars'", "22023 invalid value for parameter \"TimeZone\": \"Mars\""),
        ("DEALLOCATE nothing", "26000 prepared statement \"nothing\" does not exist"),
        ("COPY (SELECT 1) TO STDOUT", "0A000 COPY TO STDOUT is not supported"),
        ("DECLARE c CURSOR FOR SELECT 1", "0A000 a cursor in SQL is not supported"),
    ] {
        let simply = told(&client.simple_query(sql).await.unwrap_err());
        assert!(simply.starts_with(expected), "{sql}: {simply}");
        // Over the extended protocol some only show when they run.
        let extended = match client.prepare(sql).await {
            Err(error) => told(&error),
            Ok(statement) => told(&client.query(&statement, &[]).await.unwrap_err()),
        };
        assert_eq!(extended, simply, "{sql}");
    }
    let error = client.simple_query("SELECT 1,\n  FROM x y z").await.unwrap_err();
    assert!(error.as_db_error().unwrap().position().is_some(), "a syntax error points at its place");
    let hint = client.simple_query("SELECT colour FROM rollup.traffic_hourly").await.unwrap_err();
    assert!(hint.as_db_error().unwrap().hint().unwrap().contains("spot"), "the hint names the columns there are");
}

/// Takes about a minute: long enough to be stopped, short enough to end by itself should that fail.
const LONG: &str =
    "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b WHERE a.value * b.value % 7 = 3";

#[tokio::test(flavor = "multi_thread")]
async fn a_running_statement_is_cancelled_from_another_connection() {
    let served = served().await;
    let client = served.connect().await;
    for extended in [false, true] {
        let token = client.cancel_token();
        let cancelling = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            token.cancel_query(NoTls).await.unwrap();
        });
        let begun = Instant::now();
        let error = if extended { client.query(LONG, &[]).await.map(drop) } else { client.simple_query(LONG).await.map(drop) };
        assert_eq!(told(&error.unwrap_err()), "57014 canceling statement due to user request");
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        cancelling.await.unwrap();
        assert_eq!(simple(&client, "SELECT 1").await, "1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_stopped_when_its_time_is_over() {
    let served = served_with(PostgresOptions { statement_timeout: Duration::from_millis(400), ..options() }).await;
    let client = served.connect().await;
    let stopped = "57014 canceling statement due to statement timeout";
    assert_eq!(told(&client.simple_query(LONG).await.unwrap_err()), stopped);
    client.batch_execute("SET statement_timeout = '200ms'").await.unwrap();
    let begun = Instant::now();
    assert_eq!(told(&client.query(LONG, &[]).await.unwrap_err()), stopped);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(simple(&client, "SET statement_timeout = '1min'; SELECT 1; SHOW statement_timeout").await, "1 60000");
    client.batch_execute("RESET statement_timeout").await.unwrap();
    assert_eq!(told(&client.simple_query(LONG).await.unwrap_err()), stopped, "the server's own limit is back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_needs_too_much_memory_ends_and_nothing_else_does() {
    let served = served().await;
    let (client, other) = (served.connect().await, served.connect().await);
    let error = client
        .simple_query("SELECT count(DISTINCT value), array_length(array_agg(value)) FROM generate_series(1, 100000000)")
        .await
        .unwrap_err();
    assert!(told(&error).starts_with("53200 out of query memory: "), "{}", told(&error));
    assert_eq!((simple(&client, "SELECT 1").await, simple(&other, "SELECT 2").await), ("1".to_owned(), "2".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_beyond_its_length_is_refused() {
    let served = served_with(PostgresOptions { statement_bytes_max: 1_000, ..options() }).await;
    let client = served.connect().await;
    let long = format!("SELECT '{}'", "x".repeat(1_000));
    assert_eq!(told(&client.simple_query(&long).await.unwrap_err()), "54000 statement of 1009 bytes, at most 1000 are read");
    assert_eq!(told(&client.prepare(&long).await.unwrap_err()), "54000 statement of 1009 bytes, at most 1000 are read");
    let deep = format!("SELECT {}1{}", "(".repeat(450), ")".repeat(450));
    assert_eq!(told(&client.simple_query(&deep).await.unwrap_err()), "54001 statement is nested too deeply");
    assert_eq!(simple(&client, "SELECT 1").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_too_many_is_told_so_and_comes_in_when_another_leaves() {
    let served = served_with(PostgresOptions { connections_max: 2, ..options() }).await;
    let (one, two) = (served.connect().await, served.connect().await);
    let error = connect(&served.config()).await.unwrap_err();
    assert_eq!(told(&error), "53300 sorry, too many clients already: 2 are connected");
    // A cancellation still gets through.
    two.cancel_token().cancel_query(NoTls).await.unwrap();
    drop(one);
    let begun = Instant::now();
    while connect(&served.config()).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10), "the place never became free");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_database_does_not_exist_here() {
    let served = served().await;
    let error = connect(served.config().dbname("other")).await.unwrap_err();
    assert_eq!(told(&error), "3D000 database \"other\" does not exist");
    connect(served.config().dbname("tester")).await.unwrap();
    let error = connect(served.config().options("-c timezone=Mars")).await.unwrap_err();
    assert_eq!(told(&error), "22023 invalid value for parameter \"TimeZone\": \"Mars\"");
}
