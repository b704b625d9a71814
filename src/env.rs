//! The environment: which variable is which setting.
//!
//! Owns [`Config::from_env`] and [`open`]. Never adds a setting of its own: each variable
//! does the same as a method of [`Config`].

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use virtnet_core::SubNetwork;

use crate::config::{DEFAULT_NETWORK, Proof};
use crate::setting::{Setting, SettingError};
use crate::vars::{
    ADVERTISE, BIND, CA, CERT, KEY, KEYLOG, LEASE, NETWORK, QLOG, REGISTRY, REGISTRY_CA,
    REGISTRY_CERT, REGISTRY_KEY, SECRET, SECRET_FILE, SECRET_INIT_FILE, SILENCE, TRACE,
};
use crate::{Config, OpenError};

/// Opens the network that the environment names: [`Config::from_env`], then
/// [`Config::open`].
///
/// With no variable set, this is the network [`DEFAULT_NETWORK`] within this process. Two
/// variables make it a network across machines.
///
/// Use it in programs that are started to meet others. Two tests that use it get the same
/// network, and disturb each other: tests use [`testing::open`](crate::testing::open).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let subnet = virtnet::open().await?;
/// # subnet.close().await?;
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// An [`OpenError`] that names the variable that is invalid, or the registry that cannot be
/// reached.
///
/// # Cancel safety
///
/// Dropping the future leaves nothing behind, except a DNS query in progress: its thread
/// waits for the answer, and dropping the runtime waits for its threads. A program that must
/// end at once, even without a network, ends its runtime with `shutdown_background`.
///
/// # Panics
///
/// Outside of a tokio runtime with time and I/O enabled.
pub async fn open() -> Result<SubNetwork, OpenError> {
    Config::from_env()?.open().await
}

impl Config {
    /// Reads the settings from the environment.
    ///
    /// | variable | setting |
    /// |---|---|
    /// | `VIRTNET_NETWORK` | [`network`](Config::network), by default [`DEFAULT_NETWORK`] |
    /// | `VIRTNET_REGISTRY` | [`registry`](Config::registry), by default [`DEFAULT_REGISTRY`](crate::DEFAULT_REGISTRY) |
    /// | `VIRTNET_REGISTRY_CA` | [`registry_ca`](Config::registry_ca) |
    /// | `VIRTNET_REGISTRY_CERT`, `VIRTNET_REGISTRY_KEY` | [`registry_cert`](Config::registry_cert) |
    /// | `VIRTNET_LEASE` | [`lease`](Config::lease), in seconds |
    /// | `VIRTNET_SILENCE` | [`silence`](Config::silence), in seconds |
    /// | `VIRTNET_SECRET` | [`secret`](Config::secret) |
    /// | `VIRTNET_SECRET_FILE` | [`secret_file`](Config::secret_file) |
    /// | `VIRTNET_SECRET_INIT_FILE` | [`secret_init_file`](Config::secret_init_file) |
    /// | `VIRTNET_CA`, `VIRTNET_CERT`, `VIRTNET_KEY` | [`pki_files`](Config::pki_files) |
    /// | `VIRTNET_BIND` | [`bind`](Config::bind) |
    /// | `VIRTNET_ADVERTISE` | [`advertise`](Config::advertise) |
    /// | `VIRTNET_KEYLOG` | [`key_log`](Config::key_log): `yes` or `no`, by default no |
    /// | `VIRTNET_QLOG` | [`qlog`](Config::qlog) |
    /// | `VIRTNET_TRACE` | [`trace`](Config::trace), or with the value `live`, [`trace_live`](Config::trace_live) |
    ///
    /// An empty variable counts as not set. Set one proof of membership: a secret, a file with
    /// a secret, or all three files of a PKI. Names that begin with `VIRTNET_` are virtnet's:
    /// any other than these is an error ([`check_vars`](Config::check_vars)). Give variables
    /// of your own other names, or names that begin with `VIRTNET_TEST_`.
    ///
    /// # Errors
    ///
    /// A [`SettingError`] that names the variable: for an unknown variable, text that is not
    /// UTF-8, an invalid secret, a lease or a silence that is not a number, a value other than `yes` or
    /// `no` where one of these is expected, several proofs, or an incomplete one.
    pub fn from_env() -> Result<Config, SettingError> {
        Config::check_vars(env::vars_os())?;
        Config::from_vars(env::var_os)
    }

    /// Reads the settings from variables that `lookup` returns, in place of the environment.
    ///
    /// ```
    /// let config = virtnet::Config::from_vars(|name| match name {
    ///     "VIRTNET_NETWORK" => Some("quicα".into()),
    ///     _ => None,
    /// })?;
    /// # Ok::<(), virtnet::SettingError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`from_env`](Config::from_env), except that unknown variables are not noticed.
    pub fn from_vars(
        lookup: impl Fn(&'static str) -> Option<OsString>,
    ) -> Result<Config, SettingError> {
        let vars = Vars(lookup);
        let mut config = Config::new(DEFAULT_NETWORK);
        if let Some(network) = vars.text(NETWORK)? {
            config.network = network;
        }
        if let Some(registry) = vars.text(REGISTRY)? {
            config.registry = registry;
        }
        config.access.ca = vars.get(REGISTRY_CA).map(PathBuf::from);
        config.access.identity = vars.registry_identity()?;
        config.access.lease = vars.seconds(LEASE)?;
        let silence = vars.seconds(SILENCE)?;
        config.silence = silence.map(|silence| Setting::new(SILENCE, silence));
        config.proof = vars.proof()?;
        config.bind = vars.text(BIND)?;
        config.advertise = vars.text(ADVERTISE)?;
        config.key_log = Setting::new(KEYLOG, vars.yes(KEYLOG)?);
        config.qlog = vars.get(QLOG).map(|dir| Setting::new(QLOG, dir.into()));
        match vars.get(TRACE) {
            Some(word) if word == LIVE => config.trace_live = Some(TRACE),
            dir => config.trace = dir.map(|dir| Setting::new(TRACE, dir.into())),
        }
        Ok(config)
    }
}

/// The value of `VIRTNET_TRACE` that is no folder.
const LIVE: &str = "live";

struct Vars<F>(F);

impl<F: Fn(&'static str) -> Option<OsString>> Vars<F> {
    fn get(&self, name: &'static str) -> Option<OsString> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &'static str) -> Result<Option<Setting>, SettingError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match value.into_string() {
            Ok(value) => Ok(Some(Setting::new(name, value))),
            // Not shown: it may contain a secret or a password.
            Err(_) => Err(SettingError::new(name, None, "expected UTF-8")),
        }
    }

    fn seconds(&self, name: &'static str) -> Result<Option<Duration>, SettingError> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let seconds = text.value.parse().map(Duration::try_from_secs_f64);
        match seconds {
            Ok(Ok(time)) => Ok(Some(time)),
            _ => Err(text.refuse("expected a number of seconds such as 15 or 0.5")),
        }
    }

    fn yes(&self, name: &'static str) -> Result<bool, SettingError> {
        match self.text(name)? {
            None => Ok(false),
            Some(text) => match &*text.value {
                "yes" => Ok(true),
                "no" => Ok(false),
                _ => Err(text.refuse("expected yes or no")),
            },
        }
    }

    fn registry_identity(&self) -> Result<Option<(PathBuf, PathBuf)>, SettingError> {
        let file = |name| self.get(name).map(PathBuf::from);
        let missing = match (file(REGISTRY_CERT), file(REGISTRY_KEY)) {
            (None, None) => return Ok(None),
            (Some(certificate), Some(key)) => return Ok(Some((certificate, key))),
            (Some(_), None) => REGISTRY_KEY,
            (None, Some(_)) => REGISTRY_CERT,
        };
        let what =
            format!("it is not set, but {REGISTRY_CERT} and {REGISTRY_KEY} must be set together");
        Err(SettingError::new(missing, None, what))
    }

    fn proof(&self) -> Result<Option<Proof>, SettingError> {
        let files = [CA, CERT, KEY].map(|name| (name, self.get(name).map(PathBuf::from)));
        let given = files.iter().find(|(_, file)| file.is_some());
        let proofs = [SECRET, SECRET_FILE, SECRET_INIT_FILE].map(|name| (name, self.get(name)));
        let proofs = proofs.iter().filter(|(_, value)| value.is_some());
        let mut names = proofs
            .map(|(name, _)| *name)
            .chain(given.map(|(name, _)| *name));
        if let (Some(one), Some(other)) = (names.next(), names.next()) {
            let what = format!("{other} is set as well: expected one proof of membership");
            return Err(SettingError::new(one, None, what));
        }
        if let Some(secret) = self.text(SECRET)? {
            let refuse = |err| SettingError::new(SECRET, None, err);
            return Ok(Some(Proof::Secret(secret.value.parse().map_err(refuse)?)));
        }
        if let Some(path) = self.get(SECRET_FILE) {
            let path = Setting::new(SECRET_FILE, PathBuf::from(path));
            return Ok(Some(Proof::SecretFile(path)));
        }
        if let Some(path) = self.get(SECRET_INIT_FILE) {
            let path = Setting::new(SECRET_INIT_FILE, PathBuf::from(path));
            return Ok(Some(Proof::SecretInitFile(path)));
        }
        if given.is_none() {
            return Ok(None);
        }
        match files {
            [(_, Some(ca)), (_, Some(cert)), (_, Some(key))] => {
                Ok(Some(Proof::PkiFiles(CA, [ca, cert, key])))
            }
            files => {
                let missing = files.into_iter().find(|(_, file)| file.is_none());
                let what =
                    format!("it is not set, but {CA}, {CERT} and {KEY} must be set together");
                Err(SettingError::new(
                    missing.map_or(CA, |(name, _)| name),
                    None,
                    what,
                ))
            }
        }
    }
}

#[cfg(test)]
#[path = "env_tests.rs"]
mod tests;
