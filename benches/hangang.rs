//! `make bench`: how quick and how small it is, each goal beside its figure, in one run.
//!
//! Sections run one after the other, the longest last; `make bench ARGS="consume import"` chooses. Rates are medians of
//! alternating runs, so that what else the machine does weighs on both sides alike; what others took of it meanwhile is
//! printed. It judges nothing by its exit status but that every section could be run: a goal that is not met is printed
//! as not met, with the reason.

#[path = "hangang/consume.rs"]
mod consume;
#[path = "hangang/import.rs"]
mod import;
#[path = "hangang/machine.rs"]
mod machine;
#[path = "hangang/predict.rs"]
mod predict;
#[path = "hangang/program.rs"]
mod program;
#[path = "hangang/serve.rs"]
mod serve;
#[path = "hangang/table.rs"]
mod table;
#[path = "hangang/up.rs"]
mod up;

use std::process::ExitCode;

use anyhow::{Context, bail};

use self::table::Table;

/// One part of the run.
struct Section {
    name: &'static str,
    /// What it does and about how long that takes.
    about: &'static str,
    run: fn(&mut Table) -> anyhow::Result<()>,
}

/// All of them, in the order in which they run.
const SECTIONS: &[Section] = &[
    Section { name: "consume", about: "from a topic to visible rollup rows; a minute", run: consume::run },
    Section { name: "import", about: "CSV to a lake with rollups; a minute", run: import::run },
    Section { name: "predict", about: "24 rows through 500 trees; half a minute", run: predict::run },
    Section { name: "serve", about: "a cached forecast beside a bare route; half a minute, after its build", run: serve::run },
    Section { name: "up", about: "memory of the whole city; MINUTES=20 unless told otherwise", run: up::run },
];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    // Cargo says `--bench` to whatever it benches.
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let Some(unknown) = asked.iter().find(|name| SECTIONS.iter().all(|section| section.name != **name)) {
        let known: Vec<&str> = SECTIONS.iter().map(|section| section.name).collect();
        bail!("there is no section \"{unknown}\"; there are {}", known.join(", "));
    }
    let sections: Vec<&Section> =
        SECTIONS.iter().filter(|section| asked.is_empty() || asked.iter().any(|name| name == section.name)).collect();
    println!("{}\n", machine::described()?);
    let mut table = Table::default();
    for section in &sections {
        println!("{}: {}", section.name, section.about);
        (section.run)(&mut table).with_context(|| format!("section \"{}\"", section.name))?;
        println!();
    }
    println!("{table}");
    Ok(())
}
