//! What each route answers about the usual city.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::tests::city::{self, noon, spots};
use crate::tests::served::{self, Served};

#[tokio::test(flavor = "multi_thread")]
async fn every_route_of_the_openapi_document_answers_and_as_it_says() {
    let served = Served::usual().await;
    let document = served.get("/openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 12, "{} routes", paths.len());
    for (path, operations) in paths {
        let filled = path.replace("{target}", "traffic_volume").replace("{series}", "A-01/1");
        let query = if filled == "/v1/series" { "?target=traffic_volume" } else { "" };
        let answer = served.get(&format!("{filled}{query}")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let described = &operations["get"]["responses"]["200"]["content"];
        let content_type = answer.header("content-type").unwrap();
        let promised: Vec<&String> = described.as_object().into_iter().flat_map(|types| types.keys()).collect();
        assert!(
            promised.is_empty() || promised.iter().any(|promised| content_type.starts_with(promised.as_str())),
            "{path} promises {promised:?} and answers {content_type}"
        );
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forecast_names_its_champion_origin_unit_and_quantiles_in_seouls_time() {
    let served = Served::usual().await;
    insta::assert_snapshot!(served.get("/v1/targets").await.shown(), @r#"
    200 application/json
    {
      "targets": [
        {
          "champion": {
            "bundle": "lightgbm-7",
            "kind": "lightgbm",
            "known_at": "2022-10-06T11:00:00+09:00",
            "reason": "the best on rolling origins",
            "since": "2022-10-06T12:00:00+09:00"
          },
          "horizon": 24,
          "issued_at": "2022-10-07T12:00:00+09:00",
          "rollup": "rollup.traffic_hourly",
          "series": 4,
          "series_columns": [
            "spot",
            "direction"
          ],
          "stale": false,
          "step_seconds": 3600,
          "target": "traffic_volume",
          "title": "Traffic volume by spot and direction",
          "unit": "vehicles/h"
        }
      ]
    }
    "#);
    insta::assert_snapshot!(served.get("/v1/forecasts/traffic_volume?horizon=24&series=C-05/2,A-01/1").await.shown(), @r#"
    200 application/json
    {
      "champion": {
        "bundle": "lightgbm-7",
        "kind": "lightgbm",
        "known_at": "2022-10-06T11:00:00+09:00",
        "reason": "the best on rolling origins",
        "since": "2022-10-06T12:00:00+09:00"
      },
      "count": 2,
      "issued_at": "2022-10-07T12:00:00+09:00",
      "next": null,
      "series": [
        {
          "bundle": "lightgbm-7",
          "points": [
            {
              "horizon": 24,
              "p10": 780.3,
              "p50": 953.7,
              "p90": 1127.1,
              "valid_at": "2022-10-08T11:00:00+09:00"
            }
          ],
          "rule": "model",
          "series": "A-01/1"
        },
        {
          "bundle": "lightgbm-7",
          "points": [
            {
              "horizon": 24,
              "p10": 936.0,
              "p50": 1144.0,
              "p90": 1352.0,
              "valid_at": "2022-10-08T11:00:00+09:00"
            }
          ],
          "rule": "model",
          "series": "C-05/2"
        }
      ],
      "stale": false,
      "step_seconds": 3600,
      "target": "traffic_volume",
      "unit": "vehicles/h"
    }
    "#);
    let whole = served.get("/v1/forecasts/traffic_volume").await.json();
    assert_eq!(whole["count"], 4);
    assert_eq!(whole["next"], Value::Null);
    let points: Vec<usize> =
        whole["series"].as_array().unwrap().iter().map(|series| series["points"].as_array().unwrap().len()).collect();
    assert_eq!(points, [24; 4]);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_is_asked_for_with_its_slash_as_it_is_or_encoded() {
    let served = Served::usual().await;
    let plain = served.get("/v1/forecasts/traffic_volume/A-01/1").await;
    assert_eq!(plain.status, 200, "{}", plain.text());
    assert_eq!(plain.json()["series"][0]["series"], "A-01/1");
    assert_eq!(plain.json()["count"], 1);
    assert_eq!(served.get("/v1/forecasts/traffic_volume/A-01%2F1").await.text(), plain.text());
    assert_eq!(
        served.get("/v1/history/traffic_volume/A-01%2F1").await.text(),
        served.get("/v1/history/traffic_volume/A-01/1").await.text()
    );
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_each_other_until_all_series_were_seen_once() {
    let served = Served::usual().await;
    let mut path = "/v1/forecasts/traffic_volume?limit=3&horizon=2".to_owned();
    let mut seen = Vec::new();
    let mut pages = 0;
    loop {
        let page = served.get(&path).await.json();
        pages += 1;
        for series in page["series"].as_array().unwrap() {
            assert_eq!(series["points"].as_array().unwrap().len(), 1);
            seen.push(series["series"].as_str().unwrap().to_owned());
        }
        match page["next"].as_str() {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    assert_eq!((pages, seen), (2, vec!["A-01/1".into(), "A-01/2".into(), "C-05/1".into(), "C-05/2".into()]));
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_forecast_is_given_as_it_was_issued() {
    let served = Served::usual().await;
    for offset in ["%2B09:00", "+09:00"] {
        let answer = served
            .get(&format!("/v1/forecasts/traffic_volume/A-01/1?horizon=1&issued_at=2022-10-06T12:00:00{offset}"))
            .await
            .json();
        assert_eq!(answer["issued_at"], "2022-10-06T12:00:00+09:00");
        assert_eq!(answer["stale"], true, "a newer one exists");
        assert_eq!(answer["series"][0]["points"][0]["valid_at"], "2022-10-06T12:00:00+09:00");
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_series_are_listed_with_their_places() {
    let served = Served::usual().await;
    let answer = served.get("/v1/series?target=traffic_volume").await.json();
    assert_eq!(answer["series"].as_array().unwrap().len(), 4);
    insta::assert_snapshot!(serde_json::to_string_pretty(&answer["series"][2]).unwrap(), @r#"
    {
      "newest_at": "2022-10-07T10:00:00+09:00",
      "parts": {
        "direction": "1",
        "spot": "C-05"
      },
      "place": {
        "latitude": 37.54291,
        "longitude": 126.90377,
        "name": "양화대교",
        "spot": "C-05"
      },
      "rule": "model",
      "series": "C-05/1"
    }
    "#);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_holds_what_came_and_each_days_forecast_and_marks_hours_with_fewer_lanes() {
    let served = Served::usual().await;
    let answer = served.get("/v1/history/traffic_volume/A-01/1?days=2").await.json();
    let observed = answer["observed"].as_array().unwrap();
    assert_eq!(observed.len(), 47, "two days before noon, the last hour not yet counted");
    assert_eq!(observed[0]["observed_at"], "2022-10-05T12:00:00+09:00");
    let partial: Vec<&Value> = observed.iter().filter(|hour| hour["whole"] == false).collect();
    assert_eq!(
        partial,
        [
            &json!({ "observed_at": "2022-10-07T09:00:00+09:00", "value": city::volume(&spots()[0], 1, noon() - TimeDelta::hours(3)), "parts": 3, "whole": false })
        ]
    );
    assert_eq!(answer["usual_parts"], 4);
    let origins: Vec<&Value> = answer["forecasts"].as_array().unwrap().iter().map(|issued| &issued["issued_at"]).collect();
    assert_eq!(origins, ["2022-10-06T12:00:00+09:00", "2022-10-07T12:00:00+09:00"]);
    assert_eq!(answer["forecasts"][1]["points"].as_array().unwrap().len(), 24);
    assert_eq!(answer["place"]["name"], "성산로(금화터널)");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_map_lines_up_what_was_counted_and_what_is_forecast() {
    let served = Served::usual().await;
    let last = noon() - TimeDelta::hours(1);
    let counted = |answer: &served::Answer| answer.json()["observed"].as_array().unwrap().len() == 24;
    // The newest hour has been counted in one direction of one spot: it isn't the city's newest yet.
    city::add_hour(&served.lake, &spots()[1], 1, last).await;
    served.until("/v1/history/traffic_volume/C-05/1?days=1", counted).await;
    assert_eq!(served.get("/v1/map/traffic_volume").await.json()["observed_at"], "2022-10-07T10:00:00+09:00");
    city::add_hours(&served.lake, &spots()[..1], last, noon(), |_, _, _| 4).await;
    let three_of_four = |answer: &served::Answer| answer.json()["observed_at"] == "2022-10-07T11:00:00+09:00";
    let answer = served.until("/v1/map/traffic_volume", three_of_four).await.json();
    assert_eq!(answer["hours"].as_array().unwrap().len(), 25);
    assert_eq!(answer["hours"][1], "2022-10-07T12:00:00+09:00");
    let spot = &answer["spots"][0];
    assert_eq!((&spot["spot"], &spot["latitude"]), (&json!("A-01"), &json!(37.56859)));
    let series = &spot["series"][0];
    assert_eq!(series["series"], "A-01/1");
    let came = city::volume(&spots()[0], 1, last);
    let next = city::volume(&spots()[0], 1, noon());
    assert_eq!(series["values"][0], json!(came));
    assert_eq!(series["values"][1].as_f64().unwrap(), (next * 11.0).round() / 10.0);
    assert_eq!(series["usual"][0].as_f64().unwrap(), (came * 11.5).round() / 10.0, "yesterday's forecast knew it");
    assert_eq!(series["usual"][1].as_f64().unwrap(), (next * 11.5).round() / 10.0);
    assert_eq!(answer["spots"][1]["series"][1]["values"][0], Value::Null, "not counted yet");
    let busy = series["busy"].as_f64().unwrap();
    assert!((1900.0..=2000.0).contains(&busy), "the peak is 2,000, and one hour in 24 has it; not {busy}");

    // No newer forecast came for three hours: what has been counted since is no longer ahead.
    city::add_hours(&served.lake, &spots(), noon(), noon() + TimeDelta::hours(3), |_, _, _| 4).await;
    let late = |answer: &served::Answer| answer.json()["observed_at"] == "2022-10-07T14:00:00+09:00";
    let answer = served.until("/v1/map/traffic_volume", late).await.json();
    assert_eq!(answer["issued_at"], "2022-10-07T12:00:00+09:00");
    assert_eq!(answer["hours"].as_array().unwrap().len(), 22);
    assert_eq!(answer["hours"][1], "2022-10-07T15:00:00+09:00");
    let series = &answer["spots"][1]["series"][1];
    assert_eq!(series["values"][0], json!(city::volume(&spots()[1], 2, noon() + TimeDelta::hours(2))));
    assert_eq!(series["values"].as_array().unwrap().len(), 22);
    served.stop().await;
}

/// Worked out by hand: three hours met at two horizons. p50 errs by 10, 30 and 20; the band holds two of three.
#[tokio::test(flavor = "multi_thread")]
async fn accuracy_is_what_one_works_out_by_hand() {
    let served = Served::usual().await;
    let met = |horizon: i64, actual: f64, error: f64, week: Option<f64>, bundle: &str| {
        let mut row = city::forecast_row(&spots()[0], 1, noon() - TimeDelta::hours(6), horizon, bundle);
        row.as_object_mut().unwrap().remove("computed_at");
        row["p50"] = json!(actual + error);
        row["p10"] = json!(actual - 25.0 + error);
        row["p90"] = json!(actual + 25.0 + error);
        row["naive_last"] = json!(actual + 100.0);
        row["naive_day"] = json!(actual - 40.0);
        row["naive_week"] = week.map_or(Value::Null, |error| json!(actual + error));
        row["naive_week_mean"] = json!(actual + 20.0);
        row["actual"] = json!(actual);
        row
    };
    let rows = [
        met(1, 100.0, 10.0, Some(40.0), "lightgbm-7"),
        met(2, 200.0, -30.0, None, "lightgbm-7"),
        met(2, 300.0, 20.0, Some(-20.0), "week_mean-1"),
    ];
    city::add_met(&served.lake, rows).await;
    let answer = served.until("/v1/accuracy/traffic_volume", |answer| answer.json()["overall"]["count"] == 3).await;
    insta::assert_snapshot!(answer.shown(), @r#"
    200 application/json
    {
      "bundles": [
        "lightgbm-7",
        "week_mean-1"
      ],
      "from": "2022-09-30T08:00:00+09:00",
      "horizons": [
        {
          "count": 1,
          "coverage": 1.0,
          "horizon": 1,
          "mae": 10.0,
          "mase": 0.25,
          "skill": {
            "naive_day": 0.75,
            "naive_last": 0.9,
            "naive_week": 0.75,
            "naive_week_mean": 0.5
          },
          "wape": 0.1
        },
        {
          "count": 2,
          "coverage": 0.5,
          "horizon": 2,
          "mae": 25.0,
          "mase": 1.0,
          "skill": {
            "naive_day": 0.375,
            "naive_last": 0.75,
            "naive_week": 0.0,
            "naive_week_mean": -0.25
          },
          "wape": 0.1
        }
      ],
      "overall": {
        "count": 3,
        "coverage": 0.6667,
        "mae": 20.0,
        "mase": 0.5,
        "skill": {
          "naive_day": 0.5,
          "naive_last": 0.8,
          "naive_week": 0.5,
          "naive_week_mean": 0.0
        },
        "wape": 0.1
      },
      "target": "traffic_volume",
      "unit": "vehicles/h",
      "until": "2022-10-07T08:00:00+09:00"
    }
    "#);
    let champion = served.get("/v1/accuracy/traffic_volume?bundle=champion&days=1").await.json();
    assert_eq!(champion["bundles"], json!(["lightgbm-7"]));
    assert_eq!((&champion["overall"]["count"], &champion["overall"]["mae"]), (&json!(2), &json!(20.0)));
    let nobody = served.get("/v1/accuracy/traffic_volume?bundle=nobody").await.json();
    assert_eq!((&nobody["overall"]["count"], &nobody["overall"]["mae"]), (&json!(0), &Value::Null));
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn live_tells_city_time_freshness_champion_and_what_the_stages_say() {
    let served = Served::usual().await;
    insta::assert_snapshot!(served.get("/v1/live").await.shown(), @r#"
    200 application/json
    {
      "feeds": [
        {
          "feed": "traffic_spot",
          "observed_at": "2022-10-07T00:00:00+09:00",
          "overdue_since": null,
          "received_at": "2022-10-07T00:00:00+09:00",
          "rows": 2
        },
        {
          "feed": "traffic_volume",
          "observed_at": "2022-10-07T10:00:00+09:00",
          "overdue_since": null,
          "received_at": "2022-10-07T11:31:00+09:00",
          "rows": 1
        }
      ],
      "now": "2022-10-07T12:31:00+09:00",
      "speed": null,
      "status": {
        "lag": {
          "traffic_volume": 3
        }
      },
      "targets": [
        {
          "champion": {
            "bundle": "lightgbm-7",
            "kind": "lightgbm",
            "known_at": "2022-10-06T11:00:00+09:00",
            "reason": "the best on rolling origins",
            "since": "2022-10-06T12:00:00+09:00"
          },
          "issued_at": "2022-10-07T12:00:00+09:00",
          "next_at": "2022-10-07T13:00:00+09:00",
          "stale": false,
          "target": "traffic_volume"
        }
      ],
      "trouble": null
    }
    "#);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_answers_by_route_and_never_by_what_was_asked() {
    let served = Served::usual().await;
    let counted = |text: &str| {
        let line = r#"hangang_api_requests_total{route="/v1/forecasts/{target}/{*series}",status="200"} "#;
        text.lines().find_map(|all| all.strip_prefix(line)).map_or(0, |count| count.parse::<u64>().unwrap())
    };
    let before = counted(&served.get("/metrics").await.text());
    for _ in 0..3 {
        served.get("/v1/forecasts/traffic_volume/C-05/2").await; // made once, then kept
    }
    let text = served.get("/metrics").await.text();
    assert!(counted(&text) >= before + 3, "other tests of this process count too: {text}");
    assert!(!text.contains("C-05"), "{text}");
    served.stop().await;
}
