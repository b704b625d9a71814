//! `virtnet expose`, `reach`, `proxy` and `forward`: programs as they are, on virtual hosts.
//!
//! Owns which hosts are created, and the lines that say that all is ready. Never moves a byte:
//! the library does.

mod args;

use std::collections::HashMap;
use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::Poll;

use virtnet::programs::{Forward, ForwardError, Forwarder};
use virtnet::{Addr, Host, OpError, SubNetwork};

pub(crate) use args::{ExposeArgs, ProxyArgs, ReachArgs, Shared, Spec, read_file};

use super::exit::Exit;
use super::name::OwnName;
use super::options::Options;
use super::output::print;
use super::session::{Signals, with_subnetworks};

/// Starts the forwards, and runs until one of them ends.
pub(crate) async fn forward(
    options: Options,
    specs: Vec<Spec>,
    shared: Shared,
    signals: &mut Signals,
) -> Result<(), Exit> {
    let default = default_host(&options.network()?, &specs)?;
    let config = options.shared_config()?;
    let ready = ReadyFile::new(shared.ready_file.clone())?;
    with_subnetworks(vec![config], signals, async |subnets, _| {
        let mut hosts = Hosts::new(&subnets[0], &shared, default);
        let mut forwards = hosts.start(specs).await?;
        let lines = lines(&forwards);
        lines.iter().try_for_each(|line| print(line))?;
        ready.write(&lines)?;
        Err(any_end(&mut forwards).await.into())
    })
    .await
}

/// What is said when all forwards are ready.
pub(super) fn lines(forwards: &[Forward]) -> Vec<String> {
    let mut lines: Vec<_> = forwards.iter().map(Forward::to_string).collect();
    lines.push("ready".to_owned());
    lines
}

/// The name of the host that dials where none is given, if that is needed.
fn default_host(network: &str, specs: &[Spec]) -> Result<Option<OwnName>, Exit> {
    let needed = specs.iter().any(|spec| match spec {
        Spec::Expose { .. } => false,
        Spec::Reach { from, .. } => from.is_none(),
        Spec::Proxy { from, .. } => from.is_empty(),
    });
    match needed {
        true => OwnName::read(network, None, "reach").map(Some),
        false => Ok(None),
    }
}

/// The hosts of a process, each created once, and what starts their forwards.
pub(super) struct Hosts<'a> {
    subnet: &'a SubNetwork,
    shared: &'a Shared,
    made: HashMap<String, Host>,
    default: Option<OwnName>,
    pub(super) forwarder: Forwarder,
}

impl<'a> Hosts<'a> {
    pub(super) fn new(
        subnet: &'a SubNetwork,
        shared: &'a Shared,
        default: Option<OwnName>,
    ) -> Hosts<'a> {
        Hosts {
            subnet,
            shared,
            made: HashMap::new(),
            default,
            forwarder: Forwarder::new()
                .max_connections(shared.max_connections)
                .any_address(shared.any_address),
        }
    }

    pub(super) async fn get(&mut self, addr: &Addr) -> Result<Host, OpError> {
        if let Some(host) = self.made.get(addr.host()) {
            return Ok(host.clone());
        }
        let within = self.shared.name.within;
        let host = self.subnet.new_host_within(addr.host(), within).await?;
        self.made.insert(addr.host().to_owned(), host.clone());
        Ok(host)
    }

    /// The host of `from`, or else the default one.
    async fn from(&mut self, from: Option<&Addr>) -> Result<Host, OpError> {
        if let Some(from) = from {
            return self.get(from).await;
        }
        const DEFAULT: &str = "";
        if let Some(host) = self.made.get(DEFAULT) {
            return Ok(host.clone());
        }
        let name = self.default.take().expect("some forward needs it");
        let host = name.host(self.subnet, self.shared.name.within).await?;
        // No host has an empty name.
        self.made.insert(DEFAULT.to_owned(), host.clone());
        Ok(host)
    }
    /// Starts the forwards, in this order.
    pub(super) async fn start(&mut self, specs: Vec<Spec>) -> Result<Vec<Forward>, Exit> {
        let mut forwards = Vec::new();
        for spec in specs {
            forwards.push(match spec {
                Spec::Expose {
                    at,
                    to,
                    proxy_protocol,
                } => {
                    let forwarder = self.forwarder.clone().proxy_protocol(proxy_protocol);
                    forwarder.expose(&self.get(&at).await?, &at, &to)?
                }
                Spec::Reach { to, at, from } => {
                    let host = self.from(from.as_ref()).await?;
                    let reached = self.forwarder.reach(&host, &to, &at).await;
                    reached.map_err(exit)?
                }
                Spec::Proxy { at, from } => {
                    let mut sources = Vec::new();
                    for addr in &from {
                        sources.push(self.get(addr).await?);
                    }
                    if from.is_empty() {
                        sources.push(self.from(None).await?);
                    }
                    let proxied = self.forwarder.proxy(&sources, &at).await;
                    proxied.map_err(exit)?
                }
            });
        }
        Ok(forwards)
    }
}

fn exit(err: ForwardError) -> Exit {
    match err {
        ForwardError::NotLoopback(at) => Exit::Usage(format!(
            "--at {at} can be reached from other machines: expected a loopback address or a Unix \
             socket (--any-address allows others)"
        )),
        err => err.into(),
    }
}

/// Why the first forward that ends has ended.
pub(super) async fn any_end(forwards: &mut [Forward]) -> OpError {
    let mut ends: Vec<Pin<Box<_>>> = forwards.iter_mut().map(|f| Box::pin(f.ended())).collect();
    poll_fn(|cx| {
        let mut polled = ends.iter_mut().map(|end| end.as_mut().poll(cx));
        let ready = polled.find(Poll::is_ready);
        ready.unwrap_or(Poll::Pending)
    })
    .await
}

/// The file that says that all is ready. It is removed when this is dropped.
pub(super) struct ReadyFile(Option<PathBuf>);

impl ReadyFile {
    /// Removes the file of an earlier process.
    pub(super) fn new(path: Option<PathBuf>) -> Result<ReadyFile, Exit> {
        if let Some(path) = &path {
            match std::fs::remove_file(path) {
                Err(err) if err.kind() != std::io::ErrorKind::NotFound => {
                    return Err(failed(path, &err));
                }
                _ => {}
            }
        }
        Ok(ReadyFile(path))
    }

    /// The file appears with all lines.
    pub(super) fn write(&self, lines: &[String]) -> Result<(), Exit> {
        let Some(path) = &self.0 else { return Ok(()) };
        let mut unfinished = path.clone().into_os_string();
        unfinished.push(format!(".{}", std::process::id()));
        let text = format!("{}\n", lines.join("\n"));
        std::fs::write(&unfinished, text)
            .and_then(|()| std::fs::rename(&unfinished, path))
            .map_err(|err| failed(path, &err))
    }
}

fn failed(path: &Path, err: &std::io::Error) -> Exit {
    Exit::Failed(format!("--ready-file {path:?}: {err}"))
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}
