//! A whole city to look at in a browser, with its clock running:
//! `cargo test -p predictor-api --test api -- --ignored --nocapture by_hand`. `HANGANG_PORT` chooses the port, 8099 if not set; it
//! serves for `HANGANG_SECONDS`, 600 if not set.

use std::time::Duration;

use chrono::TimeDelta;
use clock::Clock;
use serde_json::json;

use crate::tests::city::{self, Spot, noon};
use crate::tests::served::{empty_lake, start};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "to look at; run by hand"]
async fn a_city_to_look_at_by_hand() {
    let setting = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (lake, folder) = empty_lake().await;
    let spots = scattered();
    let now = noon() + TimeDelta::minutes(35);
    city::add_places(&lake, &spots, noon() - TimeDelta::hours(12)).await;
    city::add_arrival(&lake, noon() - TimeDelta::hours(1), now).await;
    city::add_hours(&lake, &spots, noon() - TimeDelta::days(30), noon(), |spot, _, at| {
        4 - i64::from(spot.size > 2900.0 && at > noon() - TimeDelta::hours(20) && at < noon() - TimeDelta::hours(17))
    })
    .await;
    city::add_champion(&lake, "lightgbm-20221006", "lightgbm", noon() - TimeDelta::days(1)).await;
    let mut met = Vec::new();
    for days in [3, 2, 1, 0] {
        city::add_forecast(&lake, &spots, noon() - TimeDelta::days(days), "lightgbm-20221006").await;
        for (number, spot) in spots.iter().enumerate().filter(|_| days > 0) {
            for horizon in 1..=24 {
                let mut row = city::forecast_row(spot, 1, noon() - TimeDelta::days(days), horizon, "lightgbm-20221006");
                row.as_object_mut().unwrap().remove("computed_at");
                row["actual"] = json!(
                    row["p50"].as_f64().unwrap() * (0.8 + 0.4 * ((number as f64 * 0.7 + horizon as f64).sin() * 0.5 + 0.5))
                );
                met.push(row);
            }
        }
    }
    city::add_met(&lake, met).await;
    let clock = Clock::scaled(&folder.path().join("clock"), now, 1.0).unwrap();
    let listen = format!("127.0.0.1:{}", setting("HANGANG_PORT", 8099));
    let cancel = tokio_util::sync::CancellationToken::new();
    let api = start(&lake, clock, &listen, cancel.clone()).await.unwrap();
    println!("http://{}", api.address());
    tokio::time::sleep(Duration::from_secs(setting("HANGANG_SECONDS", 600))).await;
    cancel.cancel();
    api.stopped().await.unwrap();
}

/// 120 spots, scattered evenly over the city in a spiral, of sizes that look drawn by lot.
fn scattered() -> Vec<Spot> {
    let spot = |number: usize| {
        let (turn, reach) = (number as f64 * 2.399_963, (number as f64 / 120.0).sqrt());
        Spot {
            id: format!("{}-{:02}", ["A", "B", "C", "D", "F"][number % 5], number / 5 + 1),
            name: ["성산로(금화터널)", "올림픽대로", "양화대교", "강남대로(강남역)", "내부순환로"][number % 5].to_owned(),
            latitude: 37.555 + 0.11 * reach * turn.sin(),
            longitude: 126.99 + 0.16 * reach * turn.cos(),
            size: 600.0 + (number as f64 * 12.9898).sin().abs() * 2500.0,
        }
    };
    (0..120).map(spot).collect()
}
