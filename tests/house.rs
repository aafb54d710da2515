//! Holds the arrows between crates, and the few facts about the tree that documents rely on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Who may know whom. Everything may know `clock` and `catalog`; stages never know each other; the root knows all.
const ARROWS: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("catalog", &[]),
    ("simulator", &["clock", "catalog"]),
    ("broker", &["clock", "catalog"]),
    ("producers", &["clock", "catalog"]),
    ("stream-processor", &["clock", "catalog", "lake"]),
    ("lake", &["clock", "catalog"]),
    ("forecaster", &["clock", "catalog"]),
    ("trainer", &["clock", "catalog", "lake", "forecaster"]),
    ("predictor-api", &["clock", "catalog", "lake", "forecaster"]),
];

/// Libraries that stay behind one crate.
const BEHIND: &[(&str, &[&str])] = &[
    ("deltalake", &["lake"]),
    ("object_store", &["lake"]),
    ("pgwire", &["lake"]),
    ("lightgbm3-sys", &["trainer"]),
    ("kafka-protocol", &["broker"]),
    ("quick-xml", &["producers"]),
];

fn dependencies(folder: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    manifest["dependencies"].as_table().unwrap().keys().cloned().collect()
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
