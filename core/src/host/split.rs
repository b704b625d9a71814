//! The two halves of a connection that was split.
//!
//! Owns the handles, and the effect of dropping one of them. Never touches a stream: the
//! connection does.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::host::conn_inner::{ConnInner, OpenConn};
use crate::{Addr, Cause, Conn};

/// The reading half of a [`Conn`], from [`into_split`](Conn::into_split).
///
/// Dropping it alone has no effect that the peer sees. If you drop it before the write half,
/// dropping the write half closes the connection, and the port is free before the peer sees
/// the end. [`close`](OwnedReadHalf::close) does the same in any order. Errors and cancel
/// safety are those of [`Conn`].
pub struct OwnedReadHalf(Arc<OpenConn>);

/// The writing half of a [`Conn`], from [`into_split`](Conn::into_split).
///
/// Dropping it half-closes the connection: the peer reads what was written,
/// then end-of-file. Errors and cancel safety are those of [`Conn`].
pub struct OwnedWriteHalf(Arc<OpenConn>, Drops);

/// The effect of dropping a write half.
#[derive(PartialEq)]
enum Drops {
    HalfClose,
    Nothing,
}

/// The reading half of a [`Conn`], from [`split`](Conn::split). Errors and cancel
/// safety are those of [`Conn`].
pub struct ReadHalf<'a>(&'a ConnInner);

/// The writing half of a [`Conn`], from [`split`](Conn::split). Dropping it has no
/// effect. Errors and cancel safety are those of [`Conn`].
pub struct WriteHalf<'a>(&'a ConnInner);

pub(crate) fn pair(open: OpenConn) -> (OwnedReadHalf, OwnedWriteHalf) {
    let shared = Arc::new(open);
    let reader = OwnedReadHalf(Arc::clone(&shared));
    (reader, OwnedWriteHalf(shared, Drops::HalfClose))
}

pub(crate) fn borrow(shared: &ConnInner) -> (ReadHalf<'_>, WriteHalf<'_>) {
    (ReadHalf(shared), WriteHalf(shared))
}

/// Two halves of different connections, which are given back.
pub struct ReuniteError(pub OwnedReadHalf, pub OwnedWriteHalf);

impl fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ReuniteError(reader, writer) = self;
        write!(
            f,
            "expected halves of one connection, got {reader:?} and {writer:?}"
        )
    }
}

impl fmt::Debug for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::report(self, f)
    }
}

impl std::error::Error for ReuniteError {}

impl OwnedReadHalf {
    /// Joins two halves to a connection again.
    ///
    /// # Errors
    ///
    /// [`ReuniteError`] with both halves, when they are of different connections.
    ///
    /// ```
    /// # fn example(conn: virtnet_core::Conn) {
    /// let (reader, writer) = conn.into_split();
    /// let conn = reader.reunite(writer).expect("halves of one connection");
    /// # }
    /// ```
    pub fn reunite(self, mut writer: OwnedWriteHalf) -> Result<Conn, ReuniteError> {
        if !Arc::ptr_eq(&self.0, &writer.0) {
            return Err(ReuniteError(self, writer));
        }
        writer.1 = Drops::Nothing;
        drop(writer);
        let open =
            Arc::into_inner(self.0).expect("a connection has two halves, and one is dropped");
        Ok(Conn::reunited(open))
    }
}

impl OwnedWriteHalf {
    /// The same as [`OwnedReadHalf::reunite`].
    ///
    /// # Errors
    ///
    /// [`ReuniteError`] with both halves, when they are of different connections.
    pub fn reunite(self, reader: OwnedReadHalf) -> Result<Conn, ReuniteError> {
        reader.reunite(self)
    }
}

macro_rules! handle {
    ($($half:ty)*) => {$(
        impl fmt::Debug for $half {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl $half {
            /// The address of this end.
            pub fn local_addr(&self) -> &Addr {
                self.0.local()
            }

            /// The address of the other end.
            pub fn peer_addr(&self) -> &Addr {
                self.0.peer()
            }
        }
    )*};
}

handle!(OwnedReadHalf OwnedWriteHalf ReadHalf<'_> WriteHalf<'_>);

macro_rules! close {
    ($($half:ty)*) => {$(
        impl $half {
            /// Closes the whole connection, as [`Conn::close`] does.
            pub fn close(&self) {
                self.0.go_down(Cause::SocketDown.into());
            }

            /// Cuts the whole connection, as [`Conn::abort`] does.
            pub fn abort(&self) {
                self.0.abort();
            }
        }
    )*};
}

close!(OwnedReadHalf OwnedWriteHalf);

macro_rules! readable {
    ($($half:ty)*) => {$(
        impl AsyncRead for $half {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                self.0.poll_read(cx, buf)
            }
        }
    )*};
}

readable!(OwnedReadHalf ReadHalf<'_>);

macro_rules! writable {
    ($($half:ty)*) => {$(
        impl AsyncWrite for $half {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.0.poll_write(cx, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.0.poll_write_vectored(cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                self.0.is_write_vectored()
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.0.poll_flush(cx)
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.0.poll_shutdown(cx)
            }
        }
    )*};
}

writable!(OwnedWriteHalf WriteHalf<'_>);

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        // The last half closes the connection, so that the port is free before the peer can know.
        if self.1 == Drops::HalfClose && Arc::strong_count(&self.0) > 1 {
            self.0.drop_writer();
        }
    }
}
