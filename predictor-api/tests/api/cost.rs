//! What a cached answer costs, beside a bare axum route that sends the same bytes. A measurement, not a test:
//! `cargo test -p predictor-api --test api -- --ignored --nocapture cost`.

use std::time::{Duration, Instant};

use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::served::Served;

const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement; run by hand"]
async fn a_cached_forecast_beside_a_bare_route() {
    let served = Served::usual().await;
    for path in ["/v1/forecasts/traffic_volume/A-01/1", "/v1/forecasts/traffic_volume"] {
        let bytes = bytes::Bytes::from(served.get(path).await.bytes);
        let size = bytes.len();
        let bare = axum::Router::new()
            .route("/bare", get(move || std::future::ready(([("content-type", "application/json")], bytes.clone()))));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let bare_address = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move { axum::serve(listener, bare).await });
        let mut rates: [Vec<f64>; 2] = Default::default();
        for _ in 0..ROUNDS {
            rates[0].push(rate(&bare_address, "/bare").await);
            rates[1].push(rate(served.base.trim_start_matches("http://"), path).await);
        }
        server.abort();
        let [bare, cached] = rates.map(median);
        println!("{size:>7} bytes: bare {bare:>7.0}/s, cached forecast {cached:>7.0}/s, ratio {:.2} (goal 0.85)", cached / bare);
    }
    served.stop().await;
}

/// Answers a second, one after the other on one connection that is kept.
async fn rate(address: &str, path: &str) -> f64 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let mut buffer = vec![0; 1 << 16];
    let mut answers = 0;
    let begun = Instant::now();
    while begun.elapsed() < ROUND {
        stream.write_all(request.as_bytes()).await.unwrap();
        read_answer(&mut stream, &mut buffer).await;
        answers += 1;
    }
    answers as f64 / begun.elapsed().as_secs_f64()
}

async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) {
    let mut filled = 0;
    let (head, length) = loop {
        filled += stream.read(&mut buffer[filled..]).await.unwrap();
        if let Some(end) = buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") {
            let head = std::str::from_utf8(&buffer[..end]).unwrap().to_ascii_lowercase();
            assert!(head.starts_with("http/1.1 200"), "{head}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse::<usize>().unwrap();
            break (end + 4, length);
        }
    };
    let mut left = head + length - filled;
    while left > 0 {
        left -= stream.read(buffer).await.unwrap().min(left);
    }
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
