//! A small upstream on loopback that answers as a test tells it to, and keeps what it was asked.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;

/// What a test's upstream answers to a path.
pub type Reply = (u16, Vec<u8>);

type Answerer = Box<dyn FnMut(&[&str]) -> Reply + Send>;

pub struct Upstream {
    pub url: String,
    state: Arc<Kept>,
    server: tokio::task::JoinHandle<()>,
}

struct Kept {
    answerer: Mutex<Answerer>,
    asked: Mutex<Vec<String>>,
}

impl Upstream {
    /// Answers with what `answerer` makes of a path's segments: key, type, service, start, end, arguments.
    pub async fn start(answerer: impl FnMut(&[&str]) -> Reply + Send + 'static) -> Upstream {
        let state = Arc::new(Kept { answerer: Mutex::new(Box::new(answerer)), asked: Mutex::default() });
        let app = Router::new().fallback(answer).with_state(state.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Upstream { url, state, server }
    }

    /// The paths asked so far, without the key.
    pub fn asked(&self) -> Vec<String> {
        self.state.asked.lock().unwrap().clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(kept): State<Arc<Kept>>, request: Request) -> (StatusCode, Vec<u8>) {
    let path = request.uri().path().trim_matches('/');
    let segments: Vec<_> = path.split('/').collect();
    kept.asked.lock().unwrap().push(segments[1..].join("/"));
    let (status, body) = (kept.answerer.lock().unwrap())(&segments);
    (StatusCode::from_u16(status).unwrap(), body)
}

pub fn error(code: &str) -> Reply {
    (200, format!("<RESULT><CODE>{code}</CODE><MESSAGE><![CDATA[말]]></MESSAGE></RESULT>").into())
}

/// A SpotInfo answer that lists spots.
pub fn spots(names: &[&str]) -> Reply {
    let row = |name: &&str| {
        format!(
            "<row><spot_num>{name}</spot_num><spot_nm>시험로</spot_nm><grs80tm_x>200000</grs80tm_x><grs80tm_y>450000.5</grs80tm_y></row>"
        )
    };
    rows("SpotInfo", names.iter().map(row).collect())
}

/// A VolInfo answer for one spot and hour: `(direction, lane, volume)` a row.
pub fn volumes(segments: &[&str], lanes: &[(i64, i64, i64)]) -> Reply {
    let (spot, ymd, hh) = (segments[5], segments[6], segments[7]);
    let row = |(io, lane, vol): &(i64, i64, i64)| {
        format!(
            "<row><spot_num>{spot}</spot_num><ymd>{ymd}</ymd><hh>{hh}</hh><io_type>{io}</io_type>\
             <lane_num>{lane}</lane_num><vol>{vol}</vol></row>"
        )
    };
    rows("VolInfo", lanes.iter().map(row).collect())
}

fn rows(service: &str, rows: Vec<String>) -> Reply {
    if rows.is_empty() {
        return error("INFO-200");
    }
    let (count, rows) = (rows.len(), rows.concat());
    let xml = format!(
        "<{service}><list_total_count>{count}</list_total_count><RESULT><CODE>INFO-000</CODE><MESSAGE>정상</MESSAGE></RESULT>{rows}</{service}>"
    );
    (200, xml.into())
}
