//! Services as they are: other crates' traits on virtnet's types.
//!
//! Owns which traits of which crates are implemented, each behind a feature that
//! bears the crate's version. Never does what those crates do, and no other room
//! knows of it.
//!
//! | feature | what it is for | how |
//! |---|---|---|
//! | `axum-0_8` | a service of axum | `axum::serve(listener, app)` takes a [`Listener`](crate::Listener); `ConnectInfo<Addr>` is the peer |
//! | `hyper-util-0_1` | clients of HTTP: hyper-util's, and whatever takes a tower connector | `Connector::new(host)` |
//! | `tonic-0_14` | gRPC, both sides; has `hyper-util-0_1` in it | `serve_with_incoming(listener.into_incoming())`; a request's extension [`Addr`](crate::Addr) is the peer; `connect_with_connector(Connector::new(host))` |
//!
//! A peer's address is not what the peer says: its host is the one that the engine
//! made sure of, by TLS in the case of QUIC.
//!
//! A [`Conn`](crate::Conn) is tokio's `AsyncRead` and `AsyncWrite`, so whatever
//! takes those needs no feature: codecs, rustls, and hyper by way of hyper-util's
//! `TokioIo`.
//!
//! # How they end
//!
//! Whatever serves must be told when to stop waiting for its clients: axum's and
//! tonic's graceful shutdowns have no bound of their own. The project's
//! `examples/adapters` shows one, and lists what ends how, by version.
//!
//! # Hosts in URIs
//!
//! A URI is ASCII, and upper and lower case are one in its host. Virtual hosts are
//! named in UTF-8, byte for byte. So a name of small letters, digits and `-._~`
//! stands in a URI as it is, and any other in brackets and percent-encoded:
//!
//! | host | in a URI |
//! |---|---|
//! | `node-1` | `http://node-1:1/` |
//! | `α` | `http://[%CE%B1]:1/` |
//! | `A` | `http://[%41]:1/` |
//! | `::1` | `http://[%3A%3A1]:1/` |
//!
//! The brackets are for the crate `http`, which takes a `%` nowhere else in a host.
//! [`uri_host`] and [`uri_authority`] write this form. The header `Host` and
//! HTTP/2's `:authority` have it, too, and [`authority_addr`] reads it. Without a port, it
//! is 80, or 443 for `https`.

#[cfg(feature = "axum-0_8")]
mod axum;
#[cfg(feature = "hyper-util-0_1")]
mod connector;
#[cfg(feature = "tonic-0_14")]
mod tonic;
mod uri;

#[cfg(feature = "hyper-util-0_1")]
pub use connector::Connector;
pub use uri::{authority_addr, uri_authority, uri_host};
