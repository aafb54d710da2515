//! The page at `/`: one document, one style sheet and its scripts, from inside the binary and from nowhere else.

use std::sync::{Arc, LazyLock};

use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::{MethodRouter, get};

use crate::app::App;
use crate::body::Body;

/// The page may load only what lies beside it, and nobody may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The page's files and where they are served.
pub fn list() -> [(&'static str, MethodRouter<Arc<App>>); 8] {
    [
        ("/", serve(HTML, include_str!("../page/index.html"))),
        ("/page/page.css", serve(CSS, include_str!("../page/page.css"))),
        ("/page/page.js", serve(SCRIPT, include_str!("../page/page.js"))),
        ("/page/map.js", serve(SCRIPT, include_str!("../page/map.js"))),
        ("/page/marks.js", serve(SCRIPT, include_str!("../page/marks.js"))),
        ("/page/chart.js", serve(SCRIPT, include_str!("../page/chart.js"))),
        ("/page/scores.js", serve(SCRIPT, include_str!("../page/scores.js"))),
        ("/page/formats.js", serve(SCRIPT, include_str!("../page/formats.js"))),
    ]
}

fn serve(content_type: &'static str, text: &'static str) -> MethodRouter<Arc<App>> {
    let body = Arc::new(LazyLock::new(move || Body::new(content_type, text)));
    get(move |request: Request| async move { guarded(body.respond(request.headers())) })
}

fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
