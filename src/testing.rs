//! Networks for tests: each test has its own.
//!
//! Owns the names of such networks. Every other setting is as with [`open`](crate::open()).

#[cfg(feature = "trace-files")]
mod reorder;

use std::ffi::OsString;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::{env, thread};

use crate::config::DEFAULT_NETWORK;
use crate::setting::{Setting, SettingError};
use crate::trace::{Golden, Recording};
use crate::vars::GOLDEN;
use crate::{Config, MAX_NAME, OpenError, SubNetwork};

#[cfg(feature = "trace-files")]
pub use self::reorder::{Finding, Reorder, ReorderError, Report};

/// The most bytes of a test's name in the name of its network.
const MAX_TEST: usize = 80;

/// Opens a network for this test only. No other call opens the same network, in this process,
/// in another process or on another machine.
///
/// Everything else is as with [`open`](crate::open()): the environment says where the registry
/// is, and with no variable set the network is within this process. So tests that run at the
/// same time never meet, and each can call a host `α`. The same tests run over Redis. The
/// names that a killed test leaves do not disturb the next run.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (one, two) = (virtnet::testing::open().await?, virtnet::testing::open().await?);
/// assert_ne!(one.network(), two.network());
/// let (_alpha, _other) = (one.new_host("α").await?, two.new_host("α").await?);
/// # one.close().await?; two.close().await?;
/// # Ok(()) }
/// ```
///
/// # The network's name
///
/// [`SubNetwork::network`] returns it; use it where a test compares an error text. It consists
/// of the test's name, if the thread has it, or else the program's, and 64 random bits. If
/// `VIRTNET_NETWORK` is set, it is the prefix: `ci-17` becomes `ci-17-`*test*`-`*bits*. So
/// `VIRTNET_NETWORK` distinguishes runs that share a Redis server, and tests still do not
/// meet.
///
/// # The trace
///
/// The subnetwork records in memory what happens at its hosts: [`SubNetwork::trace`] returns it, to be
/// compared, or printed when the test fails ([`trace`](crate::trace)).
///
/// # Several subnetworks, several processes
///
/// For a second subnetwork on the same network, clone the [`config()`]. A process that the
/// test starts gets the name of the network, and uses [`open`](crate::open()). Both must reach
/// the registry: use `local:` or Redis.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let config = virtnet::testing::config()?.registry("local:");
/// let net = config.open().await?;
/// let node = std::process::Command::new("target/debug/node") // calls virtnet::open()
///     .env("VIRTNET_REGISTRY", "local:")
///     .env("VIRTNET_NETWORK", net.network())
///     .spawn()?;
/// # Ok(()) }
/// ```
///
/// With `local:`, the network's folder remains after the last process has left: some hundred
/// bytes in the user's runtime folder.
///
/// # Errors
///
/// Those of [`open`](crate::open()).
///
/// # Cancel safety
///
/// That of [`open`](crate::open()).
///
/// # Panics
///
/// Outside of a tokio runtime with time and I/O enabled.
pub async fn open() -> Result<SubNetwork, OpenError> {
    config()?.open().await
}

/// The configuration that [`open`] uses, for tests that change further settings: a network for
/// this test only, and otherwise [`Config::from_env`].
///
/// Every call returns a new network; all clones of one configuration have the same:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = virtnet::testing::config()?;
/// let (here, there) = (config.clone().open().await?, config.open().await?);
/// assert_eq!(here.network(), there.network());
/// # here.close().await?; there.close().await?;
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// Those of [`Config::from_env`].
pub fn config() -> Result<Config, SettingError> {
    Ok(own(Config::from_env()?, &test()).record(Recording::new()))
}

/// A file with the trace that a test expects, for [`Check::golden`](crate::trace::Check::golden): it is compared, or
/// written if `VIRTNET_GOLDEN` is `write`. A path that is not absolute begins at the package's folder, as tests
/// run there.
///
/// ```no_run
/// use virtnet::testing::golden;
/// use virtnet::trace::Trace;
///
/// # async fn example(net: virtnet::SubNetwork) -> Result<(), Box<dyn std::error::Error>> {
/// let trace = Trace::merge([net.trace()])?;
/// trace.check().golden(golden("tests/golden/election.txt")?).finish()?;
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// If `VIRTNET_GOLDEN` is neither `write` nor `compare`.
pub fn golden(path: impl Into<PathBuf>) -> Result<Golden, SettingError> {
    golden_by(env::var_os(GOLDEN), path.into())
}

fn golden_by(mode: Option<OsString>, path: PathBuf) -> Result<Golden, SettingError> {
    let mode = mode.unwrap_or_default();
    match mode.to_str() {
        Some("" | "compare") => Ok(Golden::compare(path)),
        Some("write") => Ok(Golden::write(path)),
        _ => {
            let problem = format!("expected compare or write, got {mode:?}");
            Err(SettingError::new(GOLDEN, None, problem))
        }
    }
}

/// The same settings with a new network.
fn own(mut config: Config, test: &str) -> Config {
    // The system seeds RandomState, and each one gives a different number.
    let bits = RandomState::new().build_hasher().finish();
    let (name, before) = match &*config.network.value {
        DEFAULT_NETWORK => (config.network.name, String::new()),
        network => (config.network.name, format!("{network}-")),
    };
    let limit = MAX_NAME.saturating_sub(before.len() + "-".len() + 16);
    let test = shortened(test, limit.min(MAX_TEST));
    let between = if test.is_empty() { "" } else { "-" };
    // Opening checks the name, and rejects one that is too long or invalid.
    config.network = Setting::new(name, format!("{before}{test}{between}{bits:016x}"));
    config
}

/// The name of the running test, or else of the program.
fn test() -> String {
    let thread = thread::current();
    // A runtime's threads, and the thread that runs all tests in turn, are not named after a test.
    match thread.name() {
        Some(name) if name != "main" && !name.starts_with("tokio-") => cleaned(name),
        _ => {
            let program = env::args_os().next().unwrap_or_default();
            let program = Path::new(&program).file_stem().unwrap_or_default();
            cleaned(without_hash(&program.to_string_lossy()))
        }
    }
}

/// Cargo names a test program after its file, with a hash.
fn without_hash(program: &str) -> &str {
    let hash = |end: &str| end.len() == 16 && end.bytes().all(|c| c.is_ascii_hexdigit());
    match program.rsplit_once('-') {
        Some((file, end)) if hash(end) => file,
        _ => program,
    }
}

/// Keeps only characters that are easy to read in error texts and in a shell: `net::it_works`
/// becomes `net-it_works`.
fn cleaned(name: &str) -> String {
    let kept = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
    let words = name.split(|c| !kept(c)).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

/// The last bytes of it, at most `limit`: they say more than the first ones.
fn shortened(name: &str, limit: usize) -> &str {
    let mut start = name.len().saturating_sub(limit);
    while !name.is_char_boundary(start) {
        start += 1;
    }
    &name[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_golden_file_is_written_on_request() {
        let by = |mode: &str| golden_by(Some(mode.into()), "a.txt".into());
        assert_eq!(
            golden_by(None, "a.txt".into()).unwrap(),
            Golden::compare("a.txt")
        );
        assert_eq!(by("compare").unwrap(), Golden::compare("a.txt"));
        assert_eq!(by("write").unwrap(), Golden::write("a.txt"));
        assert_eq!(
            by("yes").unwrap_err().to_string(),
            "VIRTNET_GOLDEN: expected compare or write, got \"yes\""
        );
    }

    fn named(network: &str, test: &str) -> String {
        own(Config::new(network), test).network.value
    }

    #[test]
    fn a_network_is_named_after_its_test_and_never_twice() {
        // As libtest names its threads, unless it runs the tests one by one.
        let thread = thread::Builder::new().name("net::it_works".to_owned());
        let test = thread.spawn(test).unwrap().join().unwrap();
        let here = "net-it_works";
        assert_eq!(test, here);
        let names = [(); 1000].map(|()| named(DEFAULT_NETWORK, &test));
        for (i, name) in names.iter().enumerate() {
            let bits = name.strip_prefix(here).unwrap().strip_prefix('-').unwrap();
            assert_eq!(bits.len(), 16, "{name}");
            assert!(bits.bytes().all(|c| c.is_ascii_hexdigit()), "{name}");
            assert!(!names[..i].contains(name), "{name}");
        }
    }

    #[test]
    fn what_is_set_goes_before_it_and_nothing_is_too_long() {
        assert!(named("ci-17", "a::b").starts_with("ci-17-a::b-"));
        let long = "α".repeat(MAX_NAME);
        for network in [DEFAULT_NETWORK, "ci", &"x".repeat(MAX_NAME - 17)] {
            for test in ["", "t", &long] {
                let name = named(network, test);
                assert!(name.len() <= MAX_NAME, "{name}");
                assert!(virtnet_core::check_network(&name).is_ok(), "{name}");
            }
        }
        // What can be no network's name is refused, and not cut.
        assert!(named(&long, "t").starts_with(&long));
    }

    #[test]
    fn names_read_well() {
        for (name, read) in [
            ("net::it_works", "net-it_works"),
            ("case [1]: α/β\n", "case-1-α-β"),
            ("::", ""),
        ] {
            assert_eq!(cleaned(name), read);
        }
        assert_eq!(without_hash("first-0123456789abcdef"), "first");
        assert_eq!(without_hash("first-test"), "first-test");
        assert_eq!(shortened("αβ", 3), "β");
    }
}
