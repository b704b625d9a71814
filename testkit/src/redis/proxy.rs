//! A proxy in front of a server that can hold the server's replies back, drop one, or let
//! nothing through.
//!
//! Owns its tasks: they end with it. Never changes the bytes that it forwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A running proxy. Dropping it ends all its connections.
pub struct Proxy {
    port: u16,
    controls: Arc<Controls>,
    task: JoinHandle<()>,
}

struct Controls {
    /// The server that new connections go to.
    server_port: AtomicU16,
    hold: watch::Sender<bool>,
    /// Whether requests are kept back, too.
    cut_off: watch::Sender<bool>,
    /// Connections that are older than the last freeze answer no more.
    freezes: watch::Sender<usize>,
    cut_next: AtomicBool,
    cuts: AtomicUsize,
    connections: AtomicUsize,
}

impl Proxy {
    /// Starts a proxy in front of the server on this port of 127.0.0.1.
    pub async fn start(server_port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let controls = Arc::new(Controls {
            server_port: AtomicU16::new(server_port),
            hold: watch::Sender::new(false),
            cut_off: watch::Sender::new(false),
            freezes: watch::Sender::new(0),
            cut_next: AtomicBool::new(false),
            cuts: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
        });
        let task = tokio::spawn(serve(listener, Arc::clone(&controls)));
        Proxy {
            port,
            controls,
            task,
        }
    }

    /// `redis://127.0.0.1:<port>` of the proxy.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Lets new connections go to another server; those that there are stay.
    pub fn redirect(&self, server_port: u16) {
        self.controls
            .server_port
            .store(server_port, Ordering::SeqCst);
    }

    /// Keeps answers back, on connections that there are and that come. Those
    /// kept back are passed on when this ends.
    pub fn hold_answers(&self, hold: bool) {
        self.controls.hold.send_replace(hold);
    }

    /// Lets nothing through in either direction, on connections that there are
    /// and that come. What was kept back is passed on when this ends, as packets
    /// are that are sent again: even what was given up by then.
    pub fn cut_off(&self, cut_off: bool) {
        self.controls.cut_off.send_replace(cut_off);
        self.controls.hold.send_replace(cut_off);
    }

    /// Lets the existing connections reply nothing more.
    pub fn freeze_connections(&self) {
        self.controls.freezes.send_modify(|freezes| *freezes += 1);
    }

    /// Closes the next connection on which the server answers, in place of the
    /// answer.
    pub fn cut_at_next_answer(&self) {
        self.controls.cut_next.store(true, Ordering::SeqCst);
    }

    /// How many answers were lost so.
    pub fn cuts(&self) -> usize {
        self.controls.cuts.load(Ordering::SeqCst)
    }

    /// How many connections were made to it so far.
    pub fn connections(&self) -> usize {
        self.controls.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Its connections' tasks are in its set, and go with it.
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, controls: Arc<Controls>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        controls.connections.fetch_add(1, Ordering::SeqCst);
        let server_port = controls.server_port.load(Ordering::SeqCst);
        let Ok(server) = TcpStream::connect(("127.0.0.1", server_port)).await else {
            continue;
        };
        let controls = Arc::clone(&controls);
        connections.spawn(async move {
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::select! {
                () = requests(from_client, to_server, &controls) => {}
                () = answers(from_server, to_client, &controls) => {}
            }
        });
    }
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, controls: &Controls) {
    let mut buffer = vec![0; 64 * 1024];
    let mut cut_off = controls.cut_off.subscribe();
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        let _ = cut_off.wait_for(|cut_off| !cut_off).await;
        if to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, controls: &Controls) {
    let mut buffer = vec![0; 64 * 1024];
    let mut hold = controls.hold.subscribe();
    let freezes = controls.freezes.subscribe();
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        if controls.cut_next.swap(false, Ordering::SeqCst) {
            controls.cuts.fetch_add(1, Ordering::SeqCst);
            return;
        }
        if freezes.has_changed().unwrap_or(true) {
            return std::future::pending().await;
        }
        let _ = hold.wait_for(|hold| !hold).await;
        if to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}
