//! The common API of tokio's TCP and virtnet, so that one body runs over both.
//!
//! Owns [`Net`] and [`Stream`]: each method is one call of the real API, with its name if
//! both use the same. Never hides a difference in behaviour.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use virtnet::{Conn, Host, Incoming, Listener};

use super::seen::glance;

/// Reads and writes.
pub(crate) trait Bytes: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Bytes for T {}

/// One end of a connection.
pub(crate) trait Stream: Bytes + Sized + 'static {
    type Read: AsyncRead + Send + Sync + Unpin + 'static;
    type Write: AsyncWrite + Send + Sync + Unpin + 'static;
    type Reading<'a>: AsyncRead + Unpin;
    type Writing<'a>: AsyncWrite + Unpin;

    fn local(&self) -> String;
    fn peer(&self) -> String;
    fn split(&mut self) -> (Self::Reading<'_>, Self::Writing<'_>);
    fn into_split(self) -> (Self::Read, Self::Write);
    /// `None` if they belong to different connections; the halves are then dropped.
    fn reunite(read: Self::Read, write: Self::Write) -> Option<Self>;
    fn addrs_of_halves(read: &Self::Read, write: &Self::Write) -> [String; 4];
}

/// A network: one host that dials, and another that listens.
pub(crate) trait Net {
    type Conn: Stream;
    type Listener;

    /// The listening host's address with that port.
    fn at(&self, port: u16) -> String;
    /// An address that belongs to another host.
    fn foreign(&self) -> &'static str;
    async fn listen(&self, addr: &str) -> io::Result<Self::Listener>;
    fn local(listener: &Self::Listener) -> String;
    async fn accept(listener: &Self::Listener) -> io::Result<(Self::Conn, String)>;
    /// Accepts two connections in a loop that drops its wait for other work: `true` if each
    /// dial was accepted.
    async fn incoming(&self, listener: Self::Listener) -> bool;
    async fn dial(&self, addr: &str) -> io::Result<Self::Conn>;
    /// A dial to a listener that accepts nothing: `true` if it succeeds anyway.
    async fn dial_unaccepted(&self, listener: &Self::Listener) -> bool;

    /// The two ends of a connection: the one that dialed, and the one that was accepted.
    async fn pair(&self) -> (Self::Conn, Self::Conn) {
        let listener = self.listen(&self.at(0)).await.unwrap();
        self.pair_on(&listener).await
    }

    async fn pair_on(&self, listener: &Self::Listener) -> (Self::Conn, Self::Conn) {
        let addr = Self::local(listener);
        let (dialed, accepted) = tokio::join!(self.dial(&addr), Self::accept(listener));
        (dialed.unwrap(), accepted.unwrap().0)
    }
}

impl Stream for TcpStream {
    type Read = OwnedReadHalf;
    type Write = OwnedWriteHalf;
    type Reading<'a> = ReadHalf<'a>;
    type Writing<'a> = WriteHalf<'a>;

    fn local(&self) -> String {
        self.local_addr().unwrap().to_string()
    }

    fn peer(&self) -> String {
        self.peer_addr().unwrap().to_string()
    }

    fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        self.split()
    }

    fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        self.into_split()
    }

    fn reunite(read: OwnedReadHalf, write: OwnedWriteHalf) -> Option<TcpStream> {
        read.reunite(write).ok()
    }

    fn addrs_of_halves(read: &OwnedReadHalf, write: &OwnedWriteHalf) -> [String; 4] {
        let addrs = [
            read.local_addr(),
            read.peer_addr(),
            write.local_addr(),
            write.peer_addr(),
        ];
        addrs.map(|addr| addr.unwrap().to_string())
    }
}

/// TCP on loopback.
pub(crate) struct Tcp;

impl Net for Tcp {
    type Conn = TcpStream;
    type Listener = TcpListener;

    fn at(&self, port: u16) -> String {
        format!("127.0.0.1:{port}")
    }

    /// From the block for documentation (RFC 5737): no machine has it.
    fn foreign(&self) -> &'static str {
        "192.0.2.1:0"
    }

    async fn listen(&self, addr: &str) -> io::Result<TcpListener> {
        TcpListener::bind(addr).await
    }

    fn local(listener: &TcpListener) -> String {
        listener.local_addr().unwrap().to_string()
    }

    async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, String)> {
        let (conn, peer) = listener.accept().await?;
        Ok((conn, peer.to_string()))
    }

    async fn incoming(&self, listener: TcpListener) -> bool {
        let addr = Self::local(&listener);
        for _ in 0..2 {
            assert!(glance(listener.accept()).await.is_none());
            let (dialed, taken) = tokio::join!(self.dial(&addr), listener.accept());
            if taken.unwrap().0.peer() != Stream::local(&dialed.unwrap()) {
                return false;
            }
        }
        true
    }

    async fn dial(&self, addr: &str) -> io::Result<TcpStream> {
        TcpStream::connect(addr).await
    }

    async fn dial_unaccepted(&self, listener: &TcpListener) -> bool {
        self.dial(&Self::local(listener)).await.is_ok()
    }
}

impl Stream for Conn {
    type Read = virtnet::OwnedReadHalf;
    type Write = virtnet::OwnedWriteHalf;
    type Reading<'a> = virtnet::ReadHalf<'a>;
    type Writing<'a> = virtnet::WriteHalf<'a>;

    fn local(&self) -> String {
        self.local_addr().to_string()
    }

    fn peer(&self) -> String {
        self.peer_addr().to_string()
    }

    fn split(&mut self) -> (virtnet::ReadHalf<'_>, virtnet::WriteHalf<'_>) {
        self.split()
    }

    fn into_split(self) -> (virtnet::OwnedReadHalf, virtnet::OwnedWriteHalf) {
        self.into_split()
    }

    fn reunite(read: virtnet::OwnedReadHalf, write: virtnet::OwnedWriteHalf) -> Option<Conn> {
        read.reunite(write).ok()
    }

    fn addrs_of_halves(
        read: &virtnet::OwnedReadHalf,
        write: &virtnet::OwnedWriteHalf,
    ) -> [String; 4] {
        let addrs = [
            read.local_addr(),
            read.peer_addr(),
            write.local_addr(),
            write.peer_addr(),
        ];
        addrs.map(|addr| addr.to_string())
    }
}

/// Two hosts of a virtual network.
pub(crate) struct Virt {
    pub(crate) dials: Host,
    pub(crate) listens: Host,
}

impl Net for Virt {
    type Conn = Conn;
    type Listener = Listener;

    fn at(&self, port: u16) -> String {
        format!("{}:{port}", self.listens.name())
    }

    fn foreign(&self) -> &'static str {
        "another:0"
    }

    async fn listen(&self, addr: &str) -> io::Result<Listener> {
        Ok(self.listens.listen(addr)?)
    }

    fn local(listener: &Listener) -> String {
        listener.local_addr().to_string()
    }

    async fn accept(listener: &Listener) -> io::Result<(Conn, String)> {
        let (conn, peer) = listener.accept().await?;
        Ok((conn, peer.to_string()))
    }

    async fn incoming(&self, listener: Listener) -> bool {
        let addr = Self::local(&listener);
        let mut incoming: Incoming = listener.into_incoming();
        for _ in 0..2 {
            assert!(glance(incoming.next()).await.is_none());
            let (dialed, taken) = tokio::join!(self.dial(&addr), incoming.next());
            if taken.unwrap().unwrap().peer() != Stream::local(&dialed.unwrap()) {
                return false;
            }
        }
        true
    }

    async fn dial(&self, addr: &str) -> io::Result<Conn> {
        Ok(self.dials.dial(addr).await?)
    }

    async fn dial_unaccepted(&self, listener: &Listener) -> bool {
        let dial = self.dials.dial(listener.local_addr());
        tokio::select! {
            dialed = dial => dialed.is_ok(),
            () = async {
                while listener.pending() == 0 {
                    tokio::task::yield_now().await;
                }
            } => false,
        }
    }
}
