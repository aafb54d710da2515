//! The binary as its user runs it: in a folder of its own, on ports that the system chooses, and with waits that end.
//!
//! Nothing here knows what a command does. Every wait has a deadline, and says what it waited for and what the process
//! printed last.

use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How often a wait looks again.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A command that should end at once, on a machine that builds and tests beside it.
pub const SOON: Duration = Duration::from_secs(120);
/// What a reader may take.
const READER_WITHIN: Duration = Duration::from_secs(600);
/// Lines of a process's output that a failed wait shows.
const LINES_SHOWN: usize = 40;

/// A folder that goes when the test has ended.
pub struct Data(tempfile::TempDir);

/// How a process has ended.
#[derive(Debug)]
pub struct Ended {
    pub name: String,
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Everything it printed, to either stream, in the order of its coming.
    pub text: String,
}

/// A process that runs. It is killed when this is dropped.
pub struct Running {
    name: String,
    child: Child,
    text: Arc<Mutex<String>>,
    readers: Vec<std::thread::JoinHandle<()>>,
}

impl Data {
    pub fn new() -> Data {
        Data(tempfile::tempdir().expect("a temporary folder can be made"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Keeps the folder, for whoever looks into it.
    pub fn kept(self) -> PathBuf {
        self.0.keep()
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        std::fs::write(&path, content).expect("a file can be written");
        path
    }

    /// `hangang ARGUMENTS…` in the folder and on it, listening on free ports.
    pub fn hangang(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hangang"));
        command.args(arguments).env("HANGANG_DATA_DIR", self.path());
        for listen in ["HANGANG_API_LISTEN", "HANGANG_KAFKA_LISTEN", "HANGANG_POSTGRES_LISTEN", "HANGANG_SIMULATOR_LISTEN"] {
            command.env(listen, "127.0.0.1:0");
        }
        command.env_remove("RUST_LOG").env_remove("RUST_BACKTRACE").current_dir(self.path());
        command
    }

    /// Runs to the end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        Running::start(&name(arguments), self.hangang(arguments)).ended(SOON)
    }

    pub fn start(&self, arguments: &[&str]) -> Running {
        Running::start(&name(arguments), self.hangang(arguments))
    }

    /// A text with the folder's path as `DATA`, as a snapshot wants it.
    pub fn plain(&self, text: &str) -> String {
        text.replace(self.path().to_str().expect("a temporary folder has a plain name"), "DATA").trim().to_owned()
    }
}

fn name(arguments: &[&str]) -> String {
    format!("hangang {}", arguments.join(" "))
}

impl Ended {
    /// What it printed, if it ended well.
    #[track_caller]
    pub fn well(self) -> String {
        assert_eq!(self.code, Some(0), "`{}` did not end well; it printed:\n{}", self.name, self.text);
        self.text
    }

    /// What it printed, if it ended with exit code 1.
    #[track_caller]
    pub fn badly(self) -> String {
        assert_eq!(self.code, Some(1), "`{}` should have ended with exit code 1; it printed:\n{}", self.name, self.text);
        self.text
    }
}

impl Running {
    pub fn start(name: &str, mut command: Command) -> Running {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start `{name}`: {error}"));
        let text = Arc::<Mutex<String>>::default();
        let (out, err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let readers = vec![read(out, text.clone()), read(err, text.clone())];
        Running { name: name.to_owned(), child, text, readers }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub fn text(&self) -> String {
        self.text.lock().expect("no reader panics").clone()
    }

    /// Waits until what it printed answers; fails where it ends before, or after `within`.
    #[track_caller]
    pub fn until<T>(&mut self, what: &str, within: Duration, answer: impl Fn(&str) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            // Asked first: what was printed before the end counts, too.
            let ended = self.child.try_wait().expect("a child can be asked");
            if let Some(answer) = answer(&self.text()) {
                return answer;
            }
            if let Some(status) = ended {
                panic!("`{}` ended ({status}) while {what} was waited for; its last lines:\n{}", self.name, self.last_lines());
            }
            let waited = begun.elapsed();
            assert!(
                waited < within,
                "`{}`: {what} did not come in {waited:?}; its last lines:\n{}",
                self.name,
                self.last_lines()
            );
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// The word after `before` in what it prints: an address, say.
    #[track_caller]
    pub fn word_after(&mut self, before: &str, within: Duration) -> String {
        let found = |text: &str| {
            let rest = &text[text.find(before)? + before.len()..];
            // Whole only once something follows it.
            let end = rest.find(|letter: char| letter.is_whitespace() || letter == ',')?;
            Some(rest[..end].to_owned())
        };
        self.until(&format!("a word after \"{before}\""), within, found)
    }

    /// Asks it to stop, as an operator does.
    pub fn terminate(self, within: Duration) -> Ended {
        let sent = Command::new("kill").args(["-TERM", &self.id().to_string()]).status().expect("kill can be run");
        assert!(sent.success(), "`{}` could not be sent a signal", self.name);
        self.ended(within)
    }

    /// Ends it at once, in whatever it does.
    pub fn kill(mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a killed child ends");
    }

    /// Waits for its end.
    #[track_caller]
    pub fn ended(mut self, within: Duration) -> Ended {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child can be asked") {
                break status;
            }
            let waited = begun.elapsed();
            assert!(waited < within, "`{}` has not ended in {waited:?}; its last lines:\n{}", self.name, self.last_lines());
            std::thread::sleep(LOOK_EVERY);
        };
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader does not panic");
        }
        Ended { name: self.name.clone(), code: status.code(), text: self.text() }
    }

    fn last_lines(&self) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

fn read(stream: impl std::io::Read + Send + 'static, text: Arc<Mutex<String>>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stream);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            write!(text.lock().expect("no reader panics"), "{}", String::from_utf8_lossy(&line)).expect("a string takes all");
            line.clear();
        }
    })
}

/// Runs one of the readers in `tests/readers`, which share no code with Hangang. Gives whether it is content, and what it
/// printed.
pub fn reader(script: &str, arguments: &[&str]) -> (bool, String) {
    let cache = std::env::var("HANGANG_CACHE").unwrap_or_else(|_| format!("{}/.cache/hangang", std::env::var("HOME").unwrap()));
    let mut command = Command::new("python3");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers").join(script)).args(arguments);
    command.env("PYTHONPATH", Path::new(&cache).join("readers"));
    let ended = Running::start(script, command).ended(READER_WITHIN);
    (ended.code == Some(0), ended.text)
}

/// Waits until something elsewhere answers; an error is what it says meanwhile.
#[track_caller]
pub fn wait_for<T>(what: &str, within: Duration, mut answer: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        let why = match answer() {
            Ok(answer) => return answer,
            Err(why) => why,
        };
        let waited = begun.elapsed();
        assert!(waited < within, "{what} did not come in {waited:?}; last: {why}");
        std::thread::sleep(LOOK_EVERY * 4);
    }
}
