//! What a kept answer costs, beside a bare axum route that sends the same bytes. A measurement, not a test:
//! `cargo test --workspace --test api -- --ignored --nocapture cost`. It prints one line.

use std::time::{Duration, Instant};

use axum::routing::get;
use axum::serve::ListenerExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::tests::served::Served;

/// What design and issue ask for.
const GOAL: f64 = 0.85;
/// Pairs of rounds: the middle one of this many ratios is told, so that a busy moment of the machine decides nothing.
const ROUNDS: usize = 31;
const ROUND: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement; run by hand"]
async fn the_cost_of_a_kept_forecast_beside_a_bare_route() {
    let served = Served::usual().await;
    let kept_address = served.base.trim_start_matches("http://");
    let mut told = Vec::new();
    let mut least = f64::INFINITY;
    for (words, path) in [("one series", "/v1/forecasts/traffic_volume/A-01/1"), ("all series", "/v1/forecasts/traffic_volume")] {
        let bytes = bytes::Bytes::from(served.get(path).await.bytes);
        let size = bytes.len();
        let (bare_address, bare) = bare(path, bytes).await;
        let mut rates: [Vec<f64>; 2] = Default::default();
        let mut ratios = Vec::new();
        for round in 0..ROUNDS {
            // Alternating, and neither always first.
            let (bare, kept) = if round % 2 == 0 {
                let bare = rate(&bare_address, path).await;
                (bare, rate(kept_address, path).await)
            } else {
                let kept = rate(kept_address, path).await;
                (rate(&bare_address, path).await, kept)
            };
            rates[0].push(bare);
            rates[1].push(kept);
            ratios.push(kept / bare);
        }
        bare.abort();
        let [bare, kept] = rates.map(median);
        let ratio = median(ratios);
        least = least.min(ratio);
        told.push(format!("{words} ({size} bytes) {ratio:.2}: {kept:.0} of {bare:.0} a second"));
    }
    let met = if least >= GOAL { "met" } else { "not met" };
    println!("a kept forecast GET beside a bare axum route, {}, goal {GOAL} {met}", told.join(", "));
    served.stop().await;
}

/// A server of one route that sends these bytes, its connections set up as ours are.
async fn bare(path: &str, bytes: bytes::Bytes) -> (String, tokio::task::JoinHandle<std::io::Result<()>>) {
    let router =
        axum::Router::new().route(path, get(move || std::future::ready(([("content-type", "application/json")], bytes.clone()))));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let listener = listener.tap_io(|connection| connection.set_nodelay(true).unwrap());
    (address, tokio::spawn(axum::serve(listener, router).into_future()))
}

/// Answers a second, one after the other on one connection that is kept. The client does as little as it can, so that the
/// servers differ: it reads the first answer's length and expects the same of the others.
async fn rate(address: &str, path: &str) -> f64 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let mut buffer = vec![0; 1 << 16];
    stream.write_all(request.as_bytes()).await.unwrap();
    let length = first_answer(&mut stream, &mut buffer).await;
    let mut answers = 0;
    let begun = Instant::now();
    while begun.elapsed() < ROUND {
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut left = length;
        while left > 0 {
            let read = stream.read(&mut buffer).await.unwrap();
            assert!((1..=left).contains(&read), "{path} was answered with {length} bytes before");
            left -= read;
        }
        answers += 1;
    }
    answers as f64 / begun.elapsed().as_secs_f64()
}

/// Bytes of an answer, its head included.
async fn first_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> usize {
    let mut filled = 0;
    loop {
        filled += stream.read(&mut buffer[filled..]).await.unwrap();
        let Some(end) = buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&buffer[..end]).unwrap().to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        let body = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse::<usize>().unwrap();
        let length = end + 4 + body;
        stream.read_exact(&mut vec![0; length - filled]).await.unwrap();
        return length;
    }
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
