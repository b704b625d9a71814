//! Opening: a configuration becomes a subnetwork.
//!
//! Owns the checks of settings, their defaults, and [`OpenError`]. Never reads a
//! `VIRTNET_` variable and never opens a socket: it combines registry and engine.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use virtnet_core::{Addr, Cause, Failure, OpError, RegistryError, SubNetwork};

use crate::Config;
use crate::bind::Bind;
use crate::config::Proof;
use crate::quic::{Identity, QuicConfig, Secret, SecretError};
use crate::registries::RegistryUrl;
use crate::route::{Family, Home, Route};
use crate::setting::{Setting, SettingError};

/// Why a network could not be opened or observed.
///
/// Its text is that of the error it contains, which is also its source.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A setting is missing or invalid.
    #[error("{0}")]
    Setting(#[from] SettingError),
    /// The registry cannot be reached, or refused.
    #[error("{0}")]
    Registry(#[from] RegistryError),
    /// The engine cannot work with its settings.
    #[error("{0}")]
    Engine(#[source] Failure),
    /// [`Observer::wait_for_hosts`](crate::Observer::wait_for_hosts) failed.
    #[error("{0}")]
    Wait(#[source] OpError),
}

impl fmt::Debug for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            return virtnet_core::report(self, f);
        }
        let (variant, inner): (_, &dyn fmt::Debug) = match self {
            OpenError::Setting(err) => ("Setting", err),
            OpenError::Registry(err) => ("Registry", err),
            OpenError::Engine(failure) => ("Engine", failure),
            OpenError::Wait(err) => ("Wait", err),
        };
        f.debug_tuple(variant).field(inner).finish()
    }
}

impl From<OpenError> for io::Error {
    fn from(err: OpenError) -> io::Error {
        let kind = match &err {
            OpenError::Setting(_) => io::ErrorKind::InvalidInput,
            OpenError::Registry(err) => err.cause().kind(),
            OpenError::Engine(failure) => failure.cause().kind(),
            OpenError::Wait(err) => err.cause().kind(),
        };
        io::Error::new(kind, err)
    }
}

impl Config {
    /// Opens the network: checks the settings, connects to the registry, and prepares the
    /// engine. The result is this process's part of the network.
    ///
    /// # Errors
    ///
    /// An [`OpenError`] that names the setting that is invalid, or the registry that cannot be
    /// reached.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with time and I/O enabled.
    pub async fn open(self) -> Result<SubNetwork, OpenError> {
        let network = self.checked_network()?;
        // Everything that needs no registry is checked first: a server that is slow to
        // fail must not hide a missing secret.
        let url = self.registry_url()?;
        self.check_logs()?;
        self.check_silence()?;
        let given = self.identity()?;
        if given.is_none() && !url.has_secret() {
            return Err(self.no_secret().into());
        }
        let bind = self.bound(&url)?;
        let home = Arc::new(Home::new(self.access.clone()));
        #[cfg_attr(not(feature = "redis"), allow(unused_mut))]
        let mut access = self.access.clone();
        #[cfg(feature = "redis")]
        {
            let lease = self.silence.as_ref().map(|silence| silence.value * 3 / 2);
            access.lease = access.lease.or(lease);
            access.home = Some(home.clone());
        }
        let mut opened = url.open(network, &access).await?;
        let identity = opened.identity(given);
        let identity = identity.map_err(|err| self.registry.refuse(err))?;
        let identity = identity.ok_or_else(|| self.no_secret())?;
        let registry = opened.marked(network, &self.registry.value, Some(&identity));

        let (bind, place) = self.place(bind, &url).await?;
        let mut quic = QuicConfig::new(identity)
            .bind_range(bind.first, bind.last)
            .key_log(self.key_log.value);
        if let Some(dir) = &self.qlog {
            quic = quic.qlog(&dir.value);
        }
        if let Some(place) = place {
            quic = quic.advertise(place.to_string());
            if let Place::Found(route) = place {
                home.found(route);
            }
        }
        if let Some(silence) = &self.silence {
            let part = silence.value * 3 / 10;
            quic = quic
                .idle_timeout(silence.value)
                .keep_alive(part)
                .dial_timeout(part)
                .handshake_timeout(part)
                .drain_timeout(silence.value / 2);
        }
        if let Some(tune) = &self.tune {
            quic = tune(quic);
        }
        let prepared = quic
            .prepare(network)
            .map_err(|failure| self.blame(failure))?;
        let subnet =
            SubNetwork::with_limits(network, self.limits, Arc::new(registry), |notifier| {
                prepared.start(notifier)
            });
        let subnet = subnet.map_err(|err| self.network.refuse(err))?;
        if let Err(err) = self.start_recording(&subnet) {
            // It has no hosts: what its close reports is no news.
            drop(subnet.close().await);
            return Err(err.into());
        }
        Ok(subnet)
    }

    /// Records from the beginning, if that is asked for.
    fn start_recording(&self, subnet: &SubNetwork) -> Result<(), SettingError> {
        let (mut recording, mut setting) = (self.recording.clone(), "record");
        if let Some(name) = self.trace_live {
            recording = Some(recording.unwrap_or_default().live());
            setting = name;
        }
        if let Some(dir) = &self.trace {
            recording = Some(recording.unwrap_or_default().dir(&dir.value));
            setting = dir.name;
        }
        let Some(recording) = recording else {
            return Ok(());
        };
        let started = subnet.record_with(&recording);
        let path = started.map_err(|err| SettingError::new(setting, None, err))?;
        if let Some(path) = path {
            tracing::info!(file = %path.display(), "tracing to a file");
        }
        Ok(())
    }

    pub(crate) fn checked_network(&self) -> Result<&str, SettingError> {
        let network = &*self.network.value;
        // Any valid hostname will do: this checks the network's name.
        match Addr::new(network, "host", 0) {
            Ok(_) => Ok(network),
            Err(err) => Err(SettingError::new(self.network.name, None, err)),
        }
    }

    /// The registry, and whether it would take the lease.
    pub(crate) fn registry_url(&self) -> Result<RegistryUrl, SettingError> {
        const SHORTEST: Duration = Duration::from_millis(100);
        const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
        let url = RegistryUrl::parse(&self.registry)?;
        match self.access.lease {
            // Only a server has leases.
            Some(lease) if url.server().is_some() && !(SHORTEST..=LONGEST).contains(&lease) => {
                let what = format!("expected from 100 ms to a day, got {lease:?}");
                Err(SettingError::new("lease", None, what))
            }
            _ => Ok(url),
        }
    }

    /// The identity that is set, if one is.
    pub(crate) fn identity(&self) -> Result<Option<Identity>, SettingError> {
        Ok(match &self.proof {
            None => None,
            Some(Proof::Secret(secret)) => Some(Identity::secret(secret.clone())),
            Some(Proof::SecretFile(path)) => Some(secret(path, Secret::from_file)?),
            Some(Proof::SecretInitFile(path)) => Some(secret(path, Secret::from_file_or_new)?),
            Some(Proof::PkiFiles(name, [authorities, chain, key])) => {
                let identity = Identity::pki_files(authorities, chain, key);
                Some(identity.map_err(|err| SettingError::new(*name, None, err))?)
            }
        })
    }

    fn check_silence(&self) -> Result<(), SettingError> {
        const SHORTEST: Duration = Duration::from_millis(500);
        const LONGEST: Duration = Duration::from_secs(60 * 60);
        match &self.silence {
            Some(silence) if !(SHORTEST..=LONGEST).contains(&silence.value) => {
                let what = format!("expected from 500 ms to an hour, got {:?}", silence.value);
                Err(SettingError::new(silence.name, None, what))
            }
            _ => Ok(()),
        }
    }

    /// Rejects settings of logs that could not be written.
    fn check_logs(&self) -> Result<(), SettingError> {
        if self.key_log.value {
            self.check_key_log()?;
        }
        match &self.qlog {
            Some(dir) if !cfg!(feature = "qlog") => {
                let what = "this program was built without virtnet's feature `qlog`";
                let shown = dir.value.to_string_lossy();
                Err(SettingError::new(dir.name, Some(&shown), what))
            }
            _ => Ok(()),
        }
    }

    /// rustls ignores it silently if it cannot write the keys.
    fn check_key_log(&self) -> Result<(), SettingError> {
        const VARIABLE: &str = "SSLKEYLOGFILE";
        let Some(path) = std::env::var_os(VARIABLE) else {
            let what = format!(
                "expected {VARIABLE} in the environment to name the file, but it is not set"
            );
            return Err(SettingError::new(self.key_log.name, None, what));
        };
        let mut options = std::fs::OpenOptions::new();
        let opened = options.append(true).create(true).open(&path);
        opened.map(drop).map_err(|err| {
            let what = format!("{VARIABLE} {path:?} cannot be written: {err}");
            SettingError::new(self.key_log.name, None, what)
        })
    }

    fn no_secret(&self) -> SettingError {
        let what = "not set, but members prove with it who they are: create one with `virtnet \
                    keygen`, and give it to every process of the network in VIRTNET_SECRET, or \
                    in a file that VIRTNET_SECRET_FILE names; or set VIRTNET_SECRET_INIT_FILE \
                    to a file that the first process creates";
        SettingError::new("secret", None, what)
    }

    fn bound(&self, url: &RegistryUrl) -> Result<Bind, SettingError> {
        if let Some(bind) = &self.bind {
            return bind.parse();
        }
        let ip: IpAddr = match (self.advertised_ip(), &self.advertise, url.server()) {
            (Some(IpAddr::V6(_)), ..) => Ipv6Addr::UNSPECIFIED.into(),
            (None, None, None) => Ipv4Addr::LOCALHOST.into(),
            _ => Ipv4Addr::UNSPECIFIED.into(),
        };
        Ok(Bind::any_port(ip))
    }

    /// The advertised IP address, if it decides what to bind by default.
    fn advertised_ip(&self) -> Option<IpAddr> {
        let place = &self.advertise.as_ref()?.value;
        let addr = place.parse().map(|addr: SocketAddr| addr.ip());
        addr.or_else(|_| place.parse()).ok()
    }

    /// The address to bind, and the one to advertise in place of it.
    async fn place(
        &self,
        bind: Bind,
        url: &RegistryUrl,
    ) -> Result<(Bind, Option<Place>), SettingError> {
        if let Some(place) = &self.advertise {
            return Ok((bind, Some(Place::Set(place.value.clone()))));
        }
        let bound = bind.first;
        if !bound.ip().is_unspecified() {
            return Ok((bind, None));
        }
        let Some((host, port)) = url.server() else {
            // All members are on this machine.
            let loopback = if bound.is_ipv4() { "127.0.0.1" } else { "::1" };
            return Ok((bind, Some(Place::Set(loopback.to_owned()))));
        };
        // A socket bound to all IPv6 addresses serves IPv4, too.
        let family = if bound.is_ipv6() {
            Family::Any
        } else {
            Family::V4
        };
        let why = match Route::find(host, port, family).await {
            Ok(route) => return Ok((bind, Some(Place::Found(route)))),
            Err(err) => err,
        };
        if self.bind.is_none()
            && let Ok(route) = Route::find(host, port, Family::V6).await
        {
            let bind = Bind::any_port(Ipv6Addr::UNSPECIFIED);
            return Ok((bind, Some(Place::Found(route))));
        }
        let what = format!(
            "not set, and this machine's address towards {host} cannot be determined: {why}; \
             set VIRTNET_ADVERTISE"
        );
        Err(SettingError::new("advertise", None, what))
    }

    /// Names the setting that the engine rejects.
    fn blame(&self, failure: Failure) -> OpenError {
        match &self.advertise {
            Some(place) if failure.cause() == Cause::InvalidAddr => {
                SettingError::new(place.name, None, failure).into()
            }
            _ => OpenError::Engine(failure),
        }
    }
}

/// The advertised address.
enum Place {
    /// A fixed address.
    Set(String),
    /// The local address of the route to the registry, which may change.
    Found(Route),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Set(place) => f.write_str(place),
            Place::Found(route) => route.ip().fmt(f),
        }
    }
}

/// The identity by the secret in a file, which `read` reads.
fn secret(
    path: &Setting<PathBuf>,
    read: impl FnOnce(PathBuf) -> Result<Secret, SecretError>,
) -> Result<Identity, SettingError> {
    let secret = read(path.value.clone());
    let refuse = |err| SettingError::new(path.name, None, err);
    Ok(Identity::secret(secret.map_err(refuse)?))
}

#[cfg(all(test, feature = "redis"))]
#[path = "open_tests.rs"]
mod tests;
