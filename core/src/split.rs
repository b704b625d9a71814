//! The two halves of a connection that was split.
//!
//! Owns the handles, and what dropping one of them means. Never touches a
//! stream: the connection does.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::conn::Shared;
use crate::{Addr, Cause};

/// The reading half of a [`Conn`](crate::Conn), from
/// [`into_split`](crate::Conn::into_split).
///
/// Dropping it alone has no effect that the peer sees. Dropped first, it leaves the
/// write half to close all, whose port is then free before the peer sees the end;
/// [`close`](OwnedReadHalf::close) does that in any order. Errors and cancel safety
/// are those of [`Conn`](crate::Conn).
#[derive(Debug)]
pub struct OwnedReadHalf(Arc<Shared>);

/// The writing half of a [`Conn`](crate::Conn), from
/// [`into_split`](crate::Conn::into_split).
///
/// Dropping it half-closes the connection: the peer reads what was written,
/// then end-of-file. Errors and cancel safety are those of
/// [`Conn`](crate::Conn).
#[derive(Debug)]
pub struct OwnedWriteHalf(Arc<Shared>);

impl OwnedReadHalf {
    pub(crate) fn pair(shared: Arc<Shared>) -> (OwnedReadHalf, OwnedWriteHalf) {
        (OwnedReadHalf(Arc::clone(&shared)), OwnedWriteHalf(shared))
    }
}

macro_rules! handle {
    ($($half:ident)*) => {$(
        impl $half {
            /// The address of the own end.
            pub fn local_addr(&self) -> &Addr {
                self.0.local()
            }

            /// The address of the other end.
            pub fn peer_addr(&self) -> &Addr {
                self.0.peer()
            }

            /// Closes the whole connection, as [`Conn::close`](crate::Conn::close) does.
            pub fn close(&self) {
                self.0.go_down(Cause::SocketDown.into());
            }
        }
    )*};
}

handle!(OwnedReadHalf OwnedWriteHalf);

impl AsyncRead for OwnedReadHalf {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.poll_read(cx, buf)
    }
}

impl AsyncWrite for OwnedWriteHalf {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_shutdown(cx)
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        // As the last handle it closes all, and the port is to be free before the
        // peer can know: the connection's own drop does that.
        if Arc::strong_count(&self.0) > 1 {
            self.0.drop_writer();
        }
    }
}
