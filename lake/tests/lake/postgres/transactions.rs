//! The books of a transaction, as drivers in their default mode keep them.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_transaction_ends_before_anything_else_is_answered() {
    let served = served().await;
    let client = served.connect().await;
    client.batch_execute("BEGIN; SELECT 1").await.unwrap();
    assert!(told(&client.simple_query("SELECT nothing").await.unwrap_err()).starts_with("42703 "));
    let aborted = "25P02 current transaction is aborted, commands ignored until end of transaction block";
    assert_eq!(told(&client.simple_query("SELECT 1").await.unwrap_err()), aborted);
    assert_eq!(told(&client.query("SELECT 1", &[]).await.unwrap_err()), aborted);
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(simple(&client, "SELECT 1").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_savepoint_brings_a_failed_transaction_back() {
    let served = served().await;
    let mut client = served.connect().await;
    let mut transaction = client.transaction().await.unwrap();
    {
        let savepoint = transaction.savepoint("here").await.unwrap();
        assert!(savepoint.query("SELECT nothing", &[]).await.is_err());
        savepoint.rollback().await.unwrap();
    }
    assert_eq!(transaction.query_one("SELECT 1", &[]).await.unwrap().get::<_, i64>(0), 1);
    transaction.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_ends_a_text_of_statements_where_it_stands() {
    let served = served().await;
    let client = served.connect().await;
    let error = client.simple_query("SET timezone = 'Asia/Seoul'; SELECT nothing; SET timezone = 'UTC'").await.unwrap_err();
    assert!(told(&error).starts_with("42703 "));
    assert_eq!(simple(&client, "SHOW timezone").await, "Asia/Seoul");
    assert_eq!(told(&client.simple_query("SELECT 1; DROP TABLE x").await.unwrap_err()).split(' ').next(), Some("42501"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_drivers_send_between_statements_is_answered() {
    let served = served().await;
    let client = served.connect().await;
    client
        .batch_execute(
            "SET application_name = 'Metabase'; SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ UNCOMMITTED; SET extra_float_digits = 3; \
             SET client_encoding TO 'UTF8'; SET NAMES 'UTF8'; BEGIN READ ONLY; SET LOCAL statement_timeout = 1000; COMMIT; BEGIN TRANSACTION ISOLATION LEVEL \
             SERIALIZABLE; END; START TRANSACTION; ROLLBACK; DISCARD ALL; DEALLOCATE ALL; RESET ALL;",
        )
        .await
        .unwrap();
    assert_eq!(
        simple(&client, "SHOW TRANSACTION ISOLATION LEVEL; SHOW transaction_read_only; SHOW application_name").await,
        "read committed on "
    );
    assert_eq!(simple(&client, "").await, "");
    assert_eq!(simple(&client, " ;; -- nothing").await, "");
    assert!(client.query("", &[]).await.unwrap().is_empty());
    assert!(client.prepare("").await.unwrap().columns().is_empty());
}
