//! Holds the arrows between crates, and the few facts about the tree that documents rely on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Who may know whom. Everything may know `durable`, `clock` and `catalog`; stages never know each other; the root knows
/// all.
const ARROWS: &[(&str, &[&str])] = &[
    ("durable", &[]),
    ("clock", &["durable"]),
    ("catalog", &[]),
    ("simulator", &["durable", "clock", "catalog"]),
    ("broker", &["durable", "clock", "catalog"]),
    ("producers", &["durable", "clock", "catalog"]),
    ("stream-processor", &["durable", "clock", "catalog", "lake"]),
    ("lake", &["durable", "clock", "catalog"]),
    ("forecaster", &["durable", "clock", "catalog"]),
    ("trainer", &["durable", "clock", "catalog", "lake", "forecaster"]),
    ("predictor-api", &["durable", "clock", "catalog", "lake", "forecaster"]),
];

/// Libraries that stay behind one crate.
const BEHIND: &[(&str, &[&str])] = &[
    ("object_store", &["lake"]),
    ("pgwire", &["lake"]),
    ("lightgbm3-sys", &["trainer"]),
    ("kafka-protocol", &["broker"]),
    ("quick-xml", &["producers"]),
];

fn dependencies(folder: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    manifest.get("dependencies").and_then(|table| table.as_table()).into_iter().flatten().map(|(name, _)| name.clone()).collect()
}

fn members() -> BTreeMap<String, BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest: toml::Table = std::fs::read_to_string(root.join("Cargo.toml")).unwrap().parse().unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap();
    members.iter().map(|member| member.as_str().unwrap()).map(|name| (name.to_owned(), dependencies(&root.join(name)))).collect()
}

#[test]
fn crates_know_only_whom_they_may() {
    let members = members();
    assert_eq!(
        members.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        ARROWS.iter().map(|(name, _)| *name).collect::<BTreeSet<_>>(),
        "every crate has its arrows declared"
    );
    for (name, may) in ARROWS {
        let knows: Vec<&String> = members[*name].iter().filter(|dependency| members.contains_key(*dependency)).collect();
        for other in knows {
            assert!(may.contains(&other.as_str()), "\"{name}\" may not know \"{other}\"");
        }
    }
}

#[test]
fn libraries_stay_behind_their_crate() {
    for (library, may) in BEHIND {
        for (name, dependencies) in members() {
            assert!(!dependencies.contains(*library) || may.contains(&name.as_str()), "\"{library}\" leaks into \"{name}\"");
        }
    }
}

/// librdkafka knows OpenSSL only; whatever else would be the second (`docs/decisions/0003-one-tls-library.md`).
#[test]
fn there_is_one_tls_library() {
    let lock = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    let lock: toml::Table = lock.parse().unwrap();
    let packages = lock["package"].as_array().unwrap();
    let names: BTreeSet<&str> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    assert!(names.contains("openssl-sys"));
    for other in ["rustls", "ring", "aws-lc-rs", "aws-lc-sys", "boring", "mbedtls", "webpki"] {
        assert!(!names.contains(other), "\"{other}\" is in the lock file, beside OpenSSL");
    }
}
