//! What a client is told when it can't have what it asked for.

use crate::served::{Served, empty_lake, start};

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_name_is_answered_with_the_known_ones() {
    let served = Served::usual().await;
    insta::assert_snapshot!(served.get("/v1/forecasts/traffic").await.shown(), @"");
    insta::assert_snapshot!(served.get("/v1/forecasts/traffic_volume/A-01/3").await.shown(), @"");
    insta::assert_snapshot!(served.get("/v1/history/traffic_volume/nowhere").await.shown(), @"");
    insta::assert_snapshot!(served.get("/v1/forecasts/traffic_volume?issued_at=2022-10-07T11:00:00%2B09:00").await.shown(), @"");
    insta::assert_snapshot!(served.get("/v1/forcasts").await.shown(), @"");
    for path in ["/v1/accuracy/x", "/v1/map/x", "/v1/history/x/y", "/v1/series?target=x", "/v1/forecasts/x/y"] {
        let answer = served.get(path).await;
        assert_eq!(
            (answer.status, answer.json()["known"][0].as_str()),
            (404, Some("traffic_volume")),
            "{path}: {}",
            answer.text()
        );
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_bad_parameters_are_told_together_with_what_was_expected() {
    let served = Served::usual().await;
    let path = "/v1/forecasts/traffic_volume?horizon=25&limit=many&issued_at=yesterday&colour=red";
    insta::assert_snapshot!(served.get(path).await.shown(), @"");
    insta::assert_snapshot!(served.get("/v1/series").await.shown(), @"");
    for path in [
        "/v1/history/traffic_volume/A-01/1?days=0",
        "/v1/accuracy/traffic_volume?days=7&days=8",
        "/v1/live?x=1",
        "/v1/targets?x=1",
    ] {
        let answer = served.get(path).await;
        assert_eq!((answer.status, answer.json()["type"].as_str()), (400, Some("urn:hangang:problem:bad-parameter")), "{path}");
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_read_is_not_written() {
    let served = Served::usual().await;
    let answer = served.post("/v1/targets").await;
    insta::assert_snapshot!(answer.shown(), @"");
    assert_eq!(answer.header("allow").as_deref(), Some("GET, HEAD"));
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_in_a_name_asks_for_a_name_and_nothing_else() {
    let served = Served::usual().await;
    let answer = served.get("/v1/history/traffic_volume/A-01'%20OR%20'1'='1/1").await;
    assert_eq!(answer.status, 404, "{}", answer.text());
    let answer = served.get("/v1/accuracy/traffic_volume?bundle=x'%20OR%20'1'='1").await;
    assert_eq!((answer.status, answer.json()["overall"]["count"].as_i64()), (200, Some(0)), "{}", answer.text());
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_first_forecast_one_is_told_to_come_again_and_why() {
    let served = Served::empty().await;
    let answer = served.get("/v1/forecasts/traffic_volume").await;
    insta::assert_snapshot!(answer.shown(), @"");
    assert_eq!(answer.header("retry-after").as_deref(), Some("5"));
    for path in ["/v1/forecasts/traffic_volume/A-01/1", "/v1/map/traffic_volume", "/v1/history/traffic_volume/A-01/1"] {
        assert_eq!(served.get(path).await.status, 503, "{path}");
    }
    for path in ["/v1/targets", "/v1/series?target=traffic_volume", "/v1/accuracy/traffic_volume", "/v1/live", "/"] {
        assert_eq!(served.get(path).await.status, 200, "{path}");
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (lake, _folder) = empty_lake().await;
    let (clock, _) = clock::Clock::stepped(None, crate::city::noon()).unwrap();
    let error = start(&lake, clock, &address, Default::default()).await.map(|_| ()).unwrap_err();
    let port = taken.local_addr().unwrap().port();
    assert_eq!(
        error.to_string(),
        format!("port {port} on 127.0.0.1 is in use; stop whoever listens there, or choose another with --listen")
    );
}
