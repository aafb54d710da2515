//! The API over a lake in a folder of its own, and a client.

use std::io::Read;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::{Api, ApiConfig};
use chrono::{DateTime, Utc};
use clock::{Clock, Stepper};
use lake::Lake;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use crate::tests::city;

/// How long news may take to be seen, in real time: a loaded machine's, many times the poll.
const NEWS_WITHIN: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

pub struct Served {
    pub lake: Lake,
    pub folder: tempfile::TempDir,
    pub base: String,
    stepper: Stepper,
    client: reqwest::Client,
    api: Option<Api>,
    cancel: CancellationToken,
}

pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub bytes: Vec<u8>,
}

impl Served {
    /// The usual city at 12:31.
    pub async fn usual() -> Served {
        let (lake, folder) = empty_lake().await;
        city::usual(&lake).await;
        Served::start(lake, folder, city::noon() + chrono::TimeDelta::minutes(31)).await
    }

    pub async fn empty() -> Served {
        let (lake, folder) = empty_lake().await;
        Served::start(lake, folder, city::noon()).await
    }

    async fn start(lake: Lake, folder: tempfile::TempDir, now: DateTime<Utc>) -> Served {
        let (clock, stepper) = Clock::stepped(None, now).unwrap();
        let cancel = CancellationToken::new();
        let api = start(&lake, clock, "127.0.0.1:0", cancel.clone()).await.unwrap();
        let base = format!("http://{}", api.address());
        Served { lake, folder, base, stepper, client: reqwest::Client::new(), api: Some(api), cancel }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(
            headers
                .iter()
                .fold(self.client.get(format!("{}{path}", self.base)), |request, (name, value)| request.header(*name, *value)),
        )
        .await
    }

    pub async fn ask(&self, method: &str, path: &str) -> Answer {
        self.send(self.client.request(method.parse().unwrap(), format!("{}{path}", self.base))).await
    }

    /// What comes back for these bytes until the server closes the connection, as a client that knows no manners sends them.
    pub async fn say(&self, bytes: &[u8]) -> String {
        let mut stream = tokio::net::TcpStream::connect(self.base.trim_start_matches("http://")).await.unwrap();
        let mut answer = Vec::new();
        let talk = async {
            // It may refuse before it has read all.
            let _ = stream.write_all(bytes).await;
            let _ = stream.read_to_end(&mut answer).await;
        };
        tokio::time::timeout(NEWS_WITHIN, talk).await.expect("the server answers or closes");
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, bytes: response.bytes().await.unwrap().to_vec() }
    }

    /// Moves city time.
    pub async fn pass_until(&mut self, instant: DateTime<Utc>) {
        while self.stepper.step(instant, async || ()).await.unwrap() {}
    }

    /// Asks until the answer is as expected; fails with the last one where it never is.
    pub async fn until(&self, path: &str, expected: impl Fn(&Answer) -> bool) -> Answer {
        let deadline = tokio::time::Instant::now() + NEWS_WITHIN;
        loop {
            let answer = self.get(path).await;
            if expected(&answer) {
                return answer;
            }
            assert!(tokio::time::Instant::now() < deadline, "{path} still answers {} {}", answer.status, answer.text());
            tokio::time::sleep(POLL).await;
        }
    }

    pub async fn stop(mut self) {
        self.cancel.cancel();
        self.api.take().unwrap().stopped().await.unwrap();
    }
}

impl Answer {
    pub fn text(&self) -> String {
        let mut text = String::new();
        match self.header("content-encoding").as_deref() {
            Some("gzip") => flate2::read::GzDecoder::new(&self.bytes[..]).read_to_string(&mut text).map(|_| ()).unwrap(),
            _ => text = String::from_utf8(self.bytes.clone()).unwrap(),
        }
        text
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text()).unwrap_or_else(|error| panic!("{error} in {} {}", self.status, self.text()))
    }

    /// Status and body, for a snapshot.
    pub fn shown(&self) -> String {
        format!(
            "{} {}\n{}",
            self.status,
            self.header("content-type").unwrap_or_default(),
            serde_json::to_string_pretty(&self.json()).unwrap()
        )
    }

    pub fn header(&self, name: &str) -> Option<String> {
        Some(self.headers.get(name)?.to_str().unwrap().to_owned())
    }
}

pub async fn empty_lake() -> (Lake, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(&url::Url::from_directory_path(folder.path().join("lake")).unwrap()).await.unwrap();
    (lake, folder)
}

pub async fn start(lake: &Lake, clock: Clock, listen: &str, cancel: CancellationToken) -> Result<Api, crate::ApiError> {
    let config = ApiConfig { listen: listen.parse().unwrap(), poll: POLL };
    let status = Arc::new(|| json!({ "lag": { "traffic_volume": 3 } }));
    Api::start(config, lake.clone(), clock, metrics_handle(), status, cancel).await
}

/// A process has one recorder.
fn metrics_handle() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| PrometheusBuilder::new().install_recorder().unwrap()).clone()
}
