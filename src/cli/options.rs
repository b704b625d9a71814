//! The options that all subcommands share, and the configuration they make.
//!
//! Owns which option overrides which variable. Never uses a setting.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use virtnet::{Addr, Config, DEFAULT_NETWORK};

use super::exit::Exit;

#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct Options {
    /// Log more to stderr: -v for hosts, -vv for every dial, -vvv for everything;
    /// RUST_LOG, such as virtnet=debug, overrides it
    #[arg(long, short, global = true, action = clap::ArgAction::Count, help_heading = None)]
    verbose: u8,
    /// The network's name [env: VIRTNET_NETWORK] [default: virtnet]
    #[arg(long, global = true, value_name = "NAME")]
    network: Option<String>,
    /// The registry's URL: local: for processes of this user on this machine, or
    /// local:/some/dir; redis://host:port, redis+sentinel://host:port,host:port/name
    /// or redis+cluster://host:port,host:port. Put user:password@ before the hosts if
    /// the server requires it. Use rediss instead of redis for TLS [env:
    /// VIRTNET_REGISTRY] [default: local:]
    #[arg(long, global = true, value_name = "URL")]
    registry: Option<String>,
    /// PEM file of the certificate authorities to trust for the registry, instead of
    /// the system's [env: VIRTNET_REGISTRY_CA]
    #[arg(long, global = true, value_name = "FILE")]
    registry_ca: Option<PathBuf>,
    /// PEM file of the client certificate for the registry [env:
    /// VIRTNET_REGISTRY_CERT]
    #[arg(long, global = true, value_name = "FILE")]
    registry_cert: Option<PathBuf>,
    /// PEM file of the private key of --registry-cert [env: VIRTNET_REGISTRY_KEY]
    #[arg(long, global = true, value_name = "FILE")]
    registry_key: Option<PathBuf>,
    /// How long the names of a killed process stay registered, with Redis [env:
    /// VIRTNET_LEASE] [default: 15]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    lease: Option<Duration>,
    /// How long a peer may be silent until it counts as lost; other time limits follow in
    /// proportion [env: VIRTNET_SILENCE] [default: 10]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    silence: Option<Duration>,
    /// The file with the network's secret [env: VIRTNET_SECRET_FILE, or VIRTNET_SECRET
    /// for the secret itself] [default: with local: the secret in that folder]
    #[arg(long, global = true, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Like --secret-file, but create the file with a new secret if it is missing [env:
    /// VIRTNET_SECRET_INIT_FILE]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        conflicts_with = "secret_file"
    )]
    secret_init_file: Option<PathBuf>,
    /// The UDP address that each host binds; IP:FIRST-LAST for the lowest free port of
    /// a range [env: VIRTNET_BIND] [default: 0.0.0.0:0, or 127.0.0.1:0 with local:]
    #[arg(long, global = true, value_name = "IP:PORT")]
    bind: Option<String>,
    /// The IP address or name at which other machines reach this one [env:
    /// VIRTNET_ADVERTISE] [default: this machine's address on the route to the registry]
    #[arg(long, global = true, value_name = "HOST")]
    advertise: Option<String>,
    /// PEM file of the certificate authorities to trust for hosts, instead of a secret
    /// [env: VIRTNET_CA]
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// PEM file of the hosts' certificate, instead of a secret [env: VIRTNET_CERT]
    #[arg(long, global = true, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// PEM file of the private key of --cert, instead of a secret [env: VIRTNET_KEY]
    #[arg(long, global = true, value_name = "FILE")]
    key: Option<PathBuf>,
}

/// Whether the variable is set to something other than the empty string.
fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// Parses an option's value as a number of seconds.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    const EXPECTED: &str = "expected a number of seconds such as 15 or 0.5";
    let seconds: f64 = text.parse().map_err(|_| EXPECTED)?;
    Duration::try_from_secs_f64(seconds).map_err(|err| format!("{EXPECTED}: {err}"))
}

const REGISTRY_IDENTITY: [&str; 2] = ["VIRTNET_REGISTRY_CERT", "VIRTNET_REGISTRY_KEY"];

const CREDENTIALS: [&str; 6] = [
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

    /// The configuration: the variables' settings, overridden by the options.
    pub(crate) fn config(&self) -> Result<Config, Exit> {
        Config::check_vars(std::env::vars_os())?;
        let mut config = Config::from_vars(|name| {
            let shown = self.registry_cert.is_some() || self.registry_key.is_some();
            let hidden = CREDENTIALS.contains(&name) && self.sets_credentials()
                || REGISTRY_IDENTITY.contains(&name) && shown
                || name == "VIRTNET_LEASE" && self.lease.is_some()
                || name == "VIRTNET_SILENCE" && self.silence.is_some();
            if hidden { None } else { std::env::var_os(name) }
        })?;
        if let Some(network) = &self.network {
            config = config.network(network);
        }
        if let Some(url) = &self.registry {
            config = config.registry(url);
        }
        config = self.registry_access(config)?;
        if let Some(silence) = self.silence {
            config = config.silence(silence);
        }
        if let Some(addr) = &self.bind {
            config = config.bind(addr);
        }
        if let Some(host) = &self.advertise {
            config = config.advertise(host);
        }
        self.credentials(config)
    }

    /// Sets the secret or the certificates.
    fn credentials(&self, config: Config) -> Result<Config, Exit> {
        let pki = [&self.ca, &self.cert, &self.key];
        let given = pki.iter().filter(|file| file.is_some()).count();
        match (&self.secret_file, &self.secret_init_file, pki) {
            (Some(path), None, _) if given == 0 => Ok(config.secret_file(path)),
            (None, Some(path), _) if given == 0 => Ok(config.secret_init_file(path)),
            (None, None, [Some(ca), Some(cert), Some(key)]) => Ok(config.pki_files(ca, cert, key)),
            (None, None, _) if given == 0 => Ok(config),
            (None, None, _) => Err(usage_error("--ca, --cert and --key must be given together")),
            (Some(_), ..) => Err(usage_error(
                "--secret-file cannot be used with --ca, --cert or --key",
            )),
            (None, Some(_), _) => Err(usage_error(
                "--secret-init-file cannot be used with --ca, --cert or --key",
            )),
        }
    }

    /// Sets how to use the registry, except its URL.
    fn registry_access(&self, mut config: Config) -> Result<Config, Exit> {
        if let Some(file) = &self.registry_ca {
            config = config.registry_ca(file);
        }
        if let Some(lease) = self.lease {
            config = config.lease(lease);
        }
        match (&self.registry_cert, &self.registry_key) {
            (None, None) => Ok(config),
            (Some(certificate), Some(key)) => Ok(config.registry_cert(certificate, key)),
            _ => Err(usage_error(
                "--registry-cert and --registry-key must be given together",
            )),
        }
    }

    /// The configuration for a subcommand that needs other processes.
    pub(crate) fn shared_config(&self) -> Result<Config, Exit> {
        const VARIABLE: &str = "VIRTNET_REGISTRY";
        let in_process = match &self.registry {
            Some(url) => url == "memory:",
            None => std::env::var_os(VARIABLE).is_some_and(|url| url == "memory:"),
        };
        if in_process {
            return Err(usage_error(
                "expected a registry that other processes can reach, got memory: (pass \
                 --registry or set VIRTNET_REGISTRY, for example to redis://127.0.0.1; the \
                 default is local:)",
            ));
        }
        let config = self.config()?;
        // The library's default registry is in memory, which no other process can reach.
        Ok(match self.registry.is_none() && !is_set(VARIABLE) {
            true => config.registry("local:"),
            false => config,
        })
    }

    /// The network's name, checked.
    pub(crate) fn network(&self) -> Result<String, Exit> {
        const VARIABLE: &str = "VIRTNET_NETWORK";
        Config::check_vars(std::env::vars_os())?;
        let (from, network) = match &self.network {
            Some(network) => ("network", network.clone()),
            None if !is_set(VARIABLE) => ("network", DEFAULT_NETWORK.to_owned()),
            None => match std::env::var(VARIABLE) {
                Ok(network) => (VARIABLE, network),
                Err(err) => return Err(Exit::Usage(format!("{VARIABLE}: {err}"))),
            },
        };
        match Addr::new(&*network, "host", 0) {
            Ok(_) => Ok(network),
            Err(err) => Err(Exit::Usage(format!("{from}: {err}"))),
        }
    }

    pub(crate) fn sets_network(&self) -> bool {
        self.network.is_some() || is_set("VIRTNET_NETWORK")
    }

    /// Whether an option or a variable sets the secret or the certificates.
    pub(crate) fn has_credentials(&self) -> bool {
        self.sets_credentials() || CREDENTIALS.into_iter().any(is_set)
    }

    pub(crate) fn sets_address(&self) -> bool {
        self.bind.is_some()
            || self.advertise.is_some()
            || is_set("VIRTNET_BIND")
            || is_set("VIRTNET_ADVERTISE")
    }

    fn sets_credentials(&self) -> bool {
        self.secret_file.is_some()
            || self.secret_init_file.is_some()
            || self.ca.is_some()
            || self.cert.is_some()
            || self.key.is_some()
    }
}

fn usage_error(line: &str) -> Exit {
    Exit::Usage(line.to_owned())
}
