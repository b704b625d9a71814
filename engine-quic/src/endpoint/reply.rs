//! Writing the acceptor's replies without waiting for the dialer.
//!
//! Owns the reserve of send buffer that replies have. Never writes a connection's bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use quinn::{Connection, SendStream};
use tokio::io::AsyncWrite;

/// How many bytes replies may be sent beyond the send window: thousands of replies.
const RESERVE: u64 = 64 << 10;

/// Writes replies, also where other streams fill the send window.
///
/// That window, of bytes that the peer has not acknowledged yet, is one for all streams of a
/// QUIC connection. A peer that was stopped in the midst of a transfer leaves it full. An
/// accept that has taken a dial of that peer must not wait for it.
pub(crate) struct ReplyWriter<'a> {
    pub(crate) send: &'a mut SendStream,
    pub(crate) conn: &'a Connection,
    /// The connection's send window, in bytes.
    pub(crate) send_window: u64,
}

impl AsyncWrite for ReplyWriter<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut written = Pin::new(&mut *self.send).poll_write(cx, buf);
        if written.is_pending() {
            self.conn
                .set_send_window(self.send_window.saturating_add(RESERVE));
            written = Pin::new(&mut *self.send).poll_write(cx, buf);
            self.conn.set_send_window(self.send_window);
        }
        written.map_err(Into::into)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.send).poll_shutdown(cx)
    }
}
