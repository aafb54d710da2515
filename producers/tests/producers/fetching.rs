//! Step 2 against a real server: which failures it tells apart.

use std::time::{Duration, Instant};

use crate::{Ask, FetchError, Fetcher, Remedy, Secret, Source, parse, record, request};
use clock::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::tests::upstream::{Upstream, spots, volumes};

async fn fetch(url: &str) -> Result<String, FetchError> {
    let (clock, _stepper) = Clock::stepped(None, "2022-10-01T00:00:00Z".parse().unwrap()).unwrap();
    let fetcher = Fetcher::new(url, Secret::new("a key/with signs"), clock.clone()).unwrap();
    let ask = Ask::now(Source::by_name("traffic_spot").unwrap(), None, clock.now());
    let response = fetcher.fetch(&request(&ask, 1)).await?;
    assert_eq!(response.received_at, clock.now(), "stamped in city time");
    Ok(String::from_utf8(response.bytes.to_vec()).unwrap())
}

/// A server that sends these bytes to whoever connects, waits, and closes.
async fn raw(bytes: &'static [u8], wait: Duration) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            assert_ne!(stream.read(&mut request).await.unwrap(), 0);
            stream.write_all(bytes).await.unwrap();
            tokio::time::sleep(wait).await;
        }
    });
    url
}

#[tokio::test]
async fn an_answer_comes_back_whole_and_the_key_is_one_encoded_segment() {
    let upstream = Upstream::start(|segments| {
        assert_eq!(segments[0], "a%20key%2Fwith%20signs");
        spots(&["A-01"])
    })
    .await;
    assert!(fetch(&upstream.url).await.unwrap().contains("<spot_num>A-01</spot_num>"));
    assert_eq!(upstream.asked(), ["xml/SpotInfo/1/1000"]);
}

#[tokio::test]
async fn statuses_are_told_apart_by_what_helps() {
    for (status, remedy) in [
        (500, Remedy::Again),
        (503, Remedy::Again),
        (429, Remedy::Later),
        (403, Remedy::Patiently),
        (404, Remedy::Patiently),
        (302, Remedy::Patiently),
    ] {
        let upstream = Upstream::start(move |_| (status, b"no".to_vec())).await;
        let error = fetch(&upstream.url).await.unwrap_err();
        assert_eq!((&error, error.remedy()), (&FetchError::Status { status }, remedy));
    }
}

#[tokio::test]
async fn a_host_that_is_not_there_is_said() {
    // Bound and let go: nothing listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = fetch(&format!("http://{free}")).await.unwrap_err();
    assert_eq!((error.code(), error.remedy()), ("unreachable", Remedy::Again));
    assert!(error.to_string().contains("Connection refused"), "{error}");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_answer() {
    let url = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n<SpotInfo>", Duration::ZERO).await;
    let error = fetch(&url).await.unwrap_err();
    assert_eq!((error.code(), error.remedy()), ("broken-off", Remedy::Again));
}

#[tokio::test]
async fn an_upstream_that_hangs_is_left_after_ten_seconds() {
    let url = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n<SpotInfo>", Duration::from_secs(60)).await;
    let started_at = Instant::now();
    let error = fetch(&url).await.unwrap_err();
    assert_eq!(error, FetchError::TimedOut { seconds: 10 });
    assert!(started_at.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn a_body_without_end_is_not_kept() {
    let upstream = Upstream::start(|_| (200, vec![b'x'; 1_000_001])).await;
    let error = fetch(&upstream.url).await.unwrap_err();
    assert_eq!((&error, error.remedy()), (&FetchError::TooLarge, Remedy::Patiently));
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_at_once() {
    for address in ["openapi.seoul.go.kr:8088", "ftp://host/", "http://", ""] {
        assert!(Fetcher::new(address, Secret::new("k"), Clock::real()).is_err(), "{address}");
    }
}

/// As `hangang walk traffic_volume A-01/1/2` does.
#[tokio::test]
async fn each_step_can_be_taken_and_looked_at_by_itself() {
    let upstream = Upstream::start(|segments| volumes(segments, &[(1, 1, 40), (1, 2, 50)])).await;
    let (clock, _stepper) = Clock::stepped(None, "2022-10-01T04:30:00Z".parse().unwrap()).unwrap();
    let source = Source::by_name("traffic_volume").unwrap();
    let ask = Ask::now(source, source.place("A-01/1/2"), clock.now());
    let request = request(&ask, 1);
    let fetcher = Fetcher::new(&upstream.url, Secret::new("sample"), clock.clone()).unwrap();
    let response = fetcher.fetch(&request).await.unwrap();
    let answer = parse(source, &request, &response.bytes, response.received_at).unwrap();
    let row = answer.observations.iter().find(|row| row.series() == "A-01/1/2").unwrap();
    let record = record(row, response.received_at);
    insta::assert_snapshot!(format!("{request}\n{} of {} bytes\n{} {}", answer.observations.len(), response.bytes.len(), record.key, record.payload), @r#"
    /{key}/xml/VolInfo/1/1000/A-01/20221001/12/
    2 of 362 bytes
    A-01/1/2 {"spot":"A-01","direction":1,"lane":2,"observed_at":"2022-10-01T03:00:00Z","volume":50,"received_at":"2022-10-01T04:30:00Z"}
    "#);
}
