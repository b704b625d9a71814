//! Sockets of the real machine: a program's end of a forwarded connection, and the listeners
//! that programs connect to.
//!
//! Owns that an unfinished TCP connection ends with a reset, never with a clean end, even if
//! this process is killed: its linger time is 0 until it has ended in both directions. Never
//! knows the virtual network.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};

use super::endpoint::Endpoint;
use super::forward::ForwardError;

/// How many connections of programs may wait to be accepted. The system's own limit is in force, too.
const BACKLOG: u32 = 4096;

/// A program's connection. Dropping it resets it, unless [`finish`](LocalStream::finish) was
/// called.
#[derive(Debug)]
pub(super) enum LocalStream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// The same for either kind of socket.
macro_rules! either {
    ($self:expr, $stream:ident => $do:expr) => {
        match $self {
            LocalStream::Tcp($stream) => $do,
            #[cfg(unix)]
            LocalStream::Unix($stream) => $do,
        }
    };
}

impl LocalStream {
    fn tcp(stream: TcpStream) -> io::Result<LocalStream> {
        stream.set_nodelay(true)?;
        stream.set_zero_linger()?;
        Ok(LocalStream::Tcp(stream))
    }

    /// Connects to a program. Dropping the future gives up.
    pub(super) async fn connect(to: &Endpoint) -> io::Result<LocalStream> {
        match to {
            Endpoint::Tcp(addr) => LocalStream::tcp(TcpStream::connect(addr).await?),
            #[cfg(unix)]
            Endpoint::Unix(path) => Ok(LocalStream::Unix(UnixStream::connect(path).await?)),
            #[cfg(not(unix))]
            Endpoint::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Both directions have ended: the drop ends it cleanly and delivers what was written.
    pub(super) fn finish(&self) {
        if let LocalStream::Tcp(stream) = self {
            // Fails only for a connection that was reset already.
            let _ = socket2::SockRef::from(stream).set_linger(None);
        }
    }
}

impl AsyncRead for LocalStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for LocalStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(cx))
    }
}

/// Accepts programs' connections. Dropping it removes a Unix socket's file.
#[derive(Debug)]
pub(super) enum LocalListener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener, RemoveFile),
}

/// Removes the file when dropped.
#[cfg(unix)]
#[derive(Debug)]
pub(super) struct RemoveFile(std::path::PathBuf);

#[cfg(unix)]
impl Drop for RemoveFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl LocalListener {
    /// Listens; without `any_address`, only on loopback or a Unix socket. Returns where, with
    /// the real port.
    pub(super) async fn bind(
        at: &Endpoint,
        any_address: bool,
    ) -> Result<(LocalListener, Endpoint), ForwardError> {
        let failed = |source| ForwardError::Listen {
            at: at.clone(),
            source,
        };
        match at {
            Endpoint::Tcp(addr) => {
                let addrs: Vec<SocketAddr> = lookup_host(addr).await.map_err(failed)?.collect();
                let open = addrs
                    .iter()
                    .find(|addr| !addr.ip().to_canonical().is_loopback());
                match open {
                    Some(_) if !any_address => return Err(ForwardError::NotLoopback(at.clone())),
                    Some(_) => tracing::warn!(
                        "everybody who reaches {at} can use the network through it, unauthenticated"
                    ),
                    None => {}
                }
                let listener = listen(&addrs).map_err(failed)?;
                let bound = listener.local_addr().map_err(failed)?;
                Ok((LocalListener::Tcp(listener), bound.into()))
            }
            #[cfg(unix)]
            Endpoint::Unix(path) => {
                remove_abandoned(path);
                let listener = UnixListener::bind(path).map_err(failed)?;
                let remove = RemoveFile(path.clone());
                Ok((LocalListener::Unix(listener, remove), at.clone()))
            }
            #[cfg(not(unix))]
            Endpoint::Unix(_) => Err(failed(io::ErrorKind::Unsupported.into())),
        }
    }

    /// Accepts a program's connection, and says who it is. Dropping the future loses none.
    pub(super) async fn accept(&self) -> io::Result<(LocalStream, String)> {
        match self {
            LocalListener::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((LocalStream::tcp(stream)?, peer.to_string()))
            }
            #[cfg(unix)]
            LocalListener::Unix(listener, RemoveFile(path)) => {
                let (stream, _) = listener.accept().await?;
                let program = format!("a program at unix:{}", path.display());
                Ok((LocalStream::Unix(stream), program))
            }
        }
    }
}

/// Listens at the first address that can be had.
///
/// tokio's own way has room for 128 connections that were not accepted yet; those that come after them wait for
/// a second.
fn listen(addrs: &[SocketAddr]) -> io::Result<TcpListener> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for addr in addrs {
        let listened = (|| {
            let socket = match addr {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            #[cfg(unix)]
            socket.set_reuseaddr(true)?;
            socket.bind(*addr)?;
            socket.listen(BACKLOG)
        })();
        match listened {
            Ok(listener) => return Ok(listener),
            Err(err) => failed = err,
        }
    }
    Err(failed)
}

/// Removes the socket file of a process that was killed: nobody is there.
#[cfg(unix)]
fn remove_abandoned(path: &std::path::Path) {
    use std::os::unix::fs::FileTypeExt;
    use std::os::unix::net::UnixDatagram;
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    // A stream would be a connection that its program sees. For a datagram it is the wrong
    // kind of socket, unless none is there.
    let Ok(socket) = UnixDatagram::unbound() else {
        return;
    };
    let refused = |err: io::Error| err.kind() == io::ErrorKind::ConnectionRefused;
    if is_socket && socket.connect(path).is_err_and(refused) {
        let _ = std::fs::remove_file(path);
    }
}
