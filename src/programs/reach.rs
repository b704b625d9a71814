//! Reaching: programs of this machine that connect to a socket get to a virtual address.
//!
//! Owns the accepting and the dials. A program's connection is accepted before the dial, as a
//! kernel does that by itself: it is reset if the dial fails. Never resolves a name by the system.

use std::sync::Arc;

use tokio::time::timeout;
use virtnet_core::{Addr, Cause, Conn, Host, OpError};

use super::accept::{Carried, accept_programs};
use super::endpoint::Endpoint;
use super::forward::{CONNECT_WITHIN, Limit, one_line, report};
use super::links::Links;
use super::local::{LocalListener, LocalStream};

/// A socket that leads to a virtual address.
pub(super) struct Reach {
    pub(super) host: Host,
    pub(super) to: Addr,
    pub(super) limit: Limit,
    pub(super) shown: String,
}

impl Reach {
    pub(super) fn shown(host: &Host, at: &Endpoint, to: &Addr) -> String {
        format!("reach {to} <- {at} from {}", host.name())
    }

    /// Accepts until its host is down.
    pub(super) async fn serve(self, listener: LocalListener, links: Links) -> OpError {
        let reach = Arc::new(self);
        let (carrying, all) = (Arc::clone(&reach), links.clone());
        let carry = move |local, program, permit| -> Carried {
            let (reach, links) = (Arc::clone(&carrying), links.clone());
            Box::pin(async move {
                let _permit = permit;
                reach.carry(local, program, &links).await
            })
        };
        let limit = (&*reach.shown, &reach.limit, all);
        accept_programs(listener, limit, Box::new(carry)).await
    }

    /// Fails if no later dial can succeed either.
    async fn carry(
        &self,
        local: LocalStream,
        program: String,
        links: &Links,
    ) -> Result<(), OpError> {
        match dial(&self.host, &self.to).await {
            Ok(conn) => {
                let ends = format!("{}: {program} as {}", self.shown, conn.local_addr());
                tracing::debug!("{ends}: connected");
                let link = links.add(conn);
                report(&ends, link.pump(local, Vec::new(), Vec::new()).await);
                Ok(())
            }
            Err(err) => {
                drop(local);
                let shown = &self.shown;
                tracing::warn!("{shown}: reset {program}: {}", err.shown());
                err.ends_forward()
            }
        }
    }
}

/// Why a dial failed.
pub(super) enum DialError {
    Op(OpError),
    /// The other side knows of the dial, and does not accept it.
    NotAccepted(Addr),
}

impl DialError {
    pub(super) fn cause(&self) -> Cause {
        match self {
            DialError::Op(err) => err.cause(),
            DialError::NotAccepted(_) => Cause::TimedOut,
        }
    }

    pub(super) fn shown(&self) -> String {
        match self {
            DialError::Op(err) => one_line(err),
            DialError::NotAccepted(to) => format!("{to} did not accept within {CONNECT_WITHIN:?}"),
        }
    }

    /// Fails if no later dial can succeed either.
    pub(super) fn ends_forward(self) -> Result<(), OpError> {
        match self {
            DialError::Op(err) if matches!(err.cause(), Cause::HostDown | Cause::NetworkDown) => {
                Err(err)
            }
            _ => Ok(()),
        }
    }
}

/// Dials within a bound. Dropping the future cancels it.
pub(super) async fn dial(host: &Host, to: &Addr) -> Result<Conn, DialError> {
    match timeout(CONNECT_WITHIN, host.dial(to)).await {
        Ok(dialed) => dialed.map_err(DialError::Op),
        Err(_) => Err(DialError::NotAccepted(to.clone())),
    }
}
