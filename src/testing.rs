//! Networks for tests: each test has one of its own.
//!
//! Owns the names of such networks. Never reads or means anything by a setting that
//! [`open`](crate::open) does not, but for the network's name.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::{env, thread};

use crate::config::DEFAULT_NETWORK;
use crate::setting::{Setting, SettingError};
use crate::{Config, MAX_NAME, OpenError, SubNetwork};

/// How much of a test's name its network has, in bytes.
const MAX_TEST: usize = 80;

/// Joins a network of this test's own: no other call, in this process, another one or on
/// another machine, gives the same.
///
/// All else is as with [`open`](crate::open): the environment says where the registry is, and
/// with nothing set the network is within this process. So tests that run side by side
/// never meet, may all call their hosts `α`, and run over Redis as they are. Nor does one trip
/// over names that a test left that was killed.
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
/// It is [`network()`](SubNetwork::network) of what this returns, which is what a text to
/// compare an error with is made of. It has the name of the test, as far as the thread knows
/// it, else the program's, and 64 random bits. `VIRTNET_NETWORK` goes before it, if that is set:
/// `ci-17` becomes `ci-17-`*test*`-`*bits*, so that `VIRTNET_NETWORK` tells the runs of a shared
/// Redis apart, and no two tests are made to meet by it.
///
/// # Several subnetworks, several processes
///
/// A second subnetwork on the same network comes of a clone of the [`config()`]. A
/// process that the test starts joins it with [`open`](crate::open), given the name; the
/// registry must be one that both reach, `local:` or Redis:
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
/// With `local:` the network's folder stays when all have left, some hundred bytes in the
/// user's folder for running programs.
///
/// # Errors
///
/// As of [`open`](crate::open).
///
/// # Cancel safety
///
/// As of [`open`](crate::open).
///
/// # Panics
///
/// Outside of a tokio runtime with time and I/O enabled.
pub async fn open() -> Result<SubNetwork, OpenError> {
    config()?.open().await
}

/// The configuration that [`open`] joins with, for tests that set more: a network of this
/// test's own, and otherwise [`Config::from_env`].
///
/// Every call gives another network; every clone of one configuration the same:
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
/// As of [`Config::from_env`].
pub fn config() -> Result<Config, SettingError> {
    Ok(own(Config::from_env()?, &test()))
}

/// The same settings on a network of its own.
fn own(mut config: Config, test: &str) -> Config {
    // RandomState is seeded by the system, and gives another number each time.
    let bits = RandomState::new().build_hasher().finish();
    let (name, before) = match &*config.network.value {
        DEFAULT_NETWORK => (config.network.name, String::new()),
        network => (config.network.name, format!("{network}-")),
    };
    let room = MAX_NAME.saturating_sub(before.len() + "-".len() + 16);
    let test = shortened(test, room.min(MAX_TEST));
    let between = if test.is_empty() { "" } else { "-" };
    // One that is too long for a name, or can't be in one, is refused as it is on joining.
    config.network = Setting::new(name, format!("{before}{test}{between}{bits:016x}"));
    config
}

/// The name of the test that runs, or of the program.
fn test() -> String {
    let thread = thread::current();
    // The threads of a runtime, and the one that runs tests one by one, have names of their own.
    match thread.name() {
        Some(name) if name != "main" && !name.starts_with("tokio-") => cleaned(name),
        _ => {
            let program = env::args_os().next().unwrap_or_default();
            let program = Path::new(&program).file_stem().unwrap_or_default();
            cleaned(without_hash(&program.to_string_lossy()))
        }
    }
}

/// Cargo names a test's program by its file and a hash.
fn without_hash(program: &str) -> &str {
    let hash = |end: &str| end.len() == 16 && end.bytes().all(|c| c.is_ascii_hexdigit());
    match program.rsplit_once('-') {
        Some((file, end)) if hash(end) => file,
        _ => program,
    }
}

/// Only what reads well in a name, in error texts and in a shell: `net::it_works` becomes
/// `net-it_works`.
fn cleaned(name: &str) -> String {
    let kept = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
    let words = name.split(|c| !kept(c)).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

/// The end of it, which tells more than the beginning, in `room` bytes.
fn shortened(name: &str, room: usize) -> &str {
    let mut start = name.len().saturating_sub(room);
    while !name.is_char_boundary(start) {
        start += 1;
    }
    &name[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

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
