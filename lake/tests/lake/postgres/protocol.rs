//! The protocol byte by byte: opening, nonsense, and the server's end.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// A client that writes its bytes itself.
struct Raw(TcpStream);

impl Raw {
    async fn connect(served: &Served) -> Raw {
        Raw(TcpStream::connect(served.address()).await.unwrap())
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    async fn startup(&mut self, minor: u16, parameters: &[(&str, &str)]) {
        let mut body = [3u16.to_be_bytes(), minor.to_be_bytes()].concat();
        for (name, value) in parameters {
            body.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
        }
        body.push(0);
        self.send(&[&(body.len() as u32 + 4).to_be_bytes()[..], &body].concat()).await;
    }

    async fn message(&mut self, kind: u8, body: &[u8]) {
        self.send(&[&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()).await;
    }

    /// The next message's type and body; `None` when the server has closed.
    async fn next(&mut self) -> Option<(char, Vec<u8>)> {
        let read = async {
            let kind = self.0.read_u8().await.ok()?;
            let length = self.0.read_u32().await.ok()?;
            let mut body = vec![0; length as usize - 4];
            self.0.read_exact(&mut body).await.ok()?;
            Some((char::from(kind), body))
        };
        tokio::time::timeout(Duration::from_secs(20), read).await.expect("the server answers or closes")
    }

    /// Types of the messages up to ReadyForQuery or the end, errors with their code, parameters with their value.
    async fn told(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        while let Some((kind, body)) = self.next().await {
            let texts =
                || body.split(|&byte| byte == 0).map(|text| String::from_utf8_lossy(text).into_owned()).collect::<Vec<_>>();
            told.push(match kind {
                'E' | 'N' => {
                    let field = |kind: char| {
                        texts().into_iter().find_map(|text| text.strip_prefix(kind).map(str::to_owned)).unwrap_or_default()
                    };
                    format!("{kind} {} {}", field('S'), field('C'))
                }
                'S' => format!("S {}={}", texts()[0], texts()[1]),
                'C' => format!("C {}", texts()[0]),
                'Z' => {
                    told.push(format!("Z {}", char::from(body[0])));
                    return told;
                }
                kind => kind.to_string(),
            });
        }
        told
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_declined_and_the_client_is_told_the_parameters() {
    let served = served().await;
    let mut raw = Raw::connect(&served).await;
    for code in [80_877_103u32, 80_877_104] {
        raw.send(&[8u32.to_be_bytes(), code.to_be_bytes()].concat()).await;
        assert_eq!(raw.0.read_u8().await.unwrap(), b'N');
    }
    raw.startup(0, &[("user", "tester"), ("application_name", "raw"), ("TimeZone", "Asia/Seoul")]).await;
    let told = raw.told().await;
    for parameter in [
        "server_version=17.0 (Hangang)",
        "standard_conforming_strings=on",
        "integer_datetimes=on",
        "TimeZone=Asia/Seoul",
        "DateStyle=ISO, MDY",
        "client_encoding=UTF8",
        "application_name=raw",
    ] {
        assert!(told.contains(&format!("S {parameter}")), "{parameter}: {told:?}");
    }
    assert_eq!((told.first().map(String::as_str), told.last().map(String::as_str)), (Some("R"), Some("Z I")));
    raw.message(b'Q', b"SET timezone = 'UTC'\0").await;
    assert_eq!(raw.told().await, ["C SET", "S TimeZone=UTC", "Z I"], "a change is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_minor_protocol_is_brought_down_to_ours() {
    let served = served().await;
    let mut raw = Raw::connect(&served).await;
    raw.startup(2, &[("user", "tester"), ("_pq_.colour", "red")]).await;
    let (kind, body) = raw.next().await.unwrap();
    assert_eq!((kind, &body[..8]), ('v', &[0, 3, 0, 0, 0, 0, 0, 1][..]));
    assert_eq!(raw.told().await.last().unwrap(), "Z I");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_error_everything_up_to_sync_is_passed_over() {
    let served = served().await;
    let mut raw = Raw::connect(&served).await;
    raw.startup(0, &[("user", "tester")]).await;
    raw.told().await;
    raw.message(b'P', b"\0SELECT nothing\0\0\0").await;
    raw.message(b'B', b"\0\0\0\0\0\0\0\0").await;
    raw.message(b'E', b"\0\0\0\0\0").await;
    raw.message(b'P', b"s\0SELECT 1\0\0\0").await;
    raw.message(b'S', b"").await;
    assert_eq!(raw.told().await, ["1", "E ERROR 42703", "Z I"]);
    raw.message(b'D', b"Ss\0").await;
    raw.message(b'S', b"").await;
    assert_eq!(raw.told().await, ["E ERROR 26000", "Z I"], "the statement behind the error was never prepared");
    // An empty statement, and a command, described and run.
    raw.message(b'P', b"\0\0\0\0").await;
    raw.message(b'B', b"\0\0\0\0\0\0\0\0").await;
    raw.message(b'D', b"P\0").await;
    raw.message(b'E', b"\0\0\0\0\0").await;
    raw.message(b'P', b"\0BEGIN\0\0\0").await;
    raw.message(b'B', b"\0\0\0\0\0\0\0\0").await;
    raw.message(b'D', b"P\0").await;
    raw.message(b'E', b"\0\0\0\0\0").await;
    raw.message(b'S', b"").await;
    assert_eq!(raw.told().await, ["1", "2", "n", "I", "1", "2", "n", "C BEGIN", "Z T"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn formats_and_counts_that_do_not_fit_are_errors() {
    let served = served().await;
    let mut raw = Raw::connect(&served).await;
    raw.startup(0, &[("user", "tester")]).await;
    raw.told().await;
    for (bind, code) in [
        (&b"\0\0\0\0\0\0\0\x03\0\x01\0\x01\0\x01"[..], "08P01"), // three formats for two columns
        (b"\0\0\0\0\0\0\0\x01\0\x07", "22023"),                  // format 7
        (b"\0\0\0\0\0\x01\0\0\0\x01x\0\0", "08P01"),             // a parameter that nobody asked for
    ] {
        raw.message(b'P', b"\0SELECT 1, 2\0\0\0").await;
        raw.message(b'B', bind).await;
        raw.message(b'S', b"").await;
        assert_eq!(raw.told().await, ["1".to_owned(), format!("E ERROR {code}"), "Z I".to_owned()]);
    }
    raw.message(b'E', b"nothing\0\0\0\0\0").await;
    raw.message(b'S', b"").await;
    assert_eq!(raw.told().await, ["E ERROR 34000", "Z I"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_answered_with_an_error_or_a_closed_connection() {
    let served = served().await;
    let nonsense: [&[u8]; 8] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0\0\0\0\0\0\0\0\0\0",
        b"\0\0\0\x08\0\x03\0\0",
        b"\0\0\0\x09\0\x03\0\0x",
        b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\0\0\0\0\0", // a cancellation of nobody
        b"\0\0\0\x0c\x04\xd2\x16\x2e\0\0\0\0",         // and a short one
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
    ];
    for bytes in nonsense {
        let mut raw = Raw::connect(&served).await;
        raw.send(bytes).await;
        assert!(!raw.told().await.iter().any(|told| told.starts_with('Z')), "{bytes:?} opens nothing");
    }
    for (kind, body) in [
        (b'B', &b"\0\0\xff\xff"[..]),
        (b'P', b"no end"),
        (b'Q', b"\xff\xfe\0"),
        (b'?', b""),
        (b'F', b"\0\0\0\0"),
        (b'p', b"password\0"),
        (b'E', b"\0\0"),
    ] {
        let mut raw = Raw::connect(&served).await;
        raw.startup(0, &[("user", "tester")]).await;
        raw.told().await;
        raw.message(kind, body).await;
        let told = raw.told().await;
        assert!(told.len() == 1 && told[0].starts_with("E FATAL "), "{:?} {body:?}: {told:?}", char::from(kind));
    }
    assert_eq!(simple(&served.connect().await, "SELECT 1").await, "1", "the server goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_server_stops_its_clients_are_told() {
    let served = served().await;
    let mut idle = Raw::connect(&served).await;
    idle.startup(0, &[("user", "tester")]).await;
    idle.told().await;
    let mut busy = Raw::connect(&served).await;
    busy.startup(0, &[("user", "tester")]).await;
    busy.told().await;
    busy.message(
        b'Q',
        b"SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b WHERE a.value * b.value % 7 = 3\0",
    )
    .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    served.stop.cancel();
    assert_eq!(idle.told().await, ["E FATAL 57P01"]);
    assert_eq!(busy.told().await.last().unwrap(), "E FATAL 57P01");
    let address = served.address();
    tokio::time::timeout(Duration::from_secs(10), served.server.stopped()).await.expect("it stops");
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_cannot_be_had_is_said_with_what_to_do() {
    let served = served().await;
    let listen =
        |listen: SocketAddr| serve(served.lake.clone(), PostgresOptions { listen, ..options() }, CancellationToken::new());
    let error = listen(served.address()).await.unwrap_err();
    let expected = format!(
        "address {} is in use; another server listens there: stop it, or choose another port with --set postgres.listen=HOST:PORT",
        served.address()
    );
    assert_eq!(error.to_string(), expected);
    let error = listen("0.0.0.0:0".parse().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("is not on loopback"), "{error}");
}
