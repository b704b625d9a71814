//! Relays between hosts: all others reach a host through its relay, which can lose, delay,
//! duplicate and hold back datagrams.
//!
//! Owns the addresses that hosts bind and announce, and the impairments of each path. Never
//! reads the datagrams, which are encrypted.
//!
//! All of 127.0.0.0/8 is this machine. A host of process 0 binds 127.77.0.1 and announces
//! 127.77.0.2 with the same port, where its relay is. So two hosts of one subnetwork have
//! separate relays, and a datagram's source address shows its process.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::hosts::{Hosts, PROCESSES};
use crate::rng::Rng;

/// The longest datagram.
const LONGEST: usize = 1 << 16;
/// How many ports to try: another program may use some.
const TRIES: usize = 100;

/// The impairments of a host's datagrams, in both directions.
#[derive(Debug, Default)]
pub(crate) struct Weather {
    /// How many in 1,000 are lost.
    pub(crate) lost: AtomicU32,
    /// How many in 1,000 are duplicated.
    pub(crate) doubled: AtomicU32,
    /// The delay of each,
    pub(crate) delay_ms: AtomicU32,
    /// and the maximum random addition to it, which reorders datagrams.
    pub(crate) jitter_ms: AtomicU32,
    /// A bit for each process from which it is cut off.
    pub(crate) cut: AtomicU32,
    passed: AtomicU64,
    dropped: AtomicU64,
}

/// The relays of all hosts. Dropping it ends their tasks.
pub(crate) struct Relays {
    hosts: Hosts,
    weather: Vec<Arc<Weather>>,
    /// The first of each process's ports.
    ports: Vec<u16>,
    _tasks: JoinSet<()>,
}

impl Relays {
    pub(crate) async fn start(hosts: Hosts, seed: u64) -> io::Result<Relays> {
        let mut relays = Relays {
            hosts,
            weather: Vec::new(),
            ports: Vec::new(),
            _tasks: JoinSet::new(),
        };
        for process in 0..PROCESSES {
            let sockets = sockets(hosts, process).await?;
            relays.ports.push(sockets[0].local_addr()?.port());
            for socket in sockets {
                let weather = Arc::new(Weather::default());
                let relay = Relay {
                    to: (place(process, 1), socket.local_addr()?.port()).into(),
                    near: Arc::new(socket),
                    weather: Arc::clone(&weather),
                    rng: Rng::new(seed, relays.weather.len() as u64),
                };
                relays.weather.push(weather);
                relays._tasks.spawn(relay.run());
            }
        }
        Ok(relays)
    }

    /// The addresses that the hosts of a process bind and announce.
    pub(crate) fn places(&self, process: usize) -> [String; 2] {
        let (first, ip) = (self.ports[process], place(process, 1));
        let last = usize::from(first) + self.hosts.of(process).len() - 1;
        [
            format!("{ip}:{first}-{last}"),
            place(process, 2).to_string(),
        ]
    }

    pub(crate) fn weather(&self, host: usize) -> &Weather {
        &self.weather[host]
    }

    /// Cuts two processes off from each other, or reconnects them.
    pub(crate) fn cut(&self, pair: [usize; 2], cut: bool) {
        for host in 0..self.hosts.count() {
            let other = match self.hosts.home(host) {
                process if process == pair[0] => pair[1],
                process if process == pair[1] => pair[0],
                _ => continue,
            };
            let bits = &self.weather[host].cut;
            match cut {
                true => bits.fetch_or(1 << other, Relaxed),
                false => bits.fetch_and(!(1 << other), Relaxed),
            };
        }
    }

    /// How many datagrams were passed on, and how many were dropped.
    pub(crate) fn counts(&self) -> [u64; 2] {
        let sum = |count: fn(&Weather) -> &AtomicU64| {
            let counts = self.weather.iter().map(|at| count(at).load(Relaxed));
            counts.sum()
        };
        [sum(|at| &at.passed), sum(|at| &at.dropped)]
    }
}

/// An address of this machine that no other program uses.
fn place(process: usize, side: u8) -> IpAddr {
    Ipv4Addr::new(127, 77, process as u8, side).into()
}

/// The sockets of a process's relays, at consecutive ports that are free at the hosts'
/// address as well.
async fn sockets(hosts: Hosts, process: usize) -> io::Result<Vec<UdpSocket>> {
    let mut last = None;
    for _ in 0..TRIES {
        let first = UdpSocket::bind((place(process, 2), 0)).await?;
        match next_to(first, hosts, process).await {
            Ok(sockets) => return Ok(sockets),
            Err(err) => last = Some(err),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

async fn next_to(first: UdpSocket, hosts: Hosts, process: usize) -> io::Result<Vec<UdpSocket>> {
    let port = first.local_addr()?.port();
    let (mut sockets, mut kept) = (vec![first], Vec::new());
    for offset in 0..hosts.of(process).len() as u16 {
        let port = port.checked_add(offset).ok_or(io::ErrorKind::AddrInUse)?;
        kept.push(UdpSocket::bind((place(process, 1), port)).await?);
        if offset > 0 {
            sockets.push(UdpSocket::bind((place(process, 2), port)).await?);
        }
    }
    Ok(sockets)
}

struct Relay {
    /// The host.
    to: SocketAddr,
    near: Arc<UdpSocket>,
    weather: Arc<Weather>,
    rng: Rng,
}

impl Relay {
    async fn run(mut self) {
        let (mut backs, mut tasks) = (HashMap::new(), JoinSet::new());
        let mut piece = vec![0; LONGEST];
        loop {
            // The error belongs to a datagram that was sent before.
            let Ok((length, from)) = self.near.recv_from(&mut piece).await else {
                continue;
            };
            let far = match backs.entry(from) {
                Entry::Occupied(there) => there.into_mut(),
                Entry::Vacant(room) => {
                    let Ok(far) = self.far().await else {
                        continue;
                    };
                    let back = Relay {
                        to: from,
                        near: Arc::clone(&far),
                        weather: Arc::clone(&self.weather),
                        rng: Rng::new(self.rng.next(), 0),
                    };
                    tasks.spawn(back.run_back(Arc::clone(&self.near)));
                    room.insert(far)
                }
            };
            self.pass(&piece[..length], from, far, self.to).await;
        }
    }

    /// The socket that stands for one peer: the host sees it as that peer.
    async fn far(&self) -> io::Result<Arc<UdpSocket>> {
        let own = self.near.local_addr()?.ip();
        let far = UdpSocket::bind((own, 0)).await?;
        Ok(Arc::new(far))
    }

    /// Passes datagrams from the host back to `to`, from the relay's address.
    async fn run_back(mut self, out: Arc<UdpSocket>) {
        let mut piece = vec![0; LONGEST];
        loop {
            let Ok((length, _)) = self.near.recv_from(&mut piece).await else {
                continue;
            };
            self.pass(&piece[..length], self.to, &out, self.to).await;
        }
    }

    /// Passes a datagram from or for `who` to `to`, unless the impairments drop it.
    async fn pass(&mut self, piece: &[u8], who: SocketAddr, out: &Arc<UdpSocket>, to: SocketAddr) {
        let weather = &self.weather;
        let cut = weather.cut.load(Relaxed);
        let is_cut = cut != 0 && process_at(who).is_some_and(|process| cut & 1 << process != 0);
        let mut chance = |of_thousand: &AtomicU32| match of_thousand.load(Relaxed) {
            0 => false,
            many => self.rng.below(1000) < many.into(),
        };
        if is_cut || chance(&weather.lost) {
            weather.dropped.fetch_add(1, Relaxed);
            return;
        }
        weather.passed.fetch_add(1, Relaxed);
        let times = if chance(&weather.doubled) { 2 } else { 1 };
        let delay = weather.delay_ms.load(Relaxed);
        for _ in 0..times {
            if delay == 0 {
                // Like a network, it does not report datagrams that it could not send.
                let _ = out.send_to(piece, to).await;
                continue;
            }
            let jitter = u64::from(weather.jitter_ms.load(Relaxed)) * 1000 + 1;
            let late = u64::from(delay) * 1000 + self.rng.below(jitter);
            let (out, piece) = (Arc::clone(out), piece.to_vec());
            tokio::spawn(async move {
                sleep(Duration::from_micros(late)).await;
                let _ = out.send_to(&piece, to).await;
            });
        }
    }
}

/// The process whose hosts have this address.
fn process_at(addr: SocketAddr) -> Option<usize> {
    match addr.ip() {
        IpAddr::V4(ip) => Some(ip.octets()[2].into()),
        IpAddr::V6(_) => None,
    }
}
