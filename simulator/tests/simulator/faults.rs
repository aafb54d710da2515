//! Misbehaviour, switched on and off while it runs.

use std::time::{Duration, Instant};

use crate::Faults;
use reqwest::StatusCode;

use crate::tests::{KEY, Running};

const NOW: &str = "2022-10-01T00:30:00Z";

impl Running {
    async fn set(&self, faults: &str) -> (StatusCode, String) {
        let client = reqwest::Client::new();
        let answer = client.post(format!("{}/faults", self.simulator.url())).body(faults.to_owned()).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    async fn try_spots(&self, timeout: Duration) -> Result<(StatusCode, String), reqwest::Error> {
        let client = reqwest::Client::builder().timeout(timeout).build().unwrap();
        let answer = client.get(format!("{}/{KEY}/xml/SpotInfo/1/1000/", self.simulator.url())).send().await?;
        Ok((answer.status(), answer.text().await?))
    }

    async fn spots(&self) -> (StatusCode, String) {
        self.try_spots(Duration::from_secs(10)).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_shows_itself_and_goes_again() {
    let city = Running::synthetic(NOW).await;
    let (_, whole) = city.spots().await;
    assert!(whole.ends_with("</SpotInfo>"));

    city.set(r#"{"http_500": 1}"#).await;
    assert_eq!(city.spots().await.0, 500);
    city.set(r#"{"maintenance": 1}"#).await;
    let (status, page) = city.spots().await;
    assert!(status == 200 && page.starts_with("<!DOCTYPE html>"));
    city.set(r#"{"truncated": 1}"#).await;
    let (status, part) = city.spots().await;
    assert!(status == 200 && !part.contains("</SpotInfo>") && part.len() > 1000);
    city.set(r#"{"error_500": 1}"#).await;
    insta::assert_snapshot!(city.spots().await.1, @r"
    <RESULT><CODE>ERROR-500</CODE><MESSAGE><![CDATA[서버 오류입니다.
    지속적으로 발생시 열린 데이터 광장으로 문의(Q&A) 바랍니다.]]></MESSAGE></RESULT>
    ");
    city.set(r#"{"error_600": 1}"#).await;
    insta::assert_snapshot!(city.spots().await.1, @r"
    <RESULT><CODE>ERROR-600</CODE><MESSAGE><![CDATA[데이터베이스 연결 오류입니다.
    지속적으로 발생시 열린 데이터 광장으로 문의(Q&A) 바랍니다.]]></MESSAGE></RESULT>
    ");
    city.set(r#"{"slow": 1, "slow_ms": 300}"#).await;
    let asked = Instant::now();
    assert_eq!(city.spots().await.1, whole);
    assert!(asked.elapsed() >= Duration::from_millis(300));
    city.set(r#"{"hang": 1}"#).await;
    assert!(city.try_spots(Duration::from_millis(300)).await.unwrap_err().is_timeout());
    assert!(city.get("/clock").await.contains("now"), "the simulator's own paths are never touched");

    city.set("{}").await;
    assert_eq!(city.spots().await.1, whole);
    assert_eq!(city.get("/faults").await, serde_json::to_string(&Faults::default()).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_gives_the_same_faults_again() {
    let city = Running::synthetic(NOW).await;
    let mut runs = Vec::new();
    for _ in 0..2 {
        city.set(r#"{"seed": 9, "http_500": 0.3, "maintenance": 0.3}"#).await;
        let mut run = Vec::new();
        for _ in 0..40 {
            let (status, body) = city.spots().await;
            run.push((status, body.len()));
        }
        runs.push(run);
    }
    assert_eq!(runs[0], runs[1]);
    assert!(runs[0].iter().any(|(status, _)| *status == 500) && runs[0].iter().any(|(status, _)| *status == 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_faults_are_refused_and_change_nothing() {
    let city = Running::synthetic(NOW).await;
    city.set(r#"{"http_500": 1}"#).await;
    let mut messages = Vec::new();
    for faults in [r#"{"hangs": 1}"#, r#"{"hang": 2}"#, "http_500"] {
        let (status, message) = city.set(faults).await;
        assert_eq!(status, 400);
        messages.push(message);
    }
    insta::assert_snapshot!(messages.concat(), @r#"
    not a JSON object of faults: unknown field `hangs`, expected one of `seed`, `http_500`, `maintenance`, `hang`, `truncated`, `error_500`, `error_600`, `slow`, `slow_ms` at line 1 column 8
    impossible faults: "hang" is 2, but a share lies between 0 and 1
    not a JSON object of faults: expected value at line 1 column 1
    "#);
    assert_eq!(city.spots().await.0, 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_request_does_not_hold_up_a_stop() {
    let city = Running::synthetic(NOW).await;
    city.simulator.set_faults(Faults { hang: 1.0, ..Faults::default() }).unwrap();
    let url = format!("{}/{KEY}/xml/SpotInfo/1/5/", city.simulator.url());
    let hanging = tokio::spawn(reqwest::get(url));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!hanging.is_finished());
    let stopped = Instant::now();
    city.simulator.stop().await;
    assert!(stopped.elapsed() < Duration::from_secs(1));
}
