//! Links: connections to nodes, over virtnet.
//!
//! Owns dialing on demand, the pool, and that no call outlasts its deadline.
//! Never repeats a call: whoever calls knows what a second one would do.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::time::timeout;
use tokio_util::codec::{Framed, LengthDelimitedCodec};
use virtnet::{Conn, Host, OpError};

use crate::protocol::{self, Request, Response};

type Link = Framed<Conn, LengthDelimitedCodec>;

/// The way from one host to all others.
pub struct Links {
    host: Host,
    /// One idle connection for each address. A plain lock: it is held for a map
    /// operation only.
    idle: Mutex<HashMap<String, Link>>,
}

/// Why a call has no response.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There is no connection.
    #[error(transparent)]
    Dial(#[from] OpError),
    /// It broke, or what it carried is too long.
    #[error("call {addr}: {why}")]
    Broken {
        addr: String,
        #[source]
        why: io::Error,
    },
    /// What it carried is no message.
    #[error("call {addr}: {why}")]
    Garbled {
        addr: String,
        #[source]
        why: postcard::Error,
    },
    /// It took too long. Whether the other side has done it is not known.
    #[error("call {addr}: no answer within {within:?}")]
    Late { addr: String, within: Duration },
}

impl Links {
    /// Links from this host.
    pub fn new(host: Host) -> Links {
        let idle = Mutex::default();
        Links { host, idle }
    }

    /// Asks the node that listens on `addr`, and waits for its answer; for
    /// `within` at most, dialing included.
    ///
    /// While a call runs, its connection is nobody else's. So it goes back to the
    /// pool only after a whole exchange; an error, a deadline or a dropped future
    /// drops it, and no late answer is ever taken for another call's.
    pub async fn call(
        &self,
        addr: &str,
        request: &Request,
        within: Duration,
    ) -> Result<Response, CallError> {
        let called = timeout(within, self.exchange(addr, request)).await;
        called.unwrap_or_else(|_| {
            let addr = addr.to_owned();
            Err(CallError::Late { addr, within })
        })
    }

    async fn exchange(&self, addr: &str, request: &Request) -> Result<Response, CallError> {
        let broken = |why| CallError::Broken {
            addr: addr.to_owned(),
            why,
        };
        let garbled = |why| CallError::Garbled {
            addr: addr.to_owned(),
            why,
        };
        let frame = protocol::encode(request).map_err(garbled)?;
        let mut link = self.link(addr).await?;
        link.send(frame).await.map_err(broken)?;
        let answer = match link.next().await {
            Some(answer) => answer.map_err(broken)?,
            None => return Err(broken(io::ErrorKind::UnexpectedEof.into())),
        };
        let response = protocol::decode(&answer).map_err(garbled)?;
        self.idle().insert(addr.to_owned(), link);
        Ok(response)
    }

    async fn link(&self, addr: &str) -> Result<Link, CallError> {
        let idle = self.idle().remove(addr);
        if let Some(link) = idle {
            return Ok(link);
        }
        let conn = self.host.dial(addr).await?;
        Ok(Framed::new(conn, protocol::codec()))
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, HashMap<String, Link>> {
        // A map operation that panicked has left a map.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
