//! A body is made once, sent many times, and made anew when what it rests on has changed.

use chrono::TimeDelta;

use crate::tests::city::{self, noon, spots};
use crate::tests::served::Served;

const FORECAST: &str = "/v1/forecasts/traffic_volume";

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_the_newest_forecast_is_told_so_until_there_is_a_newer_one() {
    let served = Served::usual().await;
    let first = served.get(FORECAST).await;
    let etag = first.header("etag").unwrap();
    assert_eq!(first.header("cache-control").as_deref(), Some("no-cache"));
    let again = served.get_with(FORECAST, &[("if-none-match", &etag)]).await;
    assert_eq!((again.status, again.bytes.len(), again.header("etag")), (304, 0, Some(etag.clone())));

    city::add_forecast(&served.lake, &spots(), noon() + TimeDelta::hours(1), "lightgbm-7").await;
    let newer = served.until(FORECAST, |answer| answer.json()["issued_at"] == "2022-10-07T13:00:00+09:00").await;
    assert_ne!(newer.header("etag"), Some(etag.clone()));
    assert_eq!(served.get_with(FORECAST, &[("if-none-match", &etag)]).await.status, 200);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_champion_is_named_though_the_forecast_is_the_same() {
    let served = Served::usual().await;
    assert_eq!(served.get(FORECAST).await.json()["champion"]["bundle"], "lightgbm-7");
    city::add_champion(&served.lake, "lightgbm-8", "lightgbm", noon()).await;
    let answer = served.until(FORECAST, |answer| answer.json()["champion"]["bundle"] == "lightgbm-8").await.json();
    assert_eq!(answer["series"][0]["bundle"], "lightgbm-7", "the bundle that it was made with");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gzip_and_identity_say_the_same_under_one_tag() {
    let served = Served::usual().await;
    let plain = served.get(FORECAST).await;
    let packed = served.get_with(FORECAST, &[("accept-encoding", "gzip")]).await;
    assert_eq!(packed.header("content-encoding").as_deref(), Some("gzip"));
    assert_eq!(plain.header("content-encoding"), None);
    assert!(packed.bytes.len() * 4 < plain.bytes.len(), "{} of {}", packed.bytes.len(), plain.bytes.len());
    assert_eq!(packed.text(), plain.text());
    assert_eq!(packed.header("etag"), plain.header("etag"));
    assert_eq!(packed.header("vary").as_deref(), Some("accept-encoding"));
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_that_land_change_the_map_and_the_history() {
    let served = Served::usual().await;
    assert_eq!(served.get("/v1/map/traffic_volume").await.json()["observed_at"], "2022-10-07T10:00:00+09:00");
    assert_eq!(served.get("/v1/history/traffic_volume/C-05/2?days=1").await.json()["observed"].as_array().unwrap().len(), 23);
    city::add_hours(&served.lake, &spots(), noon() - TimeDelta::hours(1), noon(), |_, _, _| 4).await;
    served.until("/v1/map/traffic_volume", |answer| answer.json()["observed_at"] == "2022-10-07T11:00:00+09:00").await;
    served
        .until("/v1/history/traffic_volume/C-05/2?days=1", |answer| answer.json()["observed"].as_array().unwrap().len() == 24)
        .await;
    served.stop().await;
}
