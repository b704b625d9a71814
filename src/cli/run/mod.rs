//! `virtnet run`: a program as a virtual host.
//!
//! Owns its arguments, which variables the program gets, and the exit code. Never touches a process
//! itself: `program.rs` does.

mod machine;
mod program;
mod supervise;
mod tree;

use std::ffi::OsString;

use clap::Args;
use virtnet::Addr;
use virtnet::programs::{Endpoint, Forward};

pub(crate) use program::Supervised;

use super::exit::Exit;
use super::forward::{ReadyFile, Shared, Spec};
use super::name;
use super::options::Options;
use super::output::warn;
use super::session::{Signals, close};
use machine::Machine;

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The name of the program's host, which is created
    #[arg(long, value_name = "HOST")]
    host: String,
    /// Let connections to ADDRESS lead to WHERE the program listens, such as
    /// :5432=127.0.0.1:5432; may be repeated
    #[arg(long, value_name = "ADDRESS=WHERE", value_parser = pair)]
    expose: Vec<(String, Endpoint)>,
    /// Let the program reach ADDRESS by connecting to WHERE, such as
    /// α:5432=127.0.0.1:15432; may be repeated
    #[arg(long, value_name = "ADDRESS=WHERE", value_parser = pair)]
    reach: Vec<(String, Endpoint)>,
    /// Let the program reach all addresses by name, through a proxy: sets ALL_PROXY, HTTPS_PROXY
    /// and NO_PROXY, and unsets HTTP_PROXY, in both cases
    #[arg(long)]
    proxy: bool,
    #[command(flatten)]
    shared: Shared,
    /// The program and its arguments
    #[arg(required = true, last = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

/// Parses `ADDRESS=WHERE`.
fn pair(text: &str) -> Result<(String, Endpoint), String> {
    let (address, place) = text
        .split_once('=')
        .ok_or("expected ADDRESS=WHERE, such as β:5432=127.0.0.1:5432")?;
    let place = place.parse().map_err(|err| format!("{err}"))?;
    Ok((address.to_owned(), place))
}

impl RunArgs {
    /// The program's forwards; the proxy is the last.
    fn specs(&self, host: &Addr) -> Result<Vec<Spec>, Exit> {
        let parse = |text: &str| match text.strip_prefix(':') {
            // The host itself.
            Some(_) => Addr::parse(host.network(), &format!("[{}]{text}", host.host())),
            None => Addr::parse(host.network(), text),
        };
        let mut specs = Vec::new();
        for (address, to) in &self.expose {
            let at = parse(address)?;
            if at.host() != host.host() {
                return Err(Exit::Usage(format!(
                    "--expose {address}: expected an address of {}, such as :5432",
                    host.host()
                )));
            }
            specs.push(Spec::Expose {
                at,
                to: to.clone(),
                proxy_protocol: false,
            });
        }
        for (address, at) in &self.reach {
            specs.push(Spec::Reach {
                to: parse(address)?,
                at: at.clone(),
                from: Some(host.clone()),
            });
        }
        if self.proxy {
            specs.push(Spec::Proxy {
                at: Endpoint::Tcp("127.0.0.1:0".to_owned()),
                from: vec![host.clone()],
            });
        }
        Ok(specs)
    }

    /// What the program finds in its environment, in both cases: no standard exists.
    fn variables(&self, forwards: &[Forward]) -> Vec<(&'static str, Option<String>)> {
        let Some(proxy) = forwards.last().filter(|_| self.proxy) else {
            return Vec::new();
        };
        let at = proxy.endpoint();
        let socks = Some(format!("socks5h://{at}"));
        let http = Some(format!("http://{at}"));
        let here = Some("localhost,127.0.0.1,::1".to_owned());
        vec![
            ("ALL_PROXY", socks.clone()),
            ("all_proxy", socks),
            ("HTTPS_PROXY", http.clone()),
            ("https_proxy", http),
            // They would not tunnel; without them, ALL_PROXY is used.
            ("HTTP_PROXY", None),
            ("http_proxy", None),
            ("NO_PROXY", here.clone()),
            ("no_proxy", here),
        ]
    }
}

pub(crate) async fn run(
    options: Options,
    args: RunArgs,
    signals: &mut Signals,
) -> Result<(), Exit> {
    let host = name::host(&options.network()?, &args.host)?;
    let specs = args.specs(&host)?;
    let config = options.shared_config()?;
    let ready = ReadyFile::new(args.shared.ready_file.clone())?;
    let subnets = [signals.or(config.open()).await??];
    let machine = Machine::new(&subnets[0], &args, &host, specs);
    let ended = supervise::supervise(machine, &ready, signals).await;
    let hurry = matches!(ended, Err(Exit::Signal(_)));
    let closed = close(&subnets, signals, hurry).await;
    match (ended, closed) {
        (Err(end), _) => Err(end),
        (Ok(code), closed) => {
            // The program's exit code says whether it succeeded.
            if let Err(Exit::Failed(why)) = closed {
                warn(&why);
            }
            match code {
                0 => Ok(()),
                code => Err(Exit::Program(code)),
            }
        }
    }
}
