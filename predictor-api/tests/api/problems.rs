//! What a client is told when it can't have what it asked for.

use crate::tests::served::{Served, empty_lake, start};

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_name_is_answered_with_the_known_ones() {
    let served = Served::usual().await;
    insta::assert_snapshot!(served.get("/v1/forecasts/traffic").await.shown(), @r#"
    404 application/problem+json
    {
      "detail": "there is no target \"traffic\"",
      "hint": "GET /v1/targets lists them",
      "known": [
        "traffic_volume"
      ],
      "status": 404,
      "title": "unknown target",
      "type": "urn:hangang:problem:unknown-target"
    }
    "#);
    insta::assert_snapshot!(served.get("/v1/forecasts/traffic_volume/A-01/3").await.shown(), @r#"
    404 application/problem+json
    {
      "detail": "target \"traffic_volume\" has no series \"A-01/3\"",
      "hint": "GET /v1/series?target=traffic_volume lists them; `known` names the nearest",
      "known": [
        "A-01/1",
        "A-01/2"
      ],
      "status": 404,
      "title": "unknown series",
      "type": "urn:hangang:problem:unknown-series"
    }
    "#);
    insta::assert_snapshot!(served.get("/v1/history/traffic_volume/nowhere").await.shown(), @r#"
    404 application/problem+json
    {
      "detail": "target \"traffic_volume\" has no series \"nowhere\"",
      "hint": "GET /v1/series?target=traffic_volume lists them; `known` names the nearest",
      "known": [
        "A-01/1",
        "A-01/2",
        "C-05/1",
        "C-05/2"
      ],
      "status": 404,
      "title": "unknown series",
      "type": "urn:hangang:problem:unknown-series"
    }
    "#);
    insta::assert_snapshot!(served.get("/v1/forecasts/traffic_volume?issued_at=2022-10-07T11:00:00%2B09:00").await.shown(), @r#"
    404 application/problem+json
    {
      "detail": "no forecast of \"traffic_volume\" was issued at 2022-10-07T11:00:00+09:00",
      "hint": "the newest was issued at 2022-10-07T12:00:00+09:00; leave `issued_at` out to get it",
      "status": 404,
      "title": "no forecast of that origin",
      "type": "urn:hangang:problem:unknown-origin"
    }
    "#);
    insta::assert_snapshot!(served.get("/v1/forcasts").await.shown(), @r#"
    404 application/problem+json
    {
      "detail": "nothing is served at \"/v1/forcasts\"",
      "hint": "/openapi.json lists every route; the page is at /",
      "status": 404,
      "title": "no such route",
      "type": "urn:hangang:problem:no-such-route"
    }
    "#);
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
    insta::assert_snapshot!(served.get(path).await.shown(), @r#"
    400 application/problem+json
    {
      "detail": "limit: \"many\" is not a whole number from 1 to 1000; horizon: \"25\" is not a whole number from 1 to 24; issued_at: \"yesterday\" is not an RFC 3339 instant with its offset, as 2022-10-01T09:00:00+09:00; colour: is not known here; expected series, limit, after, horizon, issued_at",
      "hint": "/openapi.json describes every parameter",
      "parameters": [
        {
          "detail": "\"many\" is not a whole number from 1 to 1000",
          "name": "limit"
        },
        {
          "detail": "\"25\" is not a whole number from 1 to 24",
          "name": "horizon"
        },
        {
          "detail": "\"yesterday\" is not an RFC 3339 instant with its offset, as 2022-10-01T09:00:00+09:00",
          "name": "issued_at"
        },
        {
          "detail": "is not known here; expected series, limit, after, horizon, issued_at",
          "name": "colour"
        }
      ],
      "status": 400,
      "title": "a parameter can't be used",
      "type": "urn:hangang:problem:bad-parameter"
    }
    "#);
    insta::assert_snapshot!(served.get("/v1/series").await.shown(), @r#"
    400 application/problem+json
    {
      "detail": "target: is missing; expected the name of a target, as traffic_volume",
      "hint": "/openapi.json describes every parameter",
      "parameters": [
        {
          "detail": "is missing; expected the name of a target, as traffic_volume",
          "name": "target"
        }
      ],
      "status": 400,
      "title": "a parameter can't be used",
      "type": "urn:hangang:problem:bad-parameter"
    }
    "#);
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
    let answer = served.ask("POST", "/v1/targets").await;
    insta::assert_snapshot!(answer.shown(), @r#"
    405 application/problem+json
    {
      "detail": "\"/v1/targets\" does not take POST",
      "hint": "everything here is read with GET",
      "status": 405,
      "title": "method not allowed",
      "type": "urn:hangang:problem:method-not-allowed"
    }
    "#);
    assert_eq!(answer.header("allow").as_deref(), Some("GET, HEAD, OPTIONS"));
    for method in ["PUT", "DELETE", "PATCH", "BREW"] {
        let answer = served.ask(method, "/v1/forecasts/traffic_volume").await;
        assert_eq!((answer.status, answer.header("allow").as_deref()), (405, Some("GET, HEAD, OPTIONS")), "{method}");
        assert_eq!(answer.json()["detail"], format!("\"/v1/forecasts/traffic_volume\" does not take {method}"));
    }
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
    insta::assert_snapshot!(answer.shown(), @r#"
    503 application/problem+json
    {
      "detail": "no forecast of \"traffic_volume\" has been issued yet: no champion is registered; the first follows the first landed hours",
      "hint": "ask again in a few seconds; GET /v1/live tells how far the city is",
      "status": 503,
      "title": "no forecast yet",
      "type": "urn:hangang:problem:no-forecast-yet"
    }
    "#);
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
    let (clock, _) = clock::Clock::stepped(None, crate::tests::city::noon()).unwrap();
    let error = start(&lake, clock, &address, Default::default()).await.map(|_| ()).unwrap_err();
    let port = taken.local_addr().unwrap().port();
    assert_eq!(
        error.to_string(),
        format!(
            "port {port} on 127.0.0.1 is in use by another program (wanted for the page and the REST API); stop that program, or \
             choose another address with --set api.listen=HOST:PORT"
        )
    );
}
