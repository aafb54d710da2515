//! `hangang reset`: forgets the city in the data folder, after asking; nothing that we did not make.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::bail;
use clap::Args;

use crate::config::Config;
use crate::folder::{self, Folder};

#[derive(Args)]
pub struct ResetArgs {
    /// Don't ask
    #[arg(long)]
    yes: bool,
}

pub fn run(config: Config, args: ResetArgs) -> anyhow::Result<()> {
    let path = &config.data;
    if !Folder::is_ours(path) {
        eprintln!("nothing to forget: \"{}\" holds no city", path.display());
        return Ok(());
    }
    let folder = Folder::hold(path)?;
    if !args.yes && !agreed(path)? {
        eprintln!("kept");
        return Ok(());
    }
    let stays = folder.forget()?;
    let own_lake = folder::holds_lake(&config);
    let what = if own_lake { "the city, its lake and its topics" } else { "the city and its topics" };
    eprintln!("forgotten: \"{}\" is empty of {what}", path.display());
    if !own_lake {
        eprintln!(
            "stays: the lake at \"{}\", which holds what was landed. The next city needs another (--lake URL), or stands still and says what it misses: its topics begin anew",
            config.lake_url
        );
    }
    for entry in stays {
        eprintln!("stays: \"{}\", which Hangang did not make", entry.display());
    }
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
