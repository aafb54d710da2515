//! Readers that share no code with the lake, as `ops/tools.sh` gets them. Where one is not to be had, its tests are
//! skipped and say so; with HANGANG_DEMAND_TOOLS=1 they fail.

use std::path::Path;
use std::process::Command;

pub fn missing(what: &str) {
    let demanded = std::env::var_os("HANGANG_DEMAND_TOOLS").is_some_and(|value| value == "1");
    assert!(!demanded, "{what}, and HANGANG_DEMAND_TOOLS asks for it");
    eprintln!("skipped: {what}");
}

/// What `python3 ARGUMENTS…` prints, with the readers at hand; none where `module` is not among them.
pub fn python(module: &str, arguments: &[&str]) -> Option<String> {
    let cache = std::env::var("HANGANG_CACHE").unwrap_or_else(|_| format!("{}/.cache/hangang", std::env::var("HOME").unwrap()));
    let readers = Path::new(&cache).join("readers");
    if !readers.join(module).exists() {
        missing(&format!("{} has no {module}: ops/tools.sh gets it", readers.display()));
        return None;
    }
    let ended = Command::new("python3").args(arguments).env("PYTHONPATH", readers).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    assert!(ended.status.success(), "{}\n{}", text(&ended.stdout), text(&ended.stderr));
    Some(text(&ended.stdout))
}
