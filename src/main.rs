//! The one binary. Each stage is a subcommand, a file each, listed in the order in which a record meets them.

// In place of the standard ones, which panic where nobody reads: see `screen`.
macro_rules! eprintln {
    ($($text:tt)*) => { crate::screen::tell(format_args!("{}\n", format_args!($($text)*))) };
}
macro_rules! eprint {
    ($($text:tt)*) => { crate::screen::tell(format_args!($($text)*)) };
}
macro_rules! println {
    ($($text:tt)*) => { crate::screen::print(format_args!("{}\n", format_args!($($text)*))) };
}
macro_rules! print {
    ($($text:tt)*) => { crate::screen::print(format_args!($($text)*)) };
}

mod config;
mod folder;
mod kill_points;
mod memory;
mod options;
mod ports;
mod screen;

mod city;
mod history;
mod overview;
mod resume;
mod stages;
mod training;
mod up;

mod backtest;
mod broker;
mod forecast;
mod import;
mod maintain;
mod process;
mod produce;
mod serve;
mod simulate;
mod train;

mod healthy;
mod mend;
mod reset;
mod sql;
mod status;
mod topics;
mod walk;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::Config;

/// Hangang forecasts Seoul: it polls the city's open data into Kafka topics, lands them exactly once in a Delta lake,
/// retrains forecasters on schedule and serves what they say.
#[derive(Parser)]
#[command(name = "hangang", version, max_term_width = 110, after_help = "Begin with: hangang up")]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// Options that every subcommand takes. Each overrides the environment, which overrides the file.
#[derive(Args, Clone)]
struct Common {
    /// The configuration file [default: hangang.toml, where there is one]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of everything that is kept (data.dir)
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<String>,
    /// A Kafka outside instead of the embedded broker (kafka.bootstrap)
    #[arg(long, global = true, value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// Where the lake lies (lake.url)
    #[arg(long, global = true, value_name = "URL")]
    lake: Option<String>,
    /// Where the simulator answers, for stages that run apart from it (simulator.url)
    #[arg(long, global = true, value_name = "URL")]
    simulator: Option<String>,
    /// Sets any option of hangang.toml; may be repeated
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = key_value)]
    sets: Vec<(String, String)>,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
        .ok_or_else(|| "expected KEY=VALUE, as city.seed=7".to_owned())
}

#[derive(Subcommand)]
enum Command {
    /// Runs the whole city in one process: simulator, broker, producers, processor, forecasts, API
    #[command(after_help = "Example: hangang up --archive ../archive --start 2022-10-01T00:00+09:00 --speed 600")]
    Up(up::UpArgs),

    /// Answers as Seoul's API does, from the synthetic city or an archive, and owns the city's time
    #[command(after_help = "Example: hangang simulate --data data --set simulator.listen=127.0.0.1:8088")]
    Simulate(city::CityArgs),
    /// Runs the embedded Kafka-protocol broker alone
    #[command(after_help = "Example: hangang broker --data data --set kafka.listen=127.0.0.1:9292")]
    Broker,
    /// Polls the upstream into the topics
    #[command(after_help = "Example: hangang produce --kafka 127.0.0.1:9092 --simulator http://127.0.0.1:8088")]
    Produce,
    /// Checks, lands and rolls up what is in the topics
    #[command(after_help = "Example: hangang process --kafka 127.0.0.1:9092 --lake file:///srv/lake")]
    Process(process::ProcessArgs),
    /// Imports files of history into the lake, without a broker
    #[command(after_help = "Example: hangang import traffic_spots.csv traffic_volume_2022.csv.gz")]
    Import(import::ImportArgs),
    /// Compacts small files and writes checkpoints while others run
    #[command(after_help = "Example: hangang maintain --lake file:///srv/lake")]
    Maintain,
    /// Fits a challenger on what is known now and lets it replace the champion if it is better
    #[command(after_help = "Example: hangang train --target traffic_volume")]
    Train(train::TrainArgs),
    /// Forecasts from the newest origin with the champion, and scores older forecasts
    #[command(after_help = "Example: hangang forecast --schedule")]
    Forecast(forecast::ForecastArgs),
    /// Forecasts each day of the past from what was known then, and scores it against naive rules
    #[command(
        after_help = "Example: hangang backtest --target traffic_volume --from 2022-09-01 --to 2022-10-31 --output backtest.parquet"
    )]
    Backtest(backtest::BacktestArgs),
    /// Serves the page, the REST API and the PostgreSQL wire
    #[command(after_help = "Example: hangang serve --set api.listen=127.0.0.1:8080")]
    Serve,

    /// Asks the lake a question in SQL
    #[command(after_help = "Example: hangang sql \"SELECT * FROM rollup.traffic_hourly LIMIT 5\" --format csv")]
    Sql(sql::SqlArgs),
    /// Freshness, lag, rows, dead letters and champions on one screen
    #[command(after_help = "Example: hangang status --json")]
    Status(status::StatusArgs),
    /// Tells by its exit code whether the city or the API answers, for health checks
    #[command(after_help = "Example: hangang healthy api")]
    Healthy(healthy::HealthyArgs),
    /// Asks the upstream now and prints what every stage makes of the answer
    #[command(after_help = "Example: hangang walk traffic_volume A-01/1")]
    Walk(walk::WalkArgs),
    /// Puts damaged files aside and makes good what they held, from the topics and the lake itself
    #[command(after_help = "Example: hangang status --check; hangang mend")]
    Mend(mend::MendArgs),
    /// Forgets everything in the data folder, after asking
    #[command(after_help = "Example: hangang reset --yes --data /tmp/trial")]
    Reset(reset::ResetArgs),
    /// Prints the topics' documentation, derived from the catalog
    #[command(after_help = "Example: hangang topics > docs/topics.md")]
    Topics,
    /// Prints the configuration's defaults, or checks the one in force
    #[command(after_help = "Example: hangang config --defaults > hangang.toml")]
    Config {
        /// Print every option with its default
        #[arg(long)]
        defaults: bool,
    },
}

impl Command {
    /// Whether it runs until it is stopped.
    fn lives_long(&self) -> bool {
        use Command::*;
        matches!(self, Up(_) | Simulate(_) | Broker | Produce | Process(_) | Maintain | Forecast(_) | Serve)
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read what was printed has seen enough, as `head` does.
        Err(error) if screen::nobody_reads(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hangang: {}", screen::chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let mut sets = cli.common.sets();
    match &cli.command {
        Command::Up(args) => sets.extend(args.city.sets()),
        Command::Simulate(args) => sets.extend(args.sets()),
        Command::Topics => {
            print!("{}", topics::document());
            return Ok(());
        }
        Command::Config { defaults: true } => {
            print!("{}", options::default_file());
            return Ok(());
        }
        _ => {}
    }
    let asked = cli.common.config.is_some();
    let file = cli.common.config.unwrap_or_else(|| "hangang.toml".into());
    let config = Config::read(&file, asked, std::env::vars_os(), &sets)?;
    log_to_stderr(&config.log_level);
    kill_points::note()?;
    if cli.command.lives_long() {
        memory::give_back();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(dispatch(cli.command, config))
}

async fn dispatch(command: Command, config: Config) -> anyhow::Result<()> {
    match command {
        Command::Up(args) => up::run(config, args).await,
        Command::Simulate(_) => simulate::run(config).await,
        Command::Broker => broker::run(config).await,
        Command::Produce => produce::run(config).await,
        Command::Process(args) => process::run(config, args).await,
        Command::Import(args) => import::run(config, args).await,
        Command::Maintain => maintain::run(config).await,
        Command::Train(args) => train::run(config, args).await,
        Command::Forecast(args) => forecast::run(config, args).await,
        Command::Backtest(args) => backtest::run(config, args).await,
        Command::Serve => serve::run(config).await,
        Command::Sql(args) => sql::run(config, args).await,
        Command::Status(args) => status::run(config, args).await,
        Command::Healthy(args) => healthy::run(config, args).await,
        Command::Walk(args) => walk::run(config, args).await,
        Command::Mend(args) => mend::run(config, args).await,
        Command::Reset(args) => reset::run(config, args),
        Command::Topics => unreachable!("printed before the configuration is read"),
        Command::Config { .. } => {
            println!("the configuration is sound");
            Ok(())
        }
    }
}

impl Common {
    fn sets(&self) -> Vec<(String, String)> {
        let named = [
            ("data.dir", &self.data),
            ("kafka.bootstrap", &self.kafka),
            ("lake.url", &self.lake),
            ("simulator.url", &self.simulator),
        ];
        let named = named.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)));
        self.sets.iter().cloned().chain(named).collect()
    }
}

/// Our own crates at the configured level; of the libraries only what is an error to them.
fn log_to_stderr(level: &str) {
    use tracing_subscriber::{EnvFilter, fmt};
    const OURS: &[&str] =
        &["hangang", "clock", "simulator", "broker", "producers", "stream_processor", "lake", "trainer", "predictor_api"];
    let ours: String = OURS.iter().map(|name| format!(",{name}={level}")).collect();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(format!("error{ours}")));
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(terminal && std::env::var_os("NO_COLOR").is_none())
        .with_writer(|| screen::OverLive)
        // It would be told on standard error, which is what failed.
        .log_internal_errors(false)
        .init();
}
