//! The trace of a test that panics, as a page beside the test's other output.
//!
//! Owns the file's name and folder. Never fails a test, and never panics.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::trace::{Record, Trace};

/// The variable that names the folder.
pub(crate) const TRACE_ON_PANIC: &str = "VIRTNET_TRACE_ON_PANIC";
/// The longest name of a file, in characters, without its number.
const LONGEST: usize = 120;
/// As many files may have the same name in a process.
const MOST_FILES: usize = 1000;

/// Writes the trace of a test if the test panics while it holds this value, and prints where.
///
/// The file is one HTML page ([`Trace::html`]), for a browser or for the artifacts of a CI run. It
/// has the test's name, from the name of the thread that made this value, and a number. It is written to
///
/// 1. the folder of [`in_folder`](OnPanic::in_folder), or else
/// 2. the folder that the environment variable `VIRTNET_TRACE_ON_PANIC` names, or else
/// 3. `virtnet-traces` in Cargo's target folder, or else
/// 4. `virtnet-traces` in the system's folder for temporary files.
///
/// The folder is made if it is missing. If the page cannot be written, the reason is printed, and
/// the test's own panic goes on.
///
/// A panic counts if it unwinds the thread that drops this value: that of the test itself, not one of
/// a task or thread whose result nobody looks at. Make this value *before* the hosts, so that it
/// is dropped after them: then their end is in the trace too.
///
/// ```
/// use virtnet::trace::OnPanic;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let subnet = virtnet::testing::open().await?;
/// let recorded = subnet.clone();
/// let _on_panic = OnPanic::new(move || vec![recorded.trace()]);
///
/// let alpha = subnet.new_host("α").await?;
/// assert_eq!(alpha.listen("")?.local_addr(), "α:1");
/// # Ok(()) }
/// ```
pub struct OnPanic {
    name: String,
    folder: Option<PathBuf>,
    records: Box<dyn FnMut() -> Vec<Record> + Send>,
}

impl OnPanic {
    /// A value that asks for records, once, when a panic drops it.
    #[must_use = "it writes a trace when a panic drops it"]
    pub fn new(records: impl FnMut() -> Vec<Record> + Send + 'static) -> OnPanic {
        OnPanic {
            name: std::thread::current().name().unwrap_or("trace").to_owned(),
            folder: None,
            records: Box::new(records),
        }
    }

    /// Names the file, instead of the thread: of several tests in one thread, for example.
    #[must_use = "it writes a trace when a panic drops it"]
    pub fn named(mut self, name: impl Into<String>) -> OnPanic {
        self.name = name.into();
        self
    }

    /// Writes to this folder.
    #[must_use = "it writes a trace when a panic drops it"]
    pub fn in_folder(mut self, folder: impl Into<PathBuf>) -> OnPanic {
        self.folder = Some(folder.into());
        self
    }

    /// Writes the page now, for a test that fails without a panic, and returns the file's path.
    ///
    /// # Errors
    ///
    /// Those of making the folder and the file;
    /// [`InvalidData`](io::ErrorKind::InvalidData) with a
    /// [`MergeError`](crate::trace::MergeError) if the records make no trace.
    pub fn write(&mut self) -> io::Result<PathBuf> {
        let trace = Trace::merge((self.records)());
        let trace = trace.map_err(|err| io::Error::new(io::ErrorKind::InvalidData, err))?;
        let folder = self.folder.clone().unwrap_or_else(default_folder);
        // So that what is printed can be opened, wherever it is read.
        let folder = std::path::absolute(folder)?;
        std::fs::create_dir_all(&folder)?;
        let (path, file) = new_file(&folder, &file_name(&self.name))?;
        let mut file = BufWriter::new(file);
        write!(file, "{}", trace.html())?;
        file.flush()?;
        Ok(path)
    }
}

impl std::fmt::Debug for OnPanic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OnPanic")
            .field("name", &self.name)
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Drop for OnPanic {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        // A second panic would abort the process, and hide the first.
        match catch_unwind(AssertUnwindSafe(|| self.write())) {
            Ok(Ok(path)) => eprintln!("virtnet: the trace of {:?}: {}", self.name, path.display()),
            Ok(Err(err)) => eprintln!("virtnet: cannot write the trace of {:?}: {err}", self.name),
            Err(_) => eprintln!("virtnet: no trace of {:?}: its records panicked", self.name),
        }
    }
}

fn default_folder() -> PathBuf {
    let set = std::env::var_os(TRACE_ON_PANIC).filter(|folder| !folder.is_empty());
    if let Some(folder) = set {
        return folder.into();
    }
    // Cargo marks its target folder as one that backups may leave out.
    let program = std::env::current_exe().unwrap_or_default();
    let mut folders = program.ancestors().skip(1);
    let target = folders.find(|folder| folder.join("CACHEDIR.TAG").is_file());
    let target = target.map_or_else(std::env::temp_dir, Path::to_owned);
    target.join("virtnet-traces")
}

/// A name with only letters, digits, `.` and `_`, and `-` for anything else.
fn file_name(name: &str) -> String {
    let char = |char: char| match char {
        '.' | '_' => char,
        char if char.is_alphanumeric() => char,
        _ => '-',
    };
    let name: String = name.chars().take(LONGEST).map(char).collect();
    // No hidden file, and none of a parent folder.
    format!("{}-{}", name.trim_start_matches('.'), std::process::id())
}

/// A file that was not there before.
fn new_file(folder: &Path, name: &str) -> io::Result<(PathBuf, File)> {
    for number in 1..=MOST_FILES {
        let number = if number == 1 {
            String::new()
        } else {
            format!("-{number}")
        };
        let path = folder.join(format!("{name}{number}.html"));
        match File::create_new(&path) {
            Ok(file) => return Ok((path, file)),
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
            Err(err) => return Err(err),
        }
    }
    let why = format!("{} has {MOST_FILES} files named {name}", folder.display());
    Err(io::Error::new(io::ErrorKind::AlreadyExists, why))
}
