//! Dialing: from hostdata to a stream that the other side accepted.
//!
//! Owns the steps of a dial, and the second attempt on another connection. Never decides
//! whether the other side can be trusted: TLS does.

use std::net::SocketAddr;
use std::sync::Arc;

use quinn::{Connection, ConnectionError};
use tokio::time::{Instant, timeout_at};
use virtnet_core::{Addr, ByteStream, Failure};

use crate::config::transport::{self, StreamCode};
use crate::dial_error::DialTarget;
use crate::endpoint::EndpointInner;
use crate::endpoint::pool::{PoolKey, PoolUse};
use crate::endpoint::stream::{HandshakeStream, StreamGuard};
use crate::hostdata::RealAddr;
use crate::identity::tls::dns_name_of;
use crate::udp::faults::name::PeerName;
use crate::udp::faults::recovery::Recovery;
use crate::udp::mtu;
use crate::wire::frame::Hello;
use crate::wire::handshake::{self, HandshakeError};

/// Why an attempt on one connection failed. If the connection was `stale`, another one
/// may work.
struct DialAttemptError {
    failure: Failure,
    stale: bool,
}

impl EndpointInner {
    /// Connects `src`, the host of this endpoint, to `dst`, which must send its first
    /// answer before `deadline`. The bytes `first` are the first of the connection.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future resets the stream: an end that an accept has got already is cut.
    /// A QUIC connection may stay in the pool.
    pub(crate) async fn dial(
        self: &Arc<EndpointInner>,
        src: &Addr,
        dst: &Addr,
        hostdata: &str,
        deadline: Instant,
        first: &[u8],
    ) -> Result<(ByteStream, Addr), Failure> {
        let place = RealAddr::parse(dst.host(), hostdata)?;
        let hello = Hello {
            src: src.clone(),
            dst: dst.clone(),
        };
        let key = PoolKey {
            host: dst.host().into(),
            hostdata: hostdata.into(),
        };
        loop {
            let tried = self.dial_once(&key, &place, &hello, first, deadline).await;
            match tried {
                Ok((stream, port)) => return Ok((stream, dst.with_port(port))),
                // The loss of a pooled connection may only show when it is used. If the dial
                // was accepted on it, the reply is lost with it, and that end is cut. There
                // is no third attempt: a new connection is never stale.
                Err(DialAttemptError { stale: true, .. }) if Instant::now() < deadline => {
                    tracing::debug!("the pooled QUIC connection was lost: trying a new one");
                }
                Err(DialAttemptError { failure, .. }) => return Err(failure),
            }
        }
    }

    async fn dial_once(
        self: &Arc<EndpointInner>,
        key: &PoolKey,
        place: &RealAddr,
        hello: &Hello,
        first: &[u8],
        deadline: Instant,
    ) -> Result<(ByteStream, u16), DialAttemptError> {
        let within = self.config.dial_timeout;
        let mut target = DialTarget {
            dst: &hello.dst,
            place,
            addr: None,
            send_errors: (&self.send_errors, std::time::Instant::now()),
        };
        let failed = |failure| DialAttemptError {
            failure,
            stale: false,
        };
        let connect = || self.connect(target, deadline);
        let pool_use = timeout_at(deadline, self.pool.acquire(key, connect))
            .await
            .map_err(|_| failed(target.no_answer(within)))?
            .map_err(failed)?;
        let at = pool_use.conn().remote_address();
        match pool_use.fresh {
            true => tracing::debug!(%at, "QUIC connection made"),
            false => tracing::debug!(%at, "QUIC connection reused"),
        }
        target.addr = Some(at);
        let mut stream = match timeout_at(deadline, pool_use.conn().open_bi()).await {
            Ok(Ok(halves)) => HandshakeStream::new(halves, StreamCode::GivenUp),
            Ok(Err(reason)) => {
                return Err(DialAttemptError {
                    failure: target.lost(&reason),
                    stale: is_stale(&pool_use, Some(&reason)),
                });
            }
            Err(_) => {
                self.pool.evict(key, &pool_use);
                return Err(failed(target.no_answer(within)));
            }
        };
        let (reader, writer) = stream.halves();
        let outcome = tokio::select! {
            biased;
            outcome = handshake::dial(reader, writer, hello, first, deadline) => outcome,
            failure = self.unreachable(target, at) => return Err(failed(failure)),
        };
        match outcome {
            Ok(port) => {
                let guard = StreamGuard::Dialed(pool_use);
                let wrote = !first.is_empty();
                Ok((stream.into_byte_stream(wrote, guard, self), port))
            }
            Err(err) => {
                let reason = pool_use.conn().close_reason();
                if matches!(err, HandshakeError::TimedOut) {
                    self.pool.evict(key, &pool_use);
                }
                Err(DialAttemptError {
                    failure: target.not_dialed(&err, reason.as_ref(), within),
                    stale: is_stale(&pool_use, reason.as_ref()),
                })
            }
        }
    }

    /// Makes a QUIC connection to `target`; tries its addresses in order.
    async fn connect(
        &self,
        target: DialTarget<'_>,
        deadline: Instant,
    ) -> Result<(Connection, PeerName), Failure> {
        let addrs = target
            .place
            .resolve(target.dst.host(), self.families)
            .await?;
        let name = dns_name_of(target.dst);
        let mut last = None;
        for (tried, &addr) in addrs.iter().enumerate() {
            let target = DialTarget {
                addr: Some(addr),
                ..target
            };
            // Each address gets an equal share of the time that is left.
            let now = Instant::now();
            let left = (addrs.len() - tried) as u32;
            let until = now + deadline.saturating_duration_since(now) / left;
            match self.connect_to(addr, &name, target, until).await {
                Ok(conn) => return Ok(conn),
                Err(failure) => last = Some(failure),
            }
        }
        Err(last.expect("a resolved place has addresses"))
    }

    async fn connect_to(
        &self,
        addr: SocketAddr,
        name: &str,
        target: DialTarget<'_>,
        until: Instant,
    ) -> Result<(Connection, PeerName), Failure> {
        tracing::debug!(%addr, "connecting");
        let recovery = Recovery::default();
        let peer = self.faults.name(addr, target.dst.host(), &recovery);
        let local = self.config.bind.first.ip();
        let route = mtu::route(local, addr).map_err(|err| target.unreachable(local, &err))?;
        let (tls, path) = (self.client.clone(), (addr, route));
        let config = transport::client(tls, &self.config, &self.hostname, path, &recovery);
        // The connection outlives the dial, so its span has no parent.
        let span = tracing::debug_span!(parent: None, "quic", host = &*self.hostname, to = %addr);
        let connecting = span
            .in_scope(|| self.quinn.connect_with(config, addr, name))
            .map_err(|err| Failure::other(format!("cannot connect to {target}: {err}")))?;
        let connected = tokio::select! {
            connected = timeout_at(until, connecting) => connected,
            failure = self.unreachable(target, addr) => return Err(failure),
        };
        match connected {
            Ok(Ok(conn)) => {
                peer.prove(&conn);
                Ok((conn, peer))
            }
            Ok(Err(reason)) => Err(target.lost(&reason)),
            Err(_) => Err(target.no_answer(self.config.dial_timeout)),
        }
    }

    /// Waits until the system refuses to send to `addr` because there is no route.
    async fn unreachable(&self, target: DialTarget<'_>, addr: SocketAddr) -> Failure {
        let local = self.config.bind.first.ip();
        let (send_errors, since) = target.send_errors;
        let no_route = || mtu::route(local, addr).err();
        let err = send_errors.wait_confirmed(addr, since, no_route).await;
        target.unreachable(local, &err)
    }
}

/// Whether a pooled connection was lost for a reason that does not tell whether the peer
/// can be reached now.
fn is_stale(pool_use: &PoolUse, reason: Option<&ConnectionError>) -> bool {
    !pool_use.fresh
        && matches!(
            reason,
            Some(ConnectionError::Reset | ConnectionError::TimedOut)
        )
}
