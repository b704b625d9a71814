//! Load: every host dials every other host continuously, and accepts.
//!
//! Owns the tasks, and which of their operations are dropped early. Never creates or closes
//! a host.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use virtnet::{Addr, Cause, Conn, Host, Listener, OpError};

use crate::exchange::{self, Order};
use crate::hosts::{Hosts, MOST};
use crate::rng::Rng;
use crate::tally::{Sabotage, Tally, Watch};
use crate::wire::{PORT, now};

/// How many tasks on each host send little data.
const DIALERS: u64 = 8;
/// The average pause between two connections of such a task.
const PAUSE_MS: u64 = 80;
/// The same for the task that sends much data; each host has one.
const BULK_PAUSE_MS: u64 = 1000;
/// The pause after a failure, so that an outage causes no flood.
const RESPITE: Duration = Duration::from_millis(100);
/// An operation that takes longer hangs.
const HANG: Duration = Duration::from_secs(60);
/// How long before its accept a dial may have started.
const BEFORE_MS: u64 = 4000;

/// The time until which a host drops its operations early.
#[derive(Debug, Default)]
pub(crate) struct Drops([AtomicU64; MOST]);

impl Drops {
    pub(crate) fn until(&self, host: usize, end: u64) {
        self.0[host].store(end, Relaxed);
    }

    fn now(&self, host: usize) -> bool {
        now() < self.0[host].load(Relaxed)
    }
}

/// The state that all tasks of a process share.
#[derive(Debug, Clone)]
pub(crate) struct Common {
    pub(crate) hosts: Hosts,
    pub(crate) tally: Arc<Tally>,
    pub(crate) drops: Arc<Drops>,
}

/// The dialing tasks of a process.
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    workers: JoinSet<()>,
}

impl Load {
    pub(crate) fn start(hosts: &[(usize, Host)], seed: u64, common: &Common) -> Load {
        let (stop, stopped) = watch::channel(false);
        let mut workers = JoinSet::new();
        for (index, host) in hosts {
            for number in 0..=DIALERS {
                let worker = Worker {
                    host: host.clone(),
                    index: *index,
                    bulk: number == DIALERS,
                    rng: Rng::new(seed, *index as u64 * 100 + number),
                    common: common.clone(),
                };
                workers.spawn(worker.work(stopped.clone()));
            }
        }
        Load { stop, workers }
    }

    /// Starts no more connections, and waits for the open ones.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.workers.join_next().await.is_some() {}
    }
}

/// The next step after a round.
#[derive(PartialEq, Eq)]
enum Next {
    Another,
    Respite,
    /// This process's host is down.
    Nothing,
}

struct Worker {
    host: Host,
    index: usize,
    bulk: bool,
    rng: Rng,
    common: Common,
}

impl Worker {
    async fn work(mut self, mut stopped: watch::Receiver<bool>) {
        let pause = if self.bulk { BULK_PAUSE_MS } else { PAUSE_MS };
        loop {
            let pause = Duration::from_millis(self.rng.below(2 * pause));
            if timeout(pause, stopped.wait_for(|stop| *stop)).await.is_ok() {
                return;
            }
            let peer = self.rng.below(self.common.hosts.count() as u64) as usize;
            match self.round(peer).await {
                Next::Another => {}
                Next::Respite => sleep(RESPITE).await,
                Next::Nothing => return,
            }
        }
    }

    /// One connection, from its dial to its end.
    async fn round(&mut self, peer: usize) -> Next {
        let order = self.order();
        let mut watch = Watch {
            tally: Arc::clone(&self.common.tally),
            host: self.index,
            peer,
            began: now(),
            opened: 0,
        };
        let conn = match self.dial(&watch).await {
            Ok(Some(conn)) => conn,
            Ok(None) => return Next::Another,
            Err(next) => return next,
        };
        watch.opened = now();
        let tally = Arc::clone(&self.common.tally);
        tally.count(&tally.dialed);
        let names = self.common.hosts.names();
        let names = [names[self.index], names[peer]];
        let patience = self.patience(20_000);
        let exchange = exchange::dial(conn, names, order, &watch);
        let ended = match timeout(patience, exchange).await {
            Ok(ended) => ended,
            Err(_) => {
                tally.count(&tally.given_up);
                return Next::Another;
            }
        };
        match ended {
            Ok(bytes) => {
                tally.count(&tally.closed);
                tally.bytes.fetch_add(bytes, Relaxed);
                Next::Another
            }
            Err(end) => {
                watch.ended(&end);
                Next::Respite
            }
        }
    }

    async fn dial(&mut self, watch: &Watch) -> Result<Option<Conn>, Next> {
        let tally = Arc::clone(&self.common.tally);
        let (hosts, mut dialed) = (self.common.hosts, watch.peer);
        match tally.sabotage {
            Sabotage::Stranger if self.rng.below(1000) == 0 => {
                dialed = (dialed + 1) % hosts.count()
            }
            Sabotage::Port if self.rng.below(1000) == 0 => std::mem::forget(self.host.listen("")),
            Sabotage::Memory if self.rng.below(4) == 0 => {
                std::mem::forget(std::hint::black_box(vec![7_u8; 4 << 10]))
            }
            _ => {}
        }
        let (patience, clock) = (self.patience(2_000), Instant::now());
        let dial = self.host.dial(format!("{}:{PORT}", hosts.names()[dialed]));
        let dialed = match timeout(patience.min(HANG), dial).await {
            Ok(dialed) => dialed,
            Err(_) if patience < HANG => {
                tally.count(&tally.given_up);
                return Ok(None);
            }
            Err(_) => {
                watch.failed("hung", Cause::TimedOut, "a dial");
                return Err(Next::Respite);
            }
        };
        let what = if dialed.is_ok() {
            "dial"
        } else {
            "dial-in-vain"
        };
        watch.took(what, watch.began, clock.elapsed());
        dialed.map(Some).map_err(|err| {
            watch.failed("dial", err.cause(), &err);
            match is_down(&err) {
                true => Next::Nothing,
                false => Next::Respite,
            }
        })
    }

    /// How long to wait before dropping the operation. Never ends, except sometimes during
    /// the fault that drops operations.
    fn patience(&mut self, micros: u64) -> Duration {
        let dropped = self.common.drops.now(self.index) && self.rng.below(2) == 0;
        match dropped {
            true => Duration::from_micros(self.rng.below(micros)),
            false => Duration::MAX,
        }
    }

    fn order(&mut self) -> Order {
        let length = match (self.bulk, self.rng.below(10)) {
            // From 1 to 50 MB, mostly a few.
            (true, _) => (1 << 20) + (self.rng.below(7000) * self.rng.below(7000)),
            (false, 0) => self.rng.below(256 << 10),
            (false, 1) => 0,
            (false, _) => self.rng.below(2 << 10),
        };
        let other = self.rng.below(1 << 10);
        let [up, down] = match self.rng.below(2) {
            0 => [length, other],
            _ => [other, length],
        };
        Order {
            seed: self.rng.next(),
            up,
            down,
        }
    }
}

fn is_down(err: &OpError) -> bool {
    matches!(
        err.cause(),
        Cause::SocketDown | Cause::HostDown | Cause::NetworkDown
    )
}

/// Accepts until the listener is closed, then waits for the last connection.
pub(crate) async fn serve(listener: Arc<Listener>, host: usize, common: Common) {
    let mut rng = Rng::new(now(), host as u64);
    let mut handlers = JoinSet::new();
    let mut accept = Box::pin(listener.accept());
    loop {
        let dropping = common.drops.now(host);
        let patience = Duration::from_micros(rng.below(2_000));
        tokio::select! {
            accepted = &mut accept => match accepted {
                Ok((conn, peer)) => {
                    let patience = Duration::from_micros(rng.below(20_000));
                    let patience = if dropping { patience } else { Duration::MAX };
                    handlers.spawn(handle(conn, peer, host, common.clone(), patience));
                    accept.set(listener.accept());
                }
                Err(err) if is_down(&err) => break,
                Err(err) => {
                    let watch = watch_of(host, host, &common);
                    watch.failed("accept", err.cause(), &err);
                    accept.set(listener.accept());
                }
            },
            Some(_) = handlers.join_next(), if !handlers.is_empty() => {}
            () = sleep(patience), if dropping => accept.set(listener.accept()),
        }
    }
    while handlers.join_next().await.is_some() {}
}

fn watch_of(host: usize, peer: usize, common: &Common) -> Watch {
    let now = now();
    Watch {
        tally: Arc::clone(&common.tally),
        host,
        peer,
        began: now - BEFORE_MS,
        opened: now,
    }
}

async fn handle(conn: Conn, peer: Addr, host: usize, common: Common, patience: Duration) {
    let hosts = common.hosts;
    let known = hosts.number(peer.host());
    let watch = watch_of(host, known.unwrap_or(host), &common);
    let tally = &common.tally;
    tally.count(&tally.accepted);
    let exchange = exchange::accept(conn, [hosts.names()[host], peer.host()], &watch);
    match timeout(patience, exchange).await {
        Ok(Ok(bytes)) => drop(tally.bytes.fetch_add(bytes, Relaxed)),
        Ok(Err(end)) => watch.ended(&end),
        Err(_) => tally.count(&tally.given_up),
    }
}
