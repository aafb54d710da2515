//! Alive, ready, stale: what an orchestrator and a client see when something stands.

use chrono::TimeDelta;

use crate::tests::city::{self, noon, spots};
use crate::tests::served::Served;

#[tokio::test(flavor = "multi_thread")]
async fn it_is_alive_before_it_is_ready_and_ready_when_there_is_a_forecast() {
    let served = Served::empty().await;
    assert_eq!(served.get("/healthz").await.status, 200);
    insta::assert_snapshot!(served.get("/readyz").await.shown(), @r#"
    503 application/problem+json
    {
      "detail": "traffic_volume has no champion; traffic_volume has no forecast",
      "hint": "`hangang status` shows every stage; /healthz answers as long as the process lives",
      "status": 503,
      "title": "not ready",
      "type": "urn:hangang:problem:not-ready"
    }
    "#);
    city::add_champion(&served.lake, "week_mean-1", "week_mean", noon()).await;
    city::add_forecast(&served.lake, &spots(), noon(), "week_mean-1").await;
    let ready = served.until("/readyz", |answer| answer.status == 200).await;
    insta::assert_snapshot!(ready.shown(), @r#"
    200 application/json
    {
      "checks": [
        "the lake can be read",
        "the champion of traffic_volume is \"week_mean-1\"",
        "the newest forecast of traffic_volume was issued at 2022-10-07T12:00:00+09:00"
      ],
      "overdue": [],
      "status": "ready"
    }
    "#);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_brings_nothing_newer_degrades_it_and_is_told_everywhere() {
    let mut served = Served::usual().await;
    // The newest hour begins at 10:00: the next was first asked for at 12:30, two hours before.
    for (hours, minutes, overdue) in [(2, 29, false), (2, 31, true)] {
        let now = noon() + TimeDelta::hours(hours) + TimeDelta::minutes(minutes);
        served.pass_until(now).await;
        city::add_forecast(&served.lake, &spots(), noon() + TimeDelta::hours(hours), "lightgbm-7").await;
        let status = if overdue { "degraded" } else { "ready" };
        let ready = served.until("/readyz", |answer| answer.status == 200 && answer.json()["status"] == status).await.json();
        assert_eq!(ready["overdue"].as_array().unwrap().len(), usize::from(overdue), "{ready}");
        let live = served.get("/v1/live").await.json();
        let since = live["feeds"][1]["overdue_since"].as_str();
        assert_eq!(since, overdue.then_some("2022-10-07T14:30:00+09:00"));
    }
    let ready = served.get("/readyz").await.json();
    insta::assert_snapshot!(ready["overdue"][0].as_str().unwrap(), @"the newest of traffic_volume is of the interval from 2022-10-07T10:00:00+09:00; something newer is overdue since 2022-10-07T14:30:00+09:00: does its upstream answer?");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_forecast_stays_and_is_marked_stale_after_two_steps() {
    let mut served = Served::usual().await;
    let path = "/v1/forecasts/traffic_volume";
    let fresh = served.get(path).await.json();
    assert_eq!(fresh["stale"], false);
    served.pass_until(noon() + TimeDelta::hours(2)).await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await; // ten looks at the clock
    assert_eq!(served.get(path).await.json()["stale"], false, "two steps are its grace");
    served.pass_until(noon() + TimeDelta::hours(2) + TimeDelta::seconds(1)).await;
    let stale = served.until(path, |answer| answer.json()["stale"] == true).await;
    assert_eq!(stale.status, 200);
    assert_eq!((&stale.json()["issued_at"], &stale.json()["series"]), (&fresh["issued_at"], &fresh["series"]));
    let ready = served.get("/readyz").await;
    assert_eq!(ready.status, 503);
    insta::assert_snapshot!(ready.json()["detail"].as_str().unwrap(), @"the newest forecast of traffic_volume was issued at 2022-10-07T12:00:00+09:00, more than two steps before the city's time, 2022-10-07T14:00:01+09:00");
    assert_eq!(served.get("/v1/live").await.json()["targets"][0]["stale"], true);

    city::add_forecast(&served.lake, &spots(), noon() + TimeDelta::hours(2), "lightgbm-7").await;
    served.until("/readyz", |answer| answer.status == 200).await;
    assert_eq!(served.get(path).await.json()["stale"], false);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_is_gone_is_said_and_the_last_good_forecast_is_served_on() {
    let mut served = Served::usual().await;
    let before = served.get("/v1/forecasts/traffic_volume").await;
    let log = served.folder.path().join("lake/forecast/forecasts/_delta_log");
    let away = served.folder.path().join("away");
    std::fs::rename(&log, &away).unwrap();
    std::fs::write(&log, "no folder").unwrap();
    let ready = served.until("/readyz", |answer| answer.status == 503).await;
    let detail = ready.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.starts_with("the lake can't be read: looking for news of forecast.forecasts"), "{detail}");
    assert_eq!(served.get("/v1/forecasts/traffic_volume").await.bytes, before.bytes);
    assert_eq!(served.get("/healthz").await.status, 200);
    let live = served.get("/v1/live").await;
    assert_eq!(live.json()["trouble"], "the lake can't be read at the moment; what was known last is served");
    served.pass_until(noon() + TimeDelta::hours(2) + TimeDelta::seconds(1)).await;
    let stale = served.until("/v1/forecasts/traffic_volume", |answer| answer.json()["stale"] == true).await;
    assert_eq!((stale.status, &stale.json()["series"]), (200, &before.json()["series"]), "served on, and marked in its time");
    let unread = served.get("/v1/forecasts/traffic_volume?issued_at=2022-10-06T12:00:00%2B09:00").await;
    assert_eq!(unread.status, 503, "{}", unread.text());
    for text in [live.text(), unread.text()] {
        let folder = served.folder.path().to_str().unwrap();
        assert!(!text.contains(folder) && !text.contains("SELECT"), "where the lake lies is not for its clients: {text}");
    }

    std::fs::remove_file(&log).unwrap();
    std::fs::rename(&away, &log).unwrap();
    served.until("/readyz", |answer| answer.json()["detail"].as_str().is_some_and(|detail| !detail.contains("lake"))).await;
    city::add_forecast(&served.lake, &spots(), noon() + TimeDelta::hours(2), "lightgbm-7").await;
    served.until("/readyz", |answer| answer.status == 200).await;
    served.stop().await;
}
