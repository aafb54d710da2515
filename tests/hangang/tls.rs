//! A polled host that speaks https, with a CA of its own: asked where that is known (`SSL_CERT_FILE`), refused where not.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Name};

use crate::support::{Data, Running, SOON};

const SPOTS: &str = include_str!("../recordings/spotinfo_one_spot.xml");

struct Signed {
    key: PKey<Private>,
    certificate: X509,
}

/// A certificate for `name`, signed by `by`; by itself where there is nobody, as a CA.
fn certificate(name: &str, by: Option<&Signed>) -> Signed {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut subject = X509Name::builder().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&BigNum::from_u32(1 + u32::from(by.is_some())).unwrap().to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(by.map_or(&subject, |by| by.certificate.subject_name())).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
    match by {
        None => builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap(),
        Some(by) => {
            let context = builder.x509v3_context(Some(&by.certificate), None);
            let name = SubjectAlternativeName::new().dns(name).build(&context).unwrap();
            builder.append_extension(name).unwrap();
        }
    }
    builder.sign(by.map_or(&key, |by| &by.key), MessageDigest::sha256()).unwrap();
    Signed { key, certificate: builder.build() }
}

/// Answers every request with one spot. Gives its address.
fn host(server: &Signed) -> String {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    acceptor.set_private_key(&server.key).unwrap();
    acceptor.set_certificate(&server.certificate).unwrap();
    let acceptor = Arc::new(acceptor.build());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let acceptor = acceptor.clone();
            std::thread::spawn(move || {
                // A client that does not know the CA breaks off.
                let Ok(mut stream) = acceptor.accept(connection) else { return };
                let mut request = [0; 4096];
                if stream.read(&mut request).is_ok_and(|read| read > 0) {
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", SPOTS.len());
                    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(SPOTS.as_bytes())).ok();
                }
            });
        }
    });
    address
}

#[test]
fn a_host_with_a_ca_of_its_own_is_asked_where_that_is_known_and_refused_where_not() {
    let ca = certificate("Hangang's test CA", None);
    let address = host(&certificate("localhost", Some(&ca)));
    let data = Data::new();
    let known = data.write("ca.pem", ca.certificate.to_pem().unwrap());
    let spots = data.write("traffic_spots.csv", "spot_num,spot_nm,detector,latitude,longitude,district,address,inflow,outflow\n");
    data.run(&["import", spots.to_str().unwrap()]);
    let walk = |ca: Option<&std::path::Path>| {
        let upstream = format!("upstream.seoul={address}");
        let mut walk = data.hangang(&["walk", "traffic_spot", "A-01", "--set", "city.source=real", "--set", &upstream]);
        walk.env("HANGANG_SEOUL_KEY", "6b6579666f7274657374696e67");
        match ca {
            Some(file) => walk.env("SSL_CERT_FILE", file),
            None => walk.env_remove("SSL_CERT_FILE"),
        };
        Running::start("hangang walk", walk).ended(SOON)
    };
    let said = walk(Some(&known)).well();
    assert!(said.contains("1 observations of A-01"), "{said}");
    let said = walk(None).badly();
    assert!(said.contains("no connection to the upstream") && said.contains("certificate verify failed"), "{said}");
    assert!(!said.contains("6b6579666f72"), "the key is told: {said}");
}
