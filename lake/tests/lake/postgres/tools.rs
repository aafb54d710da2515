//! psql and psycopg as people have them.

use std::process::{Command, Output};

use super::super::readers::{missing, python};
use super::*;

/// Runs psql on statements; its output, or `None` where there is no psql.
async fn psql(served: &Served, arguments: &[&str]) -> Option<Output> {
    let mut command = Command::new("psql");
    command
        .args(["--no-psqlrc", "--host=127.0.0.1", "--username=tester", "--dbname=hangang"])
        .arg(format!("--port={}", served.address().port()))
        .args(arguments)
        .env("PGCONNECT_TIMEOUT", "10");
    let ran = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    match ran {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            missing("psql is not on the PATH");
            None
        }
        Err(error) => panic!("psql: {error}"),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_reads_a_table_in_the_zone_it_asks_for() {
    let served = served().await;
    let statements = [
        "-c",
        "SET TIMEZONE TO 'Asia/Seoul'",
        "-c",
        "SELECT spot, observed_at, volume FROM rollup.traffic_hourly ORDER BY observed_at",
    ];
    let Some(output) = psql(&served, &statements).await else { return };
    assert!(output.status.success(), "{}", text(&output.stderr));
    insta::assert_snapshot!(text(&output.stdout), @r"
    SET
     spot |      observed_at       | volume
    ------+------------------------+--------
     A-01 | 2022-10-01 00:00:00+09 |    155
     A-01 | 2022-10-01 01:00:00+09 |     70
    (2 rows)
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_shows_where_a_statement_is_wrong() {
    let served = served().await;
    let Some(output) = psql(
        &served,
        &[
            "-v",
            "VERBOSITY=verbose",
            "-c",
            "SELECT spot\nFROM rollup.traffic_hourly\nWHERE spot == == 'A-01'",
            "-c",
            "DROP TABLE rollup.traffic_hourly",
        ],
    )
    .await
    else {
        return;
    };
    insta::assert_snapshot!(text(&output.stderr), @r"
    ERROR:  42601: syntax error: Expected: an expression, found: == at Line: 3, Column: 15
    LINE 3: WHERE spot == == 'A-01'
                          ^
    ERROR:  42501: cannot execute DROP: the lake is read-only over this connection
    HINT:  rows come in through topics and `hangang import` only; SELECT, EXPLAIN, SHOW and SET of session parameters are answered
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_lists_what_there_is() {
    let served = served().await;
    let Some(output) = psql(&served, &["-c", r"\dt rollup.*", "-c", r"\dn", "-c", r"\d rollup.traffic_hourly"]).await else {
        return;
    };
    assert!(output.status.success(), "{}", text(&output.stderr));
    insta::assert_snapshot!(text(&output.stdout), @r#"
                 List of relations
     Schema |      Name      | Type  |  Owner
    --------+----------------+-------+---------
     rollup | traffic_hourly | table | hangang
    (1 row)

      List of schemas
       Name   |  Owner
    ----------+---------
     current  | hangang
     forecast | hangang
     observed | hangang
     ops      | hangang
     public   | hangang
     rollup   | hangang
    (6 rows)

                          Table "rollup.traffic_hourly"
       Column    |           Type           | Collation | Nullable | Default
    -------------+--------------------------+-----------+----------+---------
     spot        | text                     |           | not null |
     direction   | smallint                 |           | not null |
     observed_at | timestamp with time zone |           | not null |
     volume      | bigint                   |           | not null |
     lanes       | bigint                   |           |          |
     received_at | timestamp with time zone |           | not null |
    "#);
    let output =
        psql(&served, &["--tuples-only", "--no-align", "-c", r"\dt", "-c", r"\dv", "-c", r"\d", "-c", r"\l"]).await.unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let listed = text(&output.stdout);
    assert!(
        listed.contains("observed|traffic_volume|table|hangang") && listed.contains("current|traffic_volume|view|hangang"),
        "{listed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn psycopg_works_in_its_default_mode() {
    let served = served().await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lake/postgres/client.py");
    let port = served.address().port().to_string();
    let Some(said) = tokio::task::spawn_blocking(move || python("psycopg", &[script, &port])).await.unwrap() else { return };
    assert!(said.ends_with("all asserted"), "{said}");
}
