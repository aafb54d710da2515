//! `hangang reset`: forgets everything in the data folder, after asking.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Context, bail};
use clap::Args;

use crate::config::Config;
use crate::folder::Folder;

#[derive(Args)]
pub struct ResetArgs {
    /// Don't ask
    #[arg(long)]
    yes: bool,
}

/// What a data folder of ours holds. Nothing else is ever deleted.
const OURS: &[&str] = &["broker", "lake", "history", "imported", "city", "clock", "clock.new", "lock"];

pub fn run(config: Config, args: ResetArgs) -> anyhow::Result<()> {
    let path = &config.data;
    if !path.join("city").exists() && !path.join("lake").exists() {
        eprintln!("nothing to forget: \"{}\" holds no city", path.display());
        return Ok(());
    }
    let folder = Folder::hold(path)?;
    if !args.yes && !agreed(path)? {
        eprintln!("kept");
        return Ok(());
    }
    for name in OURS {
        let entry = path.join(name);
        let removed = if entry.is_dir() { std::fs::remove_dir_all(&entry) } else { std::fs::remove_file(&entry) };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove \"{}\"", entry.display()));
            }
            _ => {}
        }
    }
    drop(folder);
    eprintln!("forgotten: \"{}\" is empty of the city, its lake and its topics", path.display());
    Ok(())
}

fn agreed(path: &std::path::Path) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("nobody is there to ask; say --yes to forget everything in \"{}\"", path.display());
    }
    eprint!("Forget the city, the lake and the topics in \"{}\"? Type yes: ", path.display());
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}
