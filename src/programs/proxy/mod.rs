//! One socket that leads to all virtual addresses, for programs that speak SOCKS5 or HTTP's
//! CONNECT.
//!
//! Owns which protocol a program speaks, from which host is dialed, and what a failed dial
//! is called in each protocol. A program gets its answer only after the dial, so it sees a refused
//! or cut dial as one. Never resolves a name by the system.

mod http;
mod name;
mod socks;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use virtnet_core::{Addr, Cause, Host, OpError};

use super::accept::{Carried, accept_programs};
use super::endpoint::Endpoint;
use super::forward::{Limit, report};
use super::links::Links;
use super::local::{LocalListener, LocalStream};
use super::reach::dial;

/// How long a program may take to say what it wants.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// How long and how many bytes a refused program may go on sending, until its connection is reset, which
/// could overtake the answer.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);
const LEAVE_BYTES: u64 = 64 * 1024;

/// A socket that leads to all virtual addresses.
pub(super) struct Proxy {
    /// Not empty.
    pub(super) hosts: Vec<Host>,
    pub(super) limit: Limit,
    pub(super) shown: String,
}

/// What a program has asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    user: Option<String>,
    /// As it was sent.
    host: String,
    port: u16,
    /// What came after the request.
    rest: Vec<u8>,
}

/// Why a program is not served.
#[derive(Debug)]
struct Problem {
    /// What the program is told, if it can be told.
    reply: Vec<u8>,
    why: String,
}

impl Problem {
    /// It has been told already, or there is no answer that it would understand.
    fn told(why: impl Into<String>) -> Problem {
        Problem {
            reply: Vec::new(),
            why: why.into(),
        }
    }

    fn reply(reply: Vec<u8>, why: impl Into<String>) -> Problem {
        let why = why.into();
        Problem { reply, why }
    }
}

impl From<io::Error> for Problem {
    fn from(err: io::Error) -> Problem {
        Problem::told(err.to_string())
    }
}

fn unknown_user(user: &str) -> String {
    let user: String = user.chars().take(80).collect();
    format!("the user name is the host to dial from: this process has no host {user:?}")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Socks,
    Http,
}

impl Protocol {
    fn connected(self, local: &Addr) -> Vec<u8> {
        match self {
            Protocol::Socks => socks::reply(socks::SUCCEEDED, local.port()),
            Protocol::Http => http::CONNECTED.to_vec(),
        }
    }

    fn refused(self, cause: Cause, why: &str) -> Vec<u8> {
        let (code, status) = codes(cause);
        match self {
            Protocol::Socks => socks::reply(code, 0),
            Protocol::Http => http::reply(status, why),
        }
    }
}

/// What a cause is called in SOCKS5 and in HTTP.
fn codes(cause: Cause) -> (u8, u16) {
    match cause {
        Cause::ConnectionRefused => (socks::REFUSED, 502),
        Cause::NoSuchHost | Cause::HostUnreachable | Cause::ConnectionCut => {
            (socks::HOST_UNREACHABLE, 502)
        }
        Cause::TimedOut => (socks::TIMED_OUT, 504),
        Cause::RegistryDown | Cause::NetworkDown | Cause::HostDown => {
            (socks::NETWORK_UNREACHABLE, 503)
        }
        Cause::NoFreePort => (socks::FAILED, 503),
        Cause::PermissionDenied => (socks::NOT_ALLOWED, 502),
        Cause::InvalidAddr => (socks::FAILED, 400),
        _ => (socks::FAILED, 502),
    }
}

/// Reads what a program asks for. The first byte says which protocol it speaks.
async fn handshake<S>(
    stream: &mut S,
    knows: impl Fn(&str) -> bool,
) -> Result<(Protocol, Asked), Problem>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match stream.read_u8().await? {
        socks::VERSION => Ok((Protocol::Socks, socks::read(stream, knows).await?)),
        4 => Err(Problem::told(
            "expected SOCKS version 5 or HTTP, got SOCKS version 4",
        )),
        first => Ok((Protocol::Http, http::read(stream, first, knows).await?)),
    }
}

impl Proxy {
    pub(super) fn shown(hosts: &[Host], at: &Endpoint) -> String {
        let names: Vec<_> = hosts.iter().map(Host::name).collect();
        format!("proxy {at} from {}", names.join(", "))
    }

    /// Accepts until one of its hosts is down.
    pub(super) async fn serve(self, listener: LocalListener, links: Links) -> OpError {
        let proxy = Arc::new(self);
        let (carrying, all) = (Arc::clone(&proxy), links.clone());
        let carry = move |local, program, permit| -> Carried {
            let (proxy, links) = (Arc::clone(&carrying), links.clone());
            Box::pin(async move {
                let _permit = permit;
                proxy.carry(local, program, &links).await
            })
        };
        let limit = (&*proxy.shown, &proxy.limit, all);
        accept_programs(listener, limit, Box::new(carry)).await
    }

    fn host(&self, name: &str) -> Option<&Host> {
        self.hosts.iter().find(|host| host.name() == name)
    }

    /// Fails if no later dial can succeed either.
    async fn carry(
        &self,
        mut local: LocalStream,
        program: String,
        links: &Links,
    ) -> Result<(), OpError> {
        let shown = &self.shown;
        // Some programs always send a name: Java sends its user's.
        let knows = |name: &str| self.hosts.len() == 1 || self.host(name).is_some();
        let shaken = timeout(HANDSHAKE_WITHIN, handshake(&mut local, knows)).await;
        let asked = match shaken {
            Ok(asked) => asked,
            Err(_) => {
                let why = format!("no whole request within {HANDSHAKE_WITHIN:?}");
                Err(Problem::told(why))
            }
        };
        let (protocol, asked) = match asked {
            Ok(asked) => asked,
            Err(problem) => {
                tracing::warn!("{shown}: refused {program}: {}", problem.why);
                refuse(local, &problem.reply).await;
                return Ok(());
            }
        };
        let host = asked.user.as_deref().and_then(|user| self.host(user));
        let host = host.unwrap_or(&self.hosts[0]);
        let to = match Addr::new(host.network(), name::meant(&asked.host), asked.port) {
            Ok(to) => to,
            Err(err) => {
                let why = err.to_string();
                tracing::warn!("{shown}: refused {program}: {why}");
                refuse(local, &protocol.refused(Cause::InvalidAddr, &why)).await;
                return Ok(());
            }
        };
        match dial(host, &to).await {
            Ok(conn) => {
                let ends = conn.local_addr();
                let ends = format!("{shown}: {program} as {ends}->{}", conn.peer_addr());
                tracing::debug!("{ends}: connected");
                let reply = protocol.connected(conn.local_addr());
                let link = links.add(conn);
                report(&ends, link.pump(local, asked.rest, reply).await);
                Ok(())
            }
            Err(err) => {
                let why = err.shown();
                tracing::warn!("{shown}: refused {program}: {why}");
                refuse(local, &protocol.refused(err.cause(), &why)).await;
                err.ends_forward()
            }
        }
    }
}

/// Answers, and ends the connection in a way that lets the answer arrive.
async fn refuse(mut local: LocalStream, reply: &[u8]) {
    let answering = async {
        local.write_all(reply).await?;
        local.shutdown().await?;
        let mut rest = (&mut local).take(LEAVE_BYTES);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    // A program that does not read its answer gets a reset.
    if let Ok(Ok(_)) = timeout(LEAVE_WITHIN, answering).await {
        local.finish();
    }
}
