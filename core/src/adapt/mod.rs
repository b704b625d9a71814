//! Integrations: virtnet's types implement traits of other crates.
//!
//! Owns these implementations, each behind a feature named after the crate and its
//! version. Never serves or sends requests itself. No other module depends on it.
//!
//! | feature | purpose | usage |
//! |---|---|---|
//! | `axum-0_8` | serve with axum | `axum::serve(listener, app)` takes a [`Listener`](crate::Listener); `ConnectInfo<Addr>` is the peer |
//! | `hyper-util-0_1` | HTTP clients: hyper-util and others that take a tower connector | `Connector::new(host)` |
//! | `tonic-0_14` | gRPC servers and clients; enables `hyper-util-0_1` | `serve_with_incoming(listener.into_incoming())`; a request's extension [`Addr`](crate::Addr) is the peer; `connect_with_connector(Connector::new(host))` |
//!
//! The host in a peer's address is not a claim of the peer: the engine has verified
//! it, QUIC by TLS.
//!
//! A [`Conn`](crate::Conn) implements tokio's `AsyncRead` and `AsyncWrite`. Code that
//! takes these needs no feature: codecs, rustls, and hyper with hyper-util's `TokioIo`.
//!
//! # Shutdown
//!
//! The graceful shutdowns of axum and tonic wait for clients without a time limit, so
//! set a limit yourself. The project's `examples/adapters` shows how, and lists how
//! each server ends, by version.
//!
//! # Hosts in URIs
//!
//! A URI is ASCII, and its host is case-insensitive. Names of virtual hosts are UTF-8,
//! compared byte by byte. A name of lower-case letters, digits and `-._~` is written in
//! a URI unchanged; any other name is percent-encoded and in brackets:
//!
//! | host | in a URI |
//! |---|---|
//! | `node-1` | `http://node-1:1/` |
//! | `α` | `http://[%CE%B1]:1/` |
//! | `A` | `http://[%41]:1/` |
//! | `::1` | `http://[%3A%3A1]:1/` |
//!
//! The brackets are necessary because the crate `http` allows `%` in a host only there.
//! [`uri_host`] and [`uri_authority`] write this form. The header `Host` and
//! HTTP/2's `:authority` contain it too, and [`authority_addr`] parses it. The default
//! port is 80, or 443 for `https`.

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
