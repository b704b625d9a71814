//! The options that all subcommands share, and the configuration they make.
//!
//! Owns which option takes the place of which variable. Never uses a setting.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use virtnet::{Addr, Config, DEFAULT_NETWORK};

use super::end::End;

#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct Options {
    /// Say on stderr what happens, and not only what is wrong; -vv for each dial, -vvv
    /// for all there is; RUST_LOG, as virtnet=debug, takes its place
    #[arg(long, short, global = true, action = clap::ArgAction::Count, help_heading = None)]
    verbose: u8,
    /// The network's full name [env: VIRTNET_NETWORK] [default: virtnet]
    #[arg(long, global = true, value_name = "NAME")]
    network: Option<String>,
    /// The registry's URL: local: for this user's processes on this machine, or
    /// local:/some/dir; redis://host:port,
    /// redis+sentinel://host:port,host:port/name or
    /// redis+cluster://host:port,host:port, with user:password@ before the hosts
    /// if need be; rediss in place of redis for TLS [env: VIRTNET_REGISTRY]
    /// [default: local:]
    #[arg(long, global = true, value_name = "URL")]
    registry: Option<String>,
    /// PEM file of the authorities to trust for the registry, in place of the
    /// system's [env: VIRTNET_REGISTRY_CA]
    #[arg(long, global = true, value_name = "FILE")]
    registry_ca: Option<PathBuf>,
    /// PEM file of a certificate to show to the registry [env:
    /// VIRTNET_REGISTRY_CERT]
    #[arg(long, global = true, value_name = "FILE")]
    registry_cert: Option<PathBuf>,
    /// PEM file of that certificate's key [env: VIRTNET_REGISTRY_KEY]
    #[arg(long, global = true, value_name = "FILE")]
    registry_key: Option<PathBuf>,
    /// For how long the names of a killed process stay taken [env:
    /// VIRTNET_LEASE] [default: 15]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    lease: Option<Duration>,
    /// The file with the members' secret [env: VIRTNET_SECRET_FILE, or
    /// VIRTNET_SECRET for the secret itself] [default: with local: the folder's]
    #[arg(long, global = true, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// The same, made by whoever comes first [env: VIRTNET_SECRET_INIT_FILE]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        conflicts_with = "secret_file"
    )]
    secret_init_file: Option<PathBuf>,
    /// The UDP address that each host binds; IP:FIRST-LAST for the lowest free
    /// port of a range [env: VIRTNET_BIND] [default: 0.0.0.0:0, with
    /// local: 127.0.0.1:0]
    #[arg(long, global = true, value_name = "IP:PORT")]
    bind: Option<String>,
    /// Where other machines reach this one: IP or name [env: VIRTNET_ADVERTISE]
    /// [default: the address by which it reaches the registry]
    #[arg(long, global = true, value_name = "HOST")]
    advertise: Option<String>,
    /// In place of a secret: PEM file of the authorities to trust [env:
    /// VIRTNET_CA]
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// In place of a secret: PEM file of the hosts' certificate [env:
    /// VIRTNET_CERT]
    #[arg(long, global = true, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// In place of a secret: PEM file of the certificate's key [env:
    /// VIRTNET_KEY]
    #[arg(long, global = true, value_name = "FILE")]
    key: Option<PathBuf>,
}

/// A variable that is set, and not to the empty string.
fn set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// An option's value that is a time.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "it is no number of seconds")?;
    Duration::try_from_secs_f64(seconds).map_err(|err| err.to_string())
}

const REGISTRY_IDENTITY: [&str; 2] = ["VIRTNET_REGISTRY_CERT", "VIRTNET_REGISTRY_KEY"];

const PROOFS: [&str; 6] = [
    "VIRTNET_SECRET",
    "VIRTNET_SECRET_FILE",
    "VIRTNET_SECRET_INIT_FILE",
    "VIRTNET_CA",
    "VIRTNET_CERT",
    "VIRTNET_KEY",
];

impl Options {
    pub(crate) fn verbose(&self) -> u8 {
        self.verbose
    }

    /// The configuration: the environment's, with the options in its place.
    pub(crate) fn config(&self) -> Result<Config, End> {
        Config::check_vars(std::env::vars_os())?;
        let mut config = Config::from_vars(|name| {
            let shown = self.registry_cert.is_some() || self.registry_key.is_some();
            let hidden = PROOFS.contains(&name) && self.proves()
                || REGISTRY_IDENTITY.contains(&name) && shown
                || name == "VIRTNET_LEASE" && self.lease.is_some();
            if hidden { None } else { std::env::var_os(name) }
        })?;
        if let Some(network) = &self.network {
            config = config.network(network);
        }
        if let Some(url) = &self.registry {
            config = config.registry(url);
        }
        config = self.registry_access(config)?;
        if let Some(addr) = &self.bind {
            config = config.bind(addr);
        }
        if let Some(host) = &self.advertise {
            config = config.advertise(host);
        }
        self.proof(config)
    }

    /// What proves membership.
    fn proof(&self, config: Config) -> Result<Config, End> {
        let pki = [&self.ca, &self.cert, &self.key];
        let given = pki.iter().filter(|file| file.is_some()).count();
        match (&self.secret_file, &self.secret_init_file, pki) {
            (Some(path), None, _) if given == 0 => Ok(config.secret_file(path)),
            (None, Some(path), _) if given == 0 => Ok(config.secret_init_file(path)),
            (None, None, [Some(ca), Some(cert), Some(key)]) => Ok(config.pki_files(ca, cert, key)),
            (None, None, _) if given == 0 => Ok(config),
            (None, None, _) => Err(misused("--ca, --cert and --key go together")),
            (Some(_), ..) => Err(misused(
                "--secret-file does not go together with --ca, --cert, --key",
            )),
            (None, Some(_), _) => Err(misused(
                "--secret-init-file does not go together with --ca, --cert, --key",
            )),
        }
    }

    /// How the registry is used, besides its URL.
    fn registry_access(&self, mut config: Config) -> Result<Config, End> {
        if let Some(file) = &self.registry_ca {
            config = config.registry_ca(file);
        }
        if let Some(lease) = self.lease {
            config = config.lease(lease);
        }
        match (&self.registry_cert, &self.registry_key) {
            (None, None) => Ok(config),
            (Some(certificate), Some(key)) => Ok(config.registry_cert(certificate, key)),
            _ => Err(misused("--registry-cert and --registry-key go together")),
        }
    }

    /// The same, for what makes no sense within one process.
    pub(crate) fn shared_config(&self) -> Result<Config, End> {
        const VARIABLE: &str = "VIRTNET_REGISTRY";
        let in_process = match &self.registry {
            Some(url) => url == "memory:",
            None => std::env::var_os(VARIABLE).is_some_and(|url| url == "memory:"),
        };
        if in_process {
            return Err(misused(
                "no other process reaches memory: give another registry with --registry or in \
                 VIRTNET_REGISTRY, as redis://127.0.0.1, or none for local:",
            ));
        }
        let config = self.config()?;
        // A command that another one is to meet; the library's default is alone.
        Ok(match self.registry.is_none() && !set(VARIABLE) {
            true => config.registry("local:"),
            false => config,
        })
    }

    /// The network's name, which can be one.
    pub(crate) fn network(&self) -> Result<String, End> {
        const VARIABLE: &str = "VIRTNET_NETWORK";
        Config::check_vars(std::env::vars_os())?;
        let (from, network) = match &self.network {
            Some(network) => ("network", network.clone()),
            None if !set(VARIABLE) => ("network", DEFAULT_NETWORK.to_owned()),
            None => match std::env::var(VARIABLE) {
                Ok(network) => (VARIABLE, network),
                Err(err) => return Err(End::Misused(format!("{VARIABLE}: {err}"))),
            },
        };
        match Addr::new(&*network, "host", 0) {
            Ok(_) => Ok(network),
            Err(err) => Err(End::Misused(format!("{from}: {err}"))),
        }
    }

    pub(crate) fn names_network(&self) -> bool {
        self.network.is_some() || set("VIRTNET_NETWORK")
    }

    /// Whether a proof of membership is given, by option or variable.
    pub(crate) fn has_proof(&self) -> bool {
        self.proves() || PROOFS.into_iter().any(set)
    }

    pub(crate) fn names_place(&self) -> bool {
        self.bind.is_some()
            || self.advertise.is_some()
            || set("VIRTNET_BIND")
            || set("VIRTNET_ADVERTISE")
    }

    fn proves(&self) -> bool {
        self.secret_file.is_some()
            || self.secret_init_file.is_some()
            || self.ca.is_some()
            || self.cert.is_some()
            || self.key.is_some()
    }
}

fn misused(line: &str) -> End {
    End::Misused(line.to_owned())
}
