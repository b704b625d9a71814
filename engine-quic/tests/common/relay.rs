//! A path between hosts with faults: it loses, delays, reorders or duplicates
//! datagrams, drops those above a size, or all.
//!
//! Owns what happens to a datagram on its way. Never reads its content.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// What a path does, in each direction. The probabilities are in thousandths.
#[derive(Debug, Clone, Copy)]
pub struct Path {
    pub lost: u64,
    /// The datagram with this number is lost, counted from 1 since the path was set.
    pub lost_at: u64,
    pub twice: u64,
    /// This many are delayed by up to `late_by`, and so reordered.
    pub late: u64,
    pub late_by: Duration,
    pub delay: Duration,
    /// Longer datagrams are dropped silently.
    pub largest: usize,
}

impl Path {
    pub const CLEAN: Path = Path {
        lost: 0,
        lost_at: 0,
        twice: 0,
        late: 0,
        late_by: Duration::ZERO,
        delay: Duration::ZERO,
        largest: usize::MAX,
    };
    /// Drops everything.
    pub const CUT: Path = Path {
        largest: 0,
        ..Path::CLEAN
    };
    /// Loses a tenth, duplicates a twentieth, and delays a third.
    pub const ROUGH: Path = Path {
        lost: 100,
        lost_at: 0,
        twice: 50,
        late: 333,
        late_by: Duration::from_millis(8),
        delay: Duration::from_millis(1),
        // The usual size between machines, so that there are many datagrams.
        largest: 1452,
    };
}

/// Counts of the datagrams of both directions, by what happened to them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fates {
    pub came: u64,
    pub bytes: u64,
    pub lost: u64,
    pub twice: u64,
    pub late: u64,
}

struct State {
    there: Path,
    back: Path,
    /// How many datagrams came on each since it was set.
    came: [u64; 2],
    fates: Fates,
    random: fastrand::Rng,
}

/// A relay to one host, for any number of peers. Dropping it ends its tasks.
pub struct Relay {
    place: SocketAddr,
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

#[derive(Clone, Copy)]
enum Way {
    There,
    Back,
}

impl Relay {
    pub async fn start(to: SocketAddr, seed: u64) -> Relay {
        let near = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
        let place = near.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            there: Path::CLEAN,
            back: Path::CLEAN,
            came: [0; 2],
            fates: Fates::default(),
            random: fastrand::Rng::with_seed(seed),
        }));
        let mut tasks = JoinSet::new();
        tasks.spawn(run(near, to, Arc::clone(&state)));
        Relay {
            place,
            state,
            _tasks: tasks,
        }
    }

    /// The address at which peers reach the host through the relay.
    pub fn real_addr(&self) -> SocketAddr {
        self.place
    }

    /// Sets the path of both directions.
    pub fn set(&self, path: Path) {
        self.set_each(path, path);
    }

    /// Sets the paths to the host and back.
    pub fn set_each(&self, there: Path, back: Path) {
        let mut state = self.state.lock().unwrap();
        (state.there, state.back) = (there, back);
        state.came = [0; 2];
    }

    pub fn fates(&self) -> Fates {
        self.state.lock().unwrap().fates
    }
}

/// Opens one socket for each peer, so that replies find their way back.
async fn run(near: Arc<UdpSocket>, to: SocketAddr, state: Arc<Mutex<State>>) {
    let (mut peers, mut tasks) = (HashMap::new(), JoinSet::new());
    let mut datagram = vec![0; 1 << 16];
    while let Ok((length, peer)) = near.recv_from(&mut datagram).await {
        let far = match peers.entry(peer) {
            Entry::Occupied(known) => Arc::clone(known.get()),
            Entry::Vacant(new) => {
                let far = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
                far.connect(to).await.unwrap();
                // Else the first datagram would be dropped, which costs a second.
                far.writable().await.unwrap();
                let (near, state) = (Arc::clone(&near), Arc::clone(&state));
                tasks.spawn(answers(Arc::clone(&far), near, peer, state));
                Arc::clone(new.insert(far))
            }
        };
        pass(&state, Way::There, &datagram[..length], move |bytes| {
            drop(far.try_send(bytes));
        });
    }
}

async fn answers(
    far: Arc<UdpSocket>,
    near: Arc<UdpSocket>,
    peer: SocketAddr,
    state: Arc<Mutex<State>>,
) {
    let mut datagram = vec![0; 1 << 16];
    loop {
        // A closed port causes an error, and may open again.
        let Ok(length) = far.recv(&mut datagram).await else {
            continue;
        };
        let near = Arc::clone(&near);
        pass(&state, Way::Back, &datagram[..length], move |bytes| {
            drop(near.try_send_to(bytes, peer));
        });
    }
}

/// Decides on one datagram, and sends it as often and as late as decided.
fn pass(
    state: &Mutex<State>,
    way: Way,
    datagram: &[u8],
    send: impl Fn(&[u8]) + Clone + Send + 'static,
) {
    for delay in state.lock().unwrap().fate(way, datagram.len()) {
        if delay.is_zero() {
            send(datagram);
            continue;
        }
        let (datagram, send) = (datagram.to_vec(), send.clone());
        tokio::spawn(async move {
            sleep(delay).await;
            send(&datagram);
        });
    }
}

impl State {
    /// How late each copy is sent.
    fn fate(&mut self, way: Way, length: usize) -> Vec<Duration> {
        let path = match way {
            Way::There => self.there,
            Way::Back => self.back,
        };
        self.fates.came += 1;
        let came = &mut self.came[way as usize];
        *came += 1;
        let chosen = *came == path.lost_at;
        self.fates.bytes += length as u64;
        if chosen || length > path.largest || self.below(1000) < path.lost {
            self.fates.lost += 1;
            return Vec::new();
        }
        let copies = if self.below(1000) < path.twice { 2 } else { 1 };
        self.fates.twice += copies - 1;
        let mut delays = Vec::new();
        for _ in 0..copies {
            let mut delay = path.delay;
            if self.below(1000) < path.late {
                self.fates.late += 1;
                delay += path.late_by * self.below(1001) as u32 / 1000;
            }
            delays.push(delay);
        }
        delays
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random.u64(..bound)
    }
}

/// A random seed, or that of `FAILURES_SEED`. Printed, so that a run can be repeated.
pub fn seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let given = std::env::var("FAILURES_SEED").ok();
    let seed = given.map_or(since.as_nanos() as u64, |seed| seed.parse().unwrap());
    println!("FAILURES_SEED={seed}");
    seed
}

/// Pseudo-random bytes of this seed.
pub fn bytes(seed: u64, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}
