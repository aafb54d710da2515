//! The program itself, `hangang`, as a process of its own with a data folder and ports of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::machine;

/// How long a stage may take to listen, and to stop.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A stage that runs; ended when it is dropped.
pub struct Stage {
    child: Child,
}

/// What a command that has ended took.
pub struct Took {
    pub wall: Duration,
    pub cpu_seconds: f64,
    /// As last seen, some milliseconds before the end.
    pub peak_bytes: f64,
}

/// `hangang …`, with its data in `data`.
pub fn hangang(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hangang"));
    command.args(arguments).arg("--data").arg(data).current_dir(data).stdin(Stdio::null());
    command
}

/// An address that nobody listens on.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
    Ok(listener.local_addr()?)
}

/// Runs a command to its end.
pub fn output(mut command: Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    succeeded(&command, &output)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command to its end, and watches it.
pub fn watched(mut command: Command) -> anyhow::Result<Took> {
    let cpu_before = machine::ended_children_cpu_seconds()?;
    let started = Instant::now();
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().with_context(|| format!("running {command:?}"))?;
    let mut peak_bytes: f64 = 0.0;
    while child.try_wait().context("watching a process")?.is_none() {
        peak_bytes = peak_bytes.max(machine::resident(child.id()).map_or(0.0, |resident| resident.peak));
        std::thread::sleep(LOOK_EVERY);
    }
    let wall = started.elapsed();
    succeeded(&command, &child.wait_with_output()?)?;
    Ok(Took { wall, cpu_seconds: machine::ended_children_cpu_seconds()? - cpu_before, peak_bytes })
}

fn succeeded(command: &Command, output: &Output) -> anyhow::Result<()> {
    if !output.status.success() {
        bail!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

impl Stage {
    /// Starts a stage; what it says is written to `log`.
    pub fn start(mut command: Command, log: &Path) -> anyhow::Result<Stage> {
        let log = std::fs::File::create(log).with_context(|| format!("writing \"{}\"", log.display()))?;
        command.stdout(Stdio::null()).stderr(log);
        let child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        Ok(Stage { child })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it answers on an address.
    pub fn answers(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            self.runs()?;
            if started.elapsed() > PATIENCE {
                bail!("nothing answered at {address} within {PATIENCE:?}");
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// That it has not ended.
    pub fn runs(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait().context("watching a process")? {
            Some(status) => bail!("it ended by itself with {status}"),
            None => Ok(()),
        }
    }

    /// Stops it as a person would.
    pub fn stop(mut self) -> anyhow::Result<()> {
        output({
            let mut kill = Command::new("kill");
            kill.args(["-TERM", &self.id().to_string()]);
            kill
        })?;
        let started = Instant::now();
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("stopped, it ended with {status}"),
                None if started.elapsed() > PATIENCE => bail!("it did not stop within {PATIENCE:?}"),
                None => std::thread::sleep(LOOK_EVERY),
            }
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // It may have ended by itself, or been stopped.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
