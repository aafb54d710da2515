//! Whatever a client may send, well-meant or not, is answered in HTTP's own terms, and the server goes on.

use crate::tests::served::Served;

const FORECAST: &str = "/v1/forecasts/traffic_volume/A-01/1";

#[tokio::test(flavor = "multi_thread")]
async fn a_head_tells_what_a_get_would_whether_made_already_or_not() {
    let served = Served::usual().await;
    for path in [FORECAST, "/v1/forecasts/traffic_volume", "/v1/live", "/", "/page/page.css", "/metrics", "/nowhere"] {
        let before = served.ask("HEAD", path).await;
        let get = served.get(path).await;
        let after = served.ask("HEAD", path).await;
        for head in [&before, &after] {
            assert_eq!((head.status, head.bytes.len()), (get.status, 0), "{path}");
            for name in ["content-type", "etag", "cache-control"] {
                assert!(name == "etag" && path == "/v1/live" || head.header(name) == get.header(name), "{path}: {name}");
            }
        }
        if path.starts_with("/v1/forecasts") {
            assert_eq!(after.header("content-length"), Some(get.bytes.len().to_string()), "{path}");
        }
    }
    let etag = served.get(FORECAST).await.header("etag").unwrap();
    let answer = served
        .say(format!("HEAD {FORECAST} HTTP/1.1\r\nhost: x\r\nif-none-match: {etag}\r\nconnection: close\r\n\r\n").as_bytes())
        .await;
    assert!(answer.starts_with("HTTP/1.1 304 ") && answer.ends_with("\r\n\r\n"), "{answer}");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn options_name_what_a_route_takes() {
    let served = Served::usual().await;
    for path in [FORECAST, "/v1/live", "/", "/metrics"] {
        let answer = served.ask("OPTIONS", path).await;
        assert_eq!((answer.status, answer.bytes.len()), (204, 0), "{path}");
        assert_eq!(answer.header("allow").as_deref(), Some("GET, HEAD, OPTIONS"), "{path}");
    }
    assert_eq!(served.ask("OPTIONS", "/nowhere").await.status, 404);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slash_at_the_end_is_told_of() {
    let served = Served::usual().await;
    insta::assert_snapshot!(served.get("/v1/targets/").await.shown(), @r#"
    404 application/problem+json
    {
      "detail": "nothing is served at \"/v1/targets/\"",
      "hint": "no path here ends with a slash; /openapi.json lists every route",
      "status": 404,
      "title": "no such route",
      "type": "urn:hangang:problem:no-such-route"
    }
    "#);
    let answer = served.get(&format!("{FORECAST}/")).await;
    assert_eq!((answer.status, &answer.json()["known"]), (404, &serde_json::json!(["A-01/1"])), "{}", answer.text());
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_is_decoded_once_and_what_is_no_text_is_refused() {
    let served = Served::usual().await;
    let plain = served.get(FORECAST).await.text();
    assert_eq!(served.get("/v1/forecasts/traffic%5Fvolume/%41-01%2f1").await.text(), plain);
    let twice = served.get("/v1/forecasts/traffic_volume/A-01%252F1").await;
    assert_eq!(
        (twice.status, twice.json()["detail"].as_str()),
        (404, Some("target \"traffic_volume\" has no series \"A-01%2F1\""))
    );
    insta::assert_snapshot!(served.get("/v1/forecasts/traffic_volume/%FF").await.shown(), @r#"
    400 application/problem+json
    {
      "detail": "\"/v1/forecasts/traffic_volume/%FF\" is not text in UTF-8 once its percent signs are decoded",
      "hint": "encode names as UTF-8, then percent-encode them",
      "status": 400,
      "title": "the path can't be read",
      "type": "urn:hangang:problem:unreadable-path"
    }
    "#);
    for path in ["/v1/accuracy/%FF", "/v1/map/%C3", "/v1/history/%FF/x", "/v1/history/traffic_volume/%FF", "/v1/forecasts/%FF"] {
        let answer = served.get(path).await;
        assert_eq!((answer.status, answer.json()["status"].as_u64()), (400, Some(400)), "{path}");
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_question_gets_a_short_refusal() {
    let served = Served::usual().await;
    let long = "x".repeat(20_000);
    for path in [
        format!("/{long}"),
        format!("/v1/forecasts/{long}"),
        format!("/v1/forecasts/traffic_volume?series={long}"),
        format!("/v1/forecasts/traffic_volume?{long}=1&limit={long}&issued_at={long}"),
        format!("/v1/forecasts/traffic_volume?{}", (0..5000).map(|number| format!("{number}&")).collect::<String>()),
        format!("/v1/series?target={long}"),
    ] {
        let answer = served.get(&path).await;
        assert!((400..=404).contains(&answer.status), "{} for {}…", answer.status, &path[..40]);
        assert!(answer.bytes.len() < 4_000, "{} bytes for {}…", answer.bytes.len(), &path[..40]);
        assert!(answer.json()["hint"].is_string());
    }
    let many = served.get("/v1/targets?1&2&3&4&5&6&7&8&9&10&11&12&13&14").await.json();
    assert_eq!(many["parameters"].as_array().unwrap().len(), 12);
    assert!(many["detail"].as_str().unwrap().ends_with("; and 2 more"), "{many}");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_on_the_port_gets_an_error_or_a_closed_connection_and_the_next_client_its_answer() {
    let served = Served::usual().await;
    let oversized = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(80_000));
    let many_headers = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(500));
    let nonsense: [(&[u8], &str); 8] = [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "HTTP/1.1 400 "), // a TLS client
        (b"\x00\x00\x00\x08\x04\xd2\x16\x2f", "HTTP/1.1 400 "),             // a PostgreSQL client
        (b"GET\r\n\r\n", "HTTP/1.1 400 "),
        (b"GET /v1/live HTTP/9.9\r\n\r\n", "HTTP/1.1 400 "),
        (b"CONNECT example.org:443 HTTP/1.1\r\nhost: example.org\r\nconnection: close\r\n\r\n", "HTTP/1.1 404 "),
        (b"OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "HTTP/1.1 404 "),
        (oversized.as_bytes(), "HTTP/1.1 414 "),
        (many_headers.as_bytes(), "HTTP/1.1 431 "),
    ];
    for (bytes, expected) in nonsense {
        let answer = served.say(bytes).await;
        let said = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
        assert!(answer.starts_with(expected), "{said:?} is answered with {answer:?}");
    }
    assert_eq!(served.get(FORECAST).await.status, 200);
    served.stop().await;
}
