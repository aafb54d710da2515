//! The key is looked for wherever anything is written: logs at their loudest, metrics, topics, status, errors, `Debug`.

use std::io;
use std::sync::{Arc, Mutex};

use crate::{Ask, Fetcher, Producers, ProducersConfig, Resume, Secret, Source, request};
use chrono::{DateTime, Utc};
use clock::Clock;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::fmt::MakeWriter;

use crate::tests::kafka::Kafka;
use crate::tests::upstream::{Upstream, error, spots};

const KEY: &str = "5f4dcc3b5aa765d6 1d8327deb882cf";
const ENCODED: &str = "5f4dcc3b5aa765d6%201d8327deb882cf";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

fn start() -> DateTime<Utc> {
    "2022-09-30T15:00:00Z".parse().unwrap()
}

fn config(base_url: &str, bootstrap: &str) -> ProducersConfig {
    ProducersConfig {
        base_url: base_url.to_owned(),
        key: Secret::new(KEY),
        bootstrap: bootstrap.to_owned(),
        feeds: catalog::FEEDS.to_vec(),
        progress: None,
    }
}

#[tokio::test]
async fn the_key_appears_nowhere() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    // For the whole process, since librdkafka and the HTTP client write from threads of their own.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let metrics = PrometheusBuilder::new().install_recorder().unwrap();
    let mut written: Vec<(String, Vec<u8>)> = Vec::new();

    // An upstream that quotes the address in every kind of answer: as an error page, a row, an error, a status.
    let mut turn = 0;
    let upstream = Upstream::start(move |segments| {
        assert_eq!(segments[0], ENCODED, "the key is asked with");
        turn += 1;
        let address = segments.join("/");
        match turn % 5 {
            _ if segments[2] == "SpotInfo" => spots(&["A-01", "A-02", "A-03", "A-04", "A-05", "A-06", "A-07"]),
            0 => (200, format!("<html><title>Not found: /{address} {KEY}</title></html>").into()),
            1 => (200, format!("<RESULT><CODE>ERROR-300</CODE><MESSAGE>/{address} {KEY}</MESSAGE></RESULT>").into()),
            2 => (200, format!("{{\"{KEY}\":\"{address}\"}}").into()),
            3 => (200, format!("GET /{address} {KEY}").into()),
            _ => (404, address.into()),
        }
    })
    .await;
    let kafka = Kafka::start().await;
    let (clock, mut stepper) = Clock::stepped(None, start()).unwrap();
    let producers =
        Producers::start(config(&upstream.url, &kafka.bootstrap()), clock.clone(), Resume::default(), CancellationToken::new())
            .unwrap();
    while stepper.step(start() + chrono::TimeDelta::minutes(40), async || ()).await.unwrap() {}
    let status = producers.status();
    assert!(status[1].failed > 0 && status[1].dead_letters > 0, "{status:?}");
    written.push(("status".into(), serde_json::to_vec(&status).unwrap()));
    producers.stop().await;

    // An upstream that refuses the key, and one that is not there.
    let refusing = Upstream::start(|_| error("INFO-100")).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for base in [refusing.url.clone(), format!("http://{free}")] {
        let fetcher = Fetcher::new(&base, Secret::new(KEY), clock.clone()).unwrap();
        let request = request(&Ask::now(Source::by_name("traffic_spot").unwrap(), None, clock.now()), 1);
        written.push((format!("request to {base}"), format!("{request} {request:?}").into()));
        match fetcher.fetch(&request).await {
            Ok(response) => written.push((format!("answer of {base}"), response.bytes.to_vec())),
            Err(error) => written.push((format!("error of {base}"), format!("{error} {error:?}").into())),
        }
    }
    let config = config("not an address", "");
    written.push(("configuration".into(), format!("{config:?}").into()));
    let refused = Producers::start(config, clock.clone(), Resume::default(), CancellationToken::new()).err().unwrap();
    written.push(("start error".into(), format!("{refused} {refused:?}").into()));

    for feed in catalog::FEEDS {
        for topic in [feed.topic().to_owned(), feed.dead_letter_topic()] {
            for record in kafka.read(&topic).await {
                written.push((format!("topic {topic}"), [record.payload.clone(), format!("{record:?}").into()].concat()));
            }
        }
    }
    written.push(("metrics".into(), metrics.render().into()));
    written.push(("log".into(), log.0.lock().unwrap().clone()));

    for (_, bytes) in written.iter().filter(|(place, _)| place == "log" || place == "metrics") {
        assert!(String::from_utf8_lossy(bytes).contains("traffic_volume"), "logs and metrics are seen at all");
    }
    assert!(written.iter().any(|(place, _)| place == "topic traffic_volume.dlq"));
    for (place, bytes) in written {
        let text = String::from_utf8_lossy(&bytes);
        for key in [KEY, ENCODED, &KEY[..16], &KEY[17..]] {
            assert!(!text.contains(key), "the key stands in {place}");
        }
    }
}
