//! Reads: values, types, names, parameters, portions.

use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, NaiveDate, Utc};
use futures::TryStreamExt;
use tokio_postgres::types::{ToSql, Type};

use super::super::rows::{OBSERVED, hour, observed};
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn tables_have_postgresqls_types_and_every_value_comes_through() {
    let served = served().await;
    let client = served.connect().await;
    let statement = client.prepare("SELECT * FROM observed.traffic_volume WHERE lane = $1 ORDER BY \"offset\"").await.unwrap();
    assert_eq!(statement.params(), [Type::INT2]);
    let columns: Vec<String> = statement.columns().iter().map(|column| format!("{} {}", column.name(), column.type_())).collect();
    assert_eq!(
        columns.join(", "),
        "spot text, direction int2, lane int2, observed_at timestamptz, volume int4, received_at timestamptz, topic text, generation int4, \
         partition int4, offset int8"
    );
    let row = client.query_one(&statement, &[&2i16]).await.unwrap();
    assert_eq!(row.get::<_, &str>("spot"), "A-01");
    assert_eq!(row.get::<_, DateTime<Utc>>("observed_at"), hour(0));
    assert_eq!((row.get::<_, i32>("volume"), row.get::<_, i64>("offset")), (50, 1));
    let row =
        client.query_one("SELECT lanes, volume FROM rollup.traffic_hourly WHERE observed_at = $1", &[&hour(1)]).await.unwrap();
    assert_eq!((row.get::<_, Option<i64>>("lanes"), row.get::<_, i64>("volume")), (None, 70));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_comes_back_as_it_went_in() {
    let served = served().await;
    let client = served.connect().await;
    async fn echo<T>(client: &tokio_postgres::Client, sql: &str, of: Type, value: T)
    where
        T: ToSql + Sync + PartialEq + std::fmt::Debug + for<'a> tokio_postgres::types::FromSql<'a>,
    {
        let statement = client.prepare_typed(sql, std::slice::from_ref(&of)).await.unwrap();
        assert_eq!((statement.params(), statement.columns()[0].type_()), (&[of.clone()][..], &of), "{sql}");
        let row = client.query_one(&statement, &[&value]).await.unwrap();
        assert_eq!(row.get::<_, T>(0), value, "{of}");
    }
    echo(&client, "SELECT $1", Type::BOOL, true).await;
    echo(&client, "SELECT $1", Type::INT2, i16::MIN).await;
    echo(&client, "SELECT $1", Type::INT4, i32::MIN).await;
    echo(&client, "SELECT $1", Type::INT8, i64::MIN).await;
    echo(&client, "SELECT $1", Type::INT8, i64::MAX).await;
    echo(&client, "SELECT $1", Type::FLOAT8, f64::MIN_POSITIVE).await;
    echo(&client, "SELECT $1", Type::FLOAT8, f64::NEG_INFINITY).await;
    echo(&client, "SELECT $1", Type::FLOAT4, 0.1f32).await;
    echo(&client, "SELECT $1", Type::TEXT, "'; DROP TABLE x; -- 한강 $1 \\".to_owned()).await;
    echo(&client, "SELECT $1", Type::BYTEA, vec![0u8, 39, 255]).await;
    echo(&client, "SELECT $1", Type::DATE, NaiveDate::from_ymd_opt(2022, 10, 1).unwrap()).await;
    echo(
        &client,
        "SELECT $1",
        Type::TIMESTAMP,
        NaiveDate::from_ymd_opt(1969, 12, 31).unwrap().and_hms_micro_opt(23, 59, 59, 999_999).unwrap(),
    )
    .await;
    echo(&client, "SELECT $1", Type::TIMESTAMPTZ, hour(0)).await;
    echo(&client, "SELECT $1", Type::TEXT, None::<String>).await;
    echo(&client, "SELECT $1", Type::INT8, None::<i64>).await;
    echo(&client, "SELECT $1", Type::TIMESTAMPTZ, None::<SystemTime>).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_stand_in_filters_lists_limits_and_functions() {
    let served = served().await;
    let client = served.connect().await;
    let count = async |sql: &str, parameters: &[&(dyn ToSql + Sync)]| {
        client.query(sql, parameters).await.map(|rows| rows.len()).unwrap_or_else(|error| panic!("{sql}: {}", told(&error)))
    };
    assert_eq!(count("SELECT 1 FROM observed.traffic_volume WHERE spot = $1 AND volume > $2", &[&"A-01", &60i32]).await, 1);
    assert_eq!(
        count("SELECT 1 FROM observed.traffic_volume WHERE observed_at BETWEEN $1 AND $2", &[&hour(0), &hour(0)]).await,
        2
    );
    assert_eq!(count("SELECT 1 FROM observed.traffic_volume WHERE spot IN ($1, $2)", &[&"A-01", &"B-02"]).await, 3);
    assert_eq!(count("SELECT 1 FROM observed.traffic_volume ORDER BY \"offset\" LIMIT $1 OFFSET $2", &[&2i64, &2i64]).await, 1);
    assert_eq!(count("SELECT 1 FROM observed.traffic_volume WHERE spot LIKE $1", &[&"A%"]).await, 2);
    let statement =
        client.prepare_typed("SELECT 1 FROM observed.traffic_volume WHERE spot = ANY($1)", &[Type::TEXT_ARRAY]).await.unwrap();
    assert_eq!(client.query(&statement, &[&vec!["A-01", "none"]]).await.unwrap().len(), 2);
    let statement = client.prepare_typed("SELECT date_trunc($1, observed_at), CASE WHEN volume > $2 THEN $3 ELSE 'few' END FROM observed.traffic_volume ORDER BY \"offset\"", &[Type::TEXT, Type::INT8, Type::TEXT]).await.unwrap();
    let row = &client.query(&statement, &[&"day", &60i64, &"many"]).await.unwrap()[0];
    assert_eq!(row.get::<_, DateTime<Utc>>(0), "2022-09-30T00:00:00Z".parse::<DateTime<Utc>>().unwrap());
    assert_eq!(row.get::<_, &str>(1), "many");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_simple_protocol_writes_values_as_postgresql_does() {
    let served = served().await;
    let client = served.connect().await;
    let sql = "SELECT 1, -1.5, 1e20, true, NULL, 'x', CAST('NaN' AS double precision), CAST('inf' AS double precision), DATE '2022-10-01', \
               X'00ff', INTERVAL '1 day 2 hours', ARRAY[1, 2], arrow_cast(1.50, 'Decimal128(10, 2)')";
    assert_eq!(simple(&client, sql).await, "1|-1.5|1e+20|t|∅|x|NaN|Infinity|2022-10-01|\\x00ff|1 day 02:00:00|{1,2}|1.50");
    let sql = "SELECT observed_at FROM rollup.traffic_hourly ORDER BY 1 LIMIT 1";
    assert_eq!(simple(&client, sql).await, "2022-09-30 15:00:00+00");
    assert_eq!(simple(&client, &format!("SET TIMEZONE TO 'Asia/Seoul'; {sql}")).await, "2022-10-01 00:00:00+09");
    assert_eq!(simple(&client, sql).await, "2022-10-01 00:00:00+09", "the zone stays");
    assert_eq!(simple(&served.connect().await, sql).await, "2022-09-30 15:00:00+00", "and is nobody else's");
    assert_eq!(
        simple(&client, "SHOW timezone; SHOW server_version; SELECT 1; ; SELECT 2").await,
        "Asia/Seoul 17.0 (Hangang) 1 2"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_are_named_as_in_postgresql() {
    let served = served().await;
    let client = served.connect().await;
    let row = client
        .query_one(
            "SELECT count(*), max(volume), 1, spot FROM observed.traffic_volume GROUP BY spot ORDER BY 1 DESC LIMIT 1",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(row.columns().iter().map(|column| column.name()).collect::<Vec<_>>(), ["count", "max", "?column?", "spot"]);
    assert_eq!((row.get::<_, i64>("count"), row.get::<_, i32>("max")), (2, 100));
    let row = client.query_one("SELECT 1, 1, count(*), count(*), 2 AS a, 3 AS a FROM rollup.traffic_hourly", &[]).await.unwrap();
    assert_eq!(
        row.columns().iter().map(|column| column.name()).collect::<Vec<_>>(),
        ["?column?", "?column?", "count", "count", "a", "a"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_statement_sees_what_was_committed_after_it() {
    let served = served().await;
    let client = served.connect().await;
    let statement = client.prepare("SELECT count(*) FROM observed.traffic_volume").await.unwrap();
    let count = async || client.query_one(&statement, &[]).await.unwrap().get::<_, i64>(0);
    assert_eq!(count().await, 3);
    served.lake.table(&OBSERVED).await.unwrap().append(&[observed(&[("C-03", 1, 2, 1, 3)])], &[]).await.unwrap();
    assert_eq!(count().await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_gives_its_rows_in_portions() {
    let served = served().await;
    let mut client = served.connect().await;
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind("SELECT value FROM generate_series(1, 7) ORDER BY 1", &[]).await.unwrap();
    let mut portions = Vec::new();
    for _ in 0..4 {
        let rows = transaction.query_portal(&portal, 3).await.unwrap();
        portions.push(rows.iter().map(|row| row.get::<_, i64>(0)).collect::<Vec<_>>());
    }
    assert_eq!(portions, [vec![1, 2, 3], vec![4, 5, 6], vec![7], vec![]]);
    transaction.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_while_the_query_still_runs() {
    let served = served().await;
    let client = served.connect().await;
    // All of it would be 8 GB of numbers and take minutes.
    let rows = client.query_raw("SELECT value FROM generate_series(1, 1000000000)", Vec::<i64>::new()).await.unwrap();
    let begun = Instant::now();
    let first: Vec<i64> = futures::StreamExt::take(rows, 3).map_ok(|row| row.get::<_, i64>(0)).try_collect().await.unwrap();
    assert_eq!(first, [1, 2, 3]);
    assert!(begun.elapsed() < Duration::from_secs(20), "the first rows took {:?}", begun.elapsed());
    client.cancel_token().cancel_query(NoTls).await.unwrap();
    assert_eq!(simple(&client, "SELECT 1").await, "1", "the connection goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_learn_who_the_server_is() {
    let served = served().await;
    let client = served.connect().await;
    let version = simple(&client, "SELECT version()").await;
    assert!(version.starts_with("PostgreSQL 17.0 (Hangang)"), "{version}");
    assert_eq!(
        simple(&client, "SELECT current_database(), current_schema(), current_user, pg_catalog.pg_is_in_recovery()").await,
        "hangang|public|tester|f"
    );
    let tables = "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema = 'rollup'";
    assert_eq!(simple(&client, tables).await, "rollup|traffic_hourly");
    let columns = "SELECT a.attname, format_type(a.atttypid, a.atttypmod), d.description FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                   JOIN pg_attribute a ON a.attrelid = c.oid LEFT JOIN pg_description d ON d.objoid = c.oid AND d.objsubid = a.attnum \
                   WHERE n.nspname = 'rollup' AND c.relname = 'traffic_hourly' AND a.attname = 'observed_at'";
    assert_eq!(simple(&client, columns).await, "observed_at|timestamp with time zone|start of the hour (UTC)");
}

/// `cargo test -p lake --test lake -- --ignored --nocapture rows_a_second`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn rows_a_second_over_the_wire() {
    const ROWS: i64 = 2_000_000;
    let served = served().await;
    let client = served.connect().await;
    let sql = format!("SELECT value, value * 0.5, 'A-01', to_timestamp(value) FROM generate_series(1, {ROWS})");
    for binary in [true, false] {
        let begun = Instant::now();
        let rows = if binary {
            let rows = client.query_raw(&sql, Vec::<i64>::new()).await.unwrap();
            rows.try_fold(0, async |count, _| Ok(count + 1)).await.unwrap()
        } else {
            let rows = client.simple_query_raw(&sql).await.unwrap();
            let rows =
                rows.try_fold(0, async |count, message| Ok(count + i64::from(matches!(message, SimpleQueryMessage::Row(_)))));
            rows.await.unwrap()
        };
        assert_eq!(rows, ROWS);
        let rate = ROWS as f64 / begun.elapsed().as_secs_f64();
        eprintln!("{} rows of 4 columns a second, {}", rate as u64, if binary { "binary" } else { "text" });
    }
}
