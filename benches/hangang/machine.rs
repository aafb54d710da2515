//! What the machine says of itself and of processes: processor time, peak memory, and how busy others kept it. Linux's
//! `/proc`, read and nothing else.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Context;

/// Ticks of `/proc` a second: USER_HZ, which Linux shows as 100 on every machine.
const TICKS_A_SECOND: f64 = 100.0;

/// One line on what this runs on.
pub fn described() -> anyhow::Result<String> {
    let cores = std::thread::available_parallelism().context("how many cores there are")?;
    let model = read("/proc/cpuinfo")?;
    let model = model.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("", |(_, name)| name);
    let memory = read("/proc/meminfo")?;
    let kib: f64 = number(memory.lines().next().unwrap_or_default(), 1)?;
    let load = read("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default();
    Ok(format!("{cores} cores ({model}), {:.0} GiB of memory, load {load} before the first section", kib / 1048576.0))
}

/// Seconds of processor time that a process has used, all of its threads. `self` is this one.
pub fn cpu_seconds(process: &str) -> anyhow::Result<f64> {
    Ok(stat(&format!("/proc/{process}/stat"))?.used())
}

/// The same of children that have ended and were waited for.
pub fn ended_children_cpu_seconds() -> anyhow::Result<f64> {
    Ok(stat("/proc/self/stat")?.used_by_children())
}

/// The same of this process's living threads whose name begins with `prefix`.
pub fn threads_cpu_seconds(prefix: &str) -> anyhow::Result<f64> {
    let mut seconds = 0.0;
    for task in fs::read_dir("/proc/self/task").context("listing threads")? {
        // A thread that ended meanwhile has no file any more.
        let Ok(stat) = stat(&format!("{}/stat", task?.path().display())) else { continue };
        if stat.name.starts_with(prefix) {
            seconds += stat.used();
        }
    }
    Ok(seconds)
}

/// What of a living process stands in memory, in bytes.
pub struct Resident {
    /// The most there has ever been.
    pub peak: f64,
    /// Now, of its own making.
    pub anonymous: f64,
    /// Now, pages of files: the program's own, mostly.
    pub of_files: f64,
}

/// None once it has ended.
pub fn resident(process: u32) -> Option<Resident> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(line.split_whitespace().next()?.parse::<f64>().ok()? * 1024.0)
    };
    Some(Resident { peak: bytes("VmHWM")?, anonymous: bytes("RssAnon")?, of_files: bytes("RssFile")? })
}

/// Living children of a process, and how each was called.
pub fn children(process: u32) -> anyhow::Result<Vec<(u32, String)>> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc").context("listing processes")? {
        let Some(id) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // Processes come and go while this looks.
        let Ok(stat) = stat(&format!("/proc/{id}/stat")) else { continue };
        if stat.parent() == Some(process)
            && let Ok(line) = fs::read_to_string(format!("/proc/{id}/cmdline"))
        {
            children.push((id, line.replace('\0', " ")));
        }
    }
    Ok(children)
}

/// A moment from which on it is counted what the machine does.
pub struct Since {
    at: Instant,
    busy: f64,
}

impl Since {
    pub fn now() -> anyhow::Result<Since> {
        Ok(Since { at: Instant::now(), busy: busy_seconds()? })
    }

    pub fn elapsed(&self) -> Duration {
        self.at.elapsed()
    }

    /// Share of all cores' time that others have taken since, where `ours` seconds were taken by us.
    pub fn others(&self, ours: f64) -> anyhow::Result<f64> {
        let cores = std::thread::available_parallelism()?.get() as f64;
        Ok(((busy_seconds()? - self.busy - ours) / (self.elapsed().as_secs_f64() * cores)).clamp(0.0, 1.0))
    }
}

/// Seconds in which some core worked for anyone, since the machine started.
fn busy_seconds() -> anyhow::Result<f64> {
    let text = read("/proc/stat")?;
    let ticks: Vec<f64> =
        text.lines().next().unwrap_or_default().split_whitespace().skip(1).map_while(|n| n.parse().ok()).collect();
    let [user, nice, system, _idle, _waiting, interrupts, soft, steal, ..] = ticks[..] else {
        anyhow::bail!("/proc/stat does not begin with eight numbers")
    };
    Ok((user + nice + system + interrupts + soft + steal) / TICKS_A_SECOND)
}

struct Stat {
    name: String,
    /// From the state on, which is the third.
    fields: Vec<String>,
}

impl Stat {
    fn seconds(&self, places: [usize; 2]) -> f64 {
        places.iter().filter_map(|&place| self.fields.get(place - 3)?.parse::<f64>().ok()).sum::<f64>() / TICKS_A_SECOND
    }

    fn used(&self) -> f64 {
        self.seconds([14, 15])
    }

    fn used_by_children(&self) -> f64 {
        self.seconds([16, 17])
    }

    fn parent(&self) -> Option<u32> {
        self.fields.get(1)?.parse().ok()
    }
}

/// proc(5): fields are numbered from 1, and the second, a name in brackets, may hold blanks.
fn stat(path: &str) -> anyhow::Result<Stat> {
    let text = read(path)?;
    let (before, after) = text.rsplit_once(") ").with_context(|| format!("\"{path}\" names no process"))?;
    let name = before.split_once('(').map_or("", |(_, name)| name).to_owned();
    Ok(Stat { name, fields: after.split_whitespace().map(str::to_owned).collect() })
}

fn read(path: &str) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading \"{path}\""))
}

fn number(line: &str, place: usize) -> anyhow::Result<f64> {
    let word = line.split_whitespace().nth(place).with_context(|| format!("\"{line}\" has no number"))?;
    word.parse().with_context(|| format!("\"{word}\" is no number"))
}
