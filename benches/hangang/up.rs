//! The whole city as a newcomer runs it: `hangang up` at its default speed, from nothing, with trainings in it. How soon
//! it forecasts, and what memory it takes at its peak, the training child's beside it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::machine::{self, Since, cpu_seconds, resident};
use crate::program::{self, Stage, free_address, hangang};
use crate::table::{Goal, Table};

/// Minutes that it runs, unless MINUTES says otherwise.
const MINUTES: f64 = 20.0;
const PEAK_MB_MAX: f64 = 400.0;
const MB: f64 = 1e6;
const FORECAST_WITHIN: Duration = Duration::from_secs(180);
const MODEL_WITHIN: Duration = Duration::from_secs(600);
/// How often it is looked at. Peaks are the kernel's own, so nothing of the city's is missed between two looks; of a
/// training the last such moment.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often it is asked how it stands.
const ASK_EVERY: Duration = Duration::from_secs(1);
const TARGET: &str = "/v1/forecasts/traffic_volume";

/// What was seen while it ran.
#[derive(Default)]
struct Seen {
    /// Bytes.
    peak: f64,
    /// Bytes of its own making, and pages of files, when the peak was last seen to rise.
    at_peak: (f64, f64),
    training_peak: f64,
    /// Processes that trained.
    trainings: Vec<u32>,
    forecast_after: Option<Duration>,
    model_after: Option<Duration>,
}

pub fn run(table: &mut Table) -> anyhow::Result<()> {
    let minutes = match std::env::var("MINUTES") {
        Ok(minutes) => minutes.parse().with_context(|| format!("MINUTES is \"{minutes}\", no number"))?,
        Err(_) => MINUTES,
    };
    println!("  takes {minutes} minutes and some seconds; MINUTES=5 makes it shorter, and less telling");
    let folder = tempfile::tempdir()?;
    let ports = Ports::free()?;
    let since = Since::now()?;
    let mut city = Stage::start(ports.given(hangang(folder.path(), &["up"])), &folder.path().join("up.log"))?;
    let seen = watch(&mut city, &ports, Duration::from_secs_f64(minutes * 60.0))
        .with_context(|| format!("the city said: {}", tail(&folder.path().join("up.log"))))?;
    let cpu = cpu_seconds(&city.id().to_string())?;
    let status = program::output(ports.given(hangang(folder.path(), &["status", "--json"])))?;
    let status: Value = serde_json::from_str(&status).context("reading the status")?;
    let others = since.others(cpu)?;
    city.stop()?;
    told(table, minutes, &seen, &status, cpu, others);
    Ok(())
}

fn watch(city: &mut Stage, ports: &Ports, span: Duration) -> anyhow::Result<Seen> {
    let client = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut seen = Seen::default();
    let started = Instant::now();
    let mut asked_at = started;
    while started.elapsed() < span {
        city.runs()?;
        let resident = resident(city.id()).context("the city's memory can't be seen")?;
        if resident.peak > seen.peak {
            seen.peak = resident.peak;
            seen.at_peak = (resident.anonymous, resident.of_files);
        }
        for (id, line) in machine::children(city.id())? {
            if line.contains(" train ") {
                seen.training_peak = seen.training_peak.max(machine::resident(id).map_or(0.0, |resident| resident.peak));
                if !seen.trainings.contains(&id) {
                    seen.trainings.push(id);
                }
            }
        }
        if asked_at.elapsed() > ASK_EVERY {
            asked_at = Instant::now();
            if let Some(champion) = client.block_on(champion(ports.api)) {
                seen.forecast_after.get_or_insert(started.elapsed());
                if champion.contains("lightgbm") {
                    seen.model_after.get_or_insert(started.elapsed());
                }
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
    if seen.forecast_after.is_none() {
        bail!("http://{}{TARGET} never answered with a forecast", ports.api);
    }
    Ok(seen)
}

/// The champion that forecasts come from, once there are any.
async fn champion(api: SocketAddr) -> Option<String> {
    let answer = reqwest::get(format!("http://{api}{TARGET}")).await.ok().filter(|answer| answer.status() == 200)?;
    let forecast: Value = serde_json::from_slice(&answer.bytes().await.ok()?).ok()?;
    Some(forecast["champion"].to_string())
}

fn told(table: &mut Table, minutes: f64, seen: &Seen, status: &Value, cpu: f64, others: f64) {
    let beside = format!("others took {:.0} % of the machine meanwhile", others * 100.0);
    let rows: i64 = status["feeds"].as_array().into_iter().flatten().filter_map(|feed| feed["rows"].as_i64()).sum();
    let within = |what: &str, after: Option<Duration>, goal: Duration, never: &str| {
        let figure = after.map_or("never".to_owned(), |after| format!("{:.0} s", after.as_secs_f64()));
        let reason = match after {
            Some(_) => beside.clone(),
            None => never.to_owned(),
        };
        let met = after.is_some_and(|after| after <= goal);
        (what.to_owned(), figure, Goal { text: format!("≤ {} s", goal.as_secs()), met, reason })
    };
    let trained = !seen.trainings.is_empty();
    // The registry's word, where a challenger was judged; else none was finished.
    let no_model = match status["targets"][0]["refused"]["reason"].as_str() {
        Some(reason) => format!("the last challenger was refused: {reason}; {beside}"),
        None => format!("no training had ended after {minutes} minutes, {} had begun; {beside}", seen.trainings.len()),
    };
    let peak = Goal {
        text: format!("≤ {PEAK_MB_MAX:.0} MB, a training in it"),
        met: seen.peak <= PEAK_MB_MAX * MB && trained,
        reason: if trained {
            let (own, of_files) = seen.at_peak;
            format!(
                "{:.0} MB of its own making and {:.0} MB of pages of files, the program's own mostly",
                own / MB,
                of_files / MB
            )
        } else {
            format!("no training was seen in {minutes} minutes: let it run longer")
        },
    };
    for (what, figure, goal) in [
        within(
            "the first forecast is served, from an empty folder",
            seen.forecast_after,
            FORECAST_WITHIN,
            "no forecast was served",
        ),
        within("a LightGBM bundle is champion", seen.model_after, MODEL_WITHIN, &no_model),
        (format!("peak memory of `up`, {minutes} minutes at speed 600"), format!("{:.0} MB", seen.peak / MB), peak),
    ] {
        table.add(what, figure, Some(goal));
    }
    table.add(
        "  of its training child, beside it",
        if trained {
            format!("{:.0} MB, {} trainings", seen.training_peak / MB, seen.trainings.len())
        } else {
            "none ran".to_owned()
        },
        None,
    );
    table.add("  rows landed meanwhile, history with them", format!("{rows} rows"), None);
    table.add("  its processor time", format!("{:.0} % of a core", cpu / (minutes * 60.0) * 100.0), None);
}

/// Ports of its own, so that it runs beside another city.
struct Ports {
    api: SocketAddr,
    others: [(&'static str, SocketAddr); 3],
}

impl Ports {
    fn free() -> anyhow::Result<Ports> {
        let others = ["HANGANG_KAFKA_LISTEN", "HANGANG_POSTGRES_LISTEN", "HANGANG_SIMULATOR_LISTEN"];
        let [a, b, c] = others.map(|name| free_address().map(|address| (name, address)));
        Ok(Ports { api: free_address()?, others: [a?, b?, c?] })
    }

    fn given(&self, mut command: Command) -> Command {
        command.env("HANGANG_API_LISTEN", self.api.to_string());
        command.envs(self.others.iter().map(|(name, address)| (name, address.to_string())));
        command
    }
}

/// The end of what it has written.
fn tail(log: &Path) -> String {
    const LINES: usize = 20;
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
