//! The arguments of `virtnet expose`, `reach`, `proxy` and `forward`, and the lines of the latter's file.
//!
//! Owns how they become a list of forwards. Never opens the network.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use virtnet::Addr;
use virtnet::programs::{Endpoint, MAX_CONNECTIONS};

use crate::cli::NameWait;
use crate::cli::exit::Exit;
use crate::cli::name;

/// The maximum size of a file of forwards, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// What all forwards of a process share.
#[derive(Debug, Args)]
pub(crate) struct Shared {
    #[command(flatten)]
    pub(super) name: NameWait,
    /// How many connections may be open at the same time; one more is reset
    #[arg(long, value_name = "NUMBER", default_value_t = MAX_CONNECTIONS)]
    pub(super) max_connections: usize,
    /// Let --at be an address that is not loopback: everybody who reaches it is on the network
    #[arg(long)]
    pub(super) any_address: bool,
    /// Write the lines about all addresses to this file as well, when everything is
    /// ready; the file is removed at the start and at the end
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ExposeArgs {
    /// The address to listen on, such as β:5432; port 0 is the lowest free port
    #[arg(required = true, value_name = "ADDRESS")]
    addresses: Vec<String>,
    /// Where the program of that ADDRESS listens, such as 127.0.0.1:5432 or unix:/run/db.sock;
    /// repeat both for more
    #[arg(long, required = true, value_name = "WHERE")]
    to: Vec<Endpoint>,
    /// Send the programs a header of the PROXY protocol, version 2, with the address of the peer and
    /// its proved name
    #[arg(long)]
    proxy_protocol: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReachArgs {
    /// The address to dial, such as α:5432
    #[arg(required = true, value_name = "ADDRESS")]
    addresses: Vec<String>,
    /// Where programs connect to reach that ADDRESS, such as 127.0.0.1:15432 or
    /// unix:/run/db.sock; port 0 is any free port; repeat both for more
    #[arg(long, required = true, value_name = "WHERE")]
    at: Vec<Endpoint>,
    /// The host to create and dial from: one for all, or one for each ADDRESS [env: VIRTNET_HOST; a
    /// random suffix is added while that name is in use] [default: a random name]
    #[arg(long, value_name = "HOST")]
    from: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ProxyArgs {
    /// Where programs connect, such as 127.0.0.1:1080 or unix:/run/proxy.sock; port 0 is any free port
    #[arg(long, required = true, value_name = "WHERE")]
    at: Endpoint,
    /// The host to create and dial from. Repeat it for more: then a program's user name chooses, and
    /// the first is the default [env: VIRTNET_HOST; a random suffix is added while that name is in
    /// use] [default: a random name]
    #[arg(long, value_name = "HOST")]
    from: Vec<String>,
}

/// A line of a file: the words of a command, without the options that all share.
#[derive(Debug, Parser)]
#[command(
    no_binary_name = true,
    disable_help_subcommand = true,
    disable_help_flag = true
)]
struct Line {
    #[command(subcommand)]
    words: Words,
}

#[derive(Debug, Subcommand)]
enum Words {
    Expose(ExposeArgs),
    Reach(ReachArgs),
    Proxy(ProxyArgs),
}

/// A forward to start. A host of `None` is the default one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Spec {
    Expose {
        at: Addr,
        to: Endpoint,
        proxy_protocol: bool,
    },
    Reach {
        to: Addr,
        at: Endpoint,
        from: Option<Addr>,
    },
    Proxy {
        at: Endpoint,
        from: Vec<Addr>,
    },
}

impl Spec {
    /// Makes it listen on this machine where it was found to listen, if it does.
    pub(crate) fn listens_at(&mut self, found: &Endpoint) {
        match self {
            Spec::Expose { .. } => {}
            Spec::Reach { at, .. } | Spec::Proxy { at, .. } => *at = found.clone(),
        }
    }
}

impl ExposeArgs {
    pub(crate) fn specs(self, network: &str) -> Result<Vec<Spec>, Exit> {
        same_number("--to", self.to.len(), self.addresses.len())?;
        let pairs = self.addresses.iter().zip(self.to);
        let specs = pairs.map(|(address, to)| {
            Ok(Spec::Expose {
                at: Addr::parse(network, address)?,
                to,
                proxy_protocol: self.proxy_protocol,
            })
        });
        specs.collect()
    }
}

impl ReachArgs {
    pub(crate) fn specs(self, network: &str) -> Result<Vec<Spec>, Exit> {
        same_number("--at", self.at.len(), self.addresses.len())?;
        if self.from.len() > 1 {
            same_number("--from", self.from.len(), self.addresses.len())?;
        }
        let hosts = hosts(network, &self.from)?;
        let pairs = self.addresses.iter().zip(self.at).enumerate();
        let specs = pairs.map(|(number, (address, at))| {
            Ok(Spec::Reach {
                to: Addr::parse(network, address)?,
                at,
                from: hosts.get(number).or(hosts.first()).cloned(),
            })
        });
        specs.collect()
    }
}

impl ProxyArgs {
    pub(crate) fn specs(self, network: &str) -> Result<Vec<Spec>, Exit> {
        Ok(vec![Spec::Proxy {
            at: self.at,
            from: hosts(network, &self.from)?,
        }])
    }
}

fn hosts(network: &str, names: &[String]) -> Result<Vec<Addr>, Exit> {
    names.iter().map(|from| name::host(network, from)).collect()
}

fn same_number(option: &str, got: usize, addresses: usize) -> Result<(), Exit> {
    if got == addresses {
        return Ok(());
    }
    Err(Exit::Usage(format!(
        "expected one {option} for each of {addresses} ADDRESS, got {got}"
    )))
}

/// The forwards of a file.
pub(crate) fn read_file(network: &str, path: &Path) -> Result<Vec<Spec>, Exit> {
    let failed = |err| Exit::Failed(format!("cannot read {path:?}: {err}"));
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    let mut file = file.take(MAX_FILE + 1);
    file.read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_FILE {
        return Err(Exit::Usage(format!(
            "{path:?}: expected at most {MAX_FILE} bytes"
        )));
    }
    let mut specs = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let of_line = line_specs(network, line).map_err(|end| match end {
            Exit::Usage(why) => Exit::Usage(format!("{path:?}: line {}: {why}", number + 1)),
            end => end,
        });
        specs.extend(of_line?);
    }
    match specs.is_empty() {
        true => Err(Exit::Usage(format!(
            "{path:?}: expected a forward, got none"
        ))),
        false => Ok(specs),
    }
}

fn line_specs(network: &str, line: &str) -> Result<Vec<Spec>, Exit> {
    let words = line.split_whitespace();
    let words: Vec<_> = words.take_while(|word| !word.starts_with('#')).collect();
    if words.is_empty() {
        return Ok(Vec::new());
    }
    let line = Line::try_parse_from(words).map_err(|err| {
        let text = err.to_string();
        let first = text.lines().next().unwrap_or_default();
        Exit::Usage(first.trim_start_matches("error: ").to_owned())
    })?;
    match line.words {
        Words::Expose(expose) => expose.specs(network),
        Words::Reach(reach) => reach.specs(network),
        Words::Proxy(proxy) => proxy.specs(network),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_words_of_the_commands() {
        let addr = |text| Addr::parse("net", text).unwrap();
        let line = "reach α:1 --at 127.0.0.1:0 γ:2 --at unix:/s --from β # both from β";
        let reach = |to, at: &str| Spec::Reach {
            to: addr(to),
            at: at.parse().unwrap(),
            from: Some(addr("β:0")),
        };
        let expected = vec![reach("α:1", "127.0.0.1:0"), reach("γ:2", "unix:/s")];
        assert_eq!(line_specs("net", line).unwrap(), expected);
        assert_eq!(line_specs("net", " # nothing").unwrap(), []);
        for (line, why) in [
            (
                "reach α:1",
                "the following required arguments were not provided:",
            ),
            (
                "expose β:1 --to 127.0.0.1:1 γ:1",
                "expected one --to for each of 2 ADDRESS, got 1",
            ),
            ("expose β:1 --to 1", "invalid value '1' for '--to <WHERE>'"),
            ("listen β:1", "unrecognized subcommand 'listen'"),
        ] {
            let Err(Exit::Usage(said)) = line_specs("net", line) else {
                panic!("{line}");
            };
            assert!(said.starts_with(why), "{said}");
        }
    }
}
