//! SQL over the lake.

use crate::{Lake, LakeError, run_rollup};
use arrow::util::pretty::pretty_format_batches;
use catalog::Rollup;

use super::rows::*;

async fn shown(lake: &Lake, sql: &str) -> String {
    pretty_format_batches(&lake.query(sql).await.unwrap()).unwrap().to_string()
}

/// Two lanes of one hour, the second revised; and an hour of which only an imported total is known.
async fn city() -> (tempfile::TempDir, Lake) {
    let (folder, lake) = lake().await;
    let mut table = lake.table(&OBSERVED).await.unwrap();
    table.append(&[observed(&[("A-01", 1, 0, 100, 0), ("A-01", 2, 0, 50, 1), ("B-02", 0, 1, 70, 2)])], &[]).await.unwrap();
    table.append(&[observed(&[("A-01", 2, 0, 55, 3)])], &[]).await.unwrap();
    (folder, lake)
}

#[tokio::test]
async fn a_session_sees_every_new_commit() {
    let (folder, lake) = city().await;
    let session = lake.session();
    let count = async || {
        let batches = session.sql("SELECT count(*) AS rows FROM observed.traffic_volume").await.unwrap().collect().await.unwrap();
        pretty_format_batches(&batches).unwrap().to_string()
    };
    insta::assert_snapshot!(count().await, @r"
    +------+
    | rows |
    +------+
    | 4    |
    +------+
    ");
    let elsewhere = Lake::open(&url(&folder)).await.unwrap();
    elsewhere.table(&OBSERVED).await.unwrap().append(&[observed(&[("C-03", 1, 2, 1, 4)])], &[]).await.unwrap();
    insta::assert_snapshot!(count().await, @r"
    +------+
    | rows |
    +------+
    | 5    |
    +------+
    ");
}

#[tokio::test]
async fn current_holds_the_newest_revision() {
    let (_folder, lake) = city().await;
    let sql = "SELECT spot, lane, volume, \"offset\" FROM current.traffic_volume ORDER BY spot, lane";
    insta::assert_snapshot!(shown(&lake, sql).await, @r"
    +------+------+--------+--------+
    | spot | lane | volume | offset |
    +------+------+--------+--------+
    | A-01 | 1    | 100    | 0      |
    | A-01 | 2    | 55     | 3      |
    | B-02 | 0    | 70     | 2      |
    +------+------+--------+--------+
    ");
}

#[tokio::test]
async fn a_rollup_sums_the_lanes_newest_revisions() {
    let (_folder, lake) = city().await;
    let rollup = Rollup::by_name("traffic_hourly").unwrap();
    let rows = lake.table(&OBSERVED).await.unwrap().scan(None).await.unwrap();
    let rolled = run_rollup(rollup, rows).await.unwrap();
    assert!(rolled.iter().all(|batch| batch.schema() == rollup.table().schema()));
    lake.table(&HOURLY).await.unwrap().append(&rolled, &[]).await.unwrap();
    let sql = "SELECT spot, direction, observed_at, volume, lanes FROM rollup.traffic_hourly ORDER BY spot";
    insta::assert_snapshot!(shown(&lake, sql).await, @r"
    +------+-----------+----------------------+--------+-------+
    | spot | direction | observed_at          | volume | lanes |
    +------+-----------+----------------------+--------+-------+
    | A-01 | 1         | 2022-09-30T15:00:00Z | 155    | 2     |
    | B-02 | 1         | 2022-09-30T16:00:00Z | 70     |       |
    +------+-----------+----------------------+--------+-------+
    ");
    assert!(run_rollup(rollup, Vec::new()).await.unwrap().is_empty());
}

#[tokio::test]
async fn operators_see_commits_and_freshness() {
    let (_folder, lake) = city().await;
    let commits = "SELECT table_name, version, operation, rows_added, files_added, files_removed, marks FROM ops.commits \
                   WHERE table_name = 'observed.traffic_volume' AND committed_at > now() - interval '1 hour' ORDER BY version";
    insta::assert_snapshot!(shown(&lake, commits).await, @r"
    +-------------------------+---------+--------------+------------+-------------+---------------+-------+
    | table_name              | version | operation    | rows_added | files_added | files_removed | marks |
    +-------------------------+---------+--------------+------------+-------------+---------------+-------+
    | observed.traffic_volume | 0       | CREATE TABLE | 0          | 0           | 0             | {}    |
    | observed.traffic_volume | 1       | WRITE        | 3          | 1           | 0             | {}    |
    | observed.traffic_volume | 2       | WRITE        | 1          | 1           | 0             | {}    |
    +-------------------------+---------+--------------+------------+-------------+---------------+-------+
    ");
    let feeds = "SELECT feed, rows, newest_observed_at, newest_received_at, version FROM ops.feeds ORDER BY feed";
    insta::assert_snapshot!(shown(&lake, feeds).await, @r"
    +----------------+------+----------------------+----------------------+---------+
    | feed           | rows | newest_observed_at   | newest_received_at   | version |
    +----------------+------+----------------------+----------------------+---------+
    | traffic_spot   | 0    |                      |                      | 0       |
    | traffic_volume | 4    | 2022-09-30T16:00:00Z | 2022-09-30T17:30:00Z | 2       |
    +----------------+------+----------------------+----------------------+---------+
    ");
}

#[tokio::test]
async fn a_filter_by_time_reads_only_the_files_that_can_match() {
    let (folder, lake) = city().await;
    lake.table(&OBSERVED).await.unwrap().append(&[observed(&[("A-01", 1, 50, 9, 9)])], &[]).await.unwrap();
    // Without the files of the first hours the query still answers: nobody asks for them.
    let kept = lake
        .query("EXPLAIN SELECT * FROM observed.traffic_volume WHERE observed_at >= TIMESTAMPTZ '2022-10-02T00:00:00Z'")
        .await
        .unwrap();
    let plan = pretty_format_batches(&kept).unwrap().to_string();
    assert_eq!(plan.matches(".parquet").count(), 1, "{plan}");
    drop(folder);
}

#[tokio::test]
async fn whatever_would_change_something_is_refused() {
    let (folder, lake) = city().await;
    let stolen = folder.path().join("stolen.csv");
    let copy = format!("COPY (SELECT 1) TO '{}'", stolen.display());
    for sql in [
        "INSERT INTO observed.traffic_volume SELECT * FROM observed.traffic_volume",
        "CREATE TABLE observed.other AS SELECT 1",
        "DROP TABLE observed.traffic_volume",
        copy.as_str(),
        "CREATE EXTERNAL TABLE passwords STORED AS CSV LOCATION '/etc/passwd'",
        "SET datafusion.execution.target_partitions = 64",
    ] {
        let error = lake.query(sql).await.unwrap_err();
        assert!(matches!(error, LakeError::Query(_)), "{sql}: {error:?}");
    }
    assert!(!stolen.exists());
}

#[tokio::test]
async fn every_table_says_what_its_columns_mean() {
    let (folder, lake) = lake().await;
    for table in catalog::tables::all() {
        let log = folder.path().join(table.name.path()).join("_delta_log/00000000000000000000.json");
        let log = std::fs::read_to_string(log).unwrap();
        let metadata: serde_json::Value = log
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .find(|action| action.get("metaData").is_some())
            .unwrap();
        let metadata = &metadata["metaData"];
        assert_eq!(metadata["description"], table.comment);
        let schema: serde_json::Value = serde_json::from_str(metadata["schemaString"].as_str().unwrap()).unwrap();
        for (column, field) in table.columns.iter().zip(schema["fields"].as_array().unwrap()) {
            assert_eq!((&field["name"], &field["metadata"]["comment"]), (&column.name.into(), &column.comment.into()));
        }
        let session = lake.session();
        let frame = session.table(format!("{}.{}", table.name.schema, table.name.table)).await.unwrap();
        assert!(frame.schema().fields().iter().all(|field| field.metadata().contains_key("comment")), "{}", table.name);
    }
}

#[tokio::test]
async fn small_files_beside_the_tables_come_back_whole() {
    let (_folder, lake) = lake().await;
    lake.put("models/traffic_volume/1.bundle", "a bundle".into()).await.unwrap();
    lake.put("models/traffic_volume/1.bundle", "another".into()).await.unwrap();
    assert_eq!(lake.get("models/traffic_volume/1.bundle").await.unwrap(), "another");
    let error = lake.get("models/none").await.unwrap_err();
    assert!(matches!(error, LakeError::NotFound { .. }) && error.to_string().contains("models/none"), "{error}");
}

#[tokio::test]
async fn a_table_of_another_shape_is_refused_when_the_lake_is_opened() {
    let (folder, lake) = lake().await;
    drop(lake);
    let log = folder.path().join("rollup/traffic_hourly/_delta_log/00000000000000000000.json");
    let text = std::fs::read_to_string(&log).unwrap().replace(r#"\"name\":\"lanes\""#, r#"\"name\":\"tracks\""#);
    std::fs::write(&log, text).unwrap();
    let error = Lake::open(&url(&folder)).await.unwrap_err();
    assert!(matches!(error, LakeError::SchemaMismatch { .. }), "{error:?}");
    assert!(error.to_string().contains("tracks Int64") && error.to_string().contains("rollup.traffic_hourly"), "{error}");
}
