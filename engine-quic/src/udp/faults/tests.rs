//! A socket with faults, and plain sockets as its peers.
//!
//! Owns what the socket does to datagrams. Never uses QUIC: any bytes do.

mod idle;

use std::io::IoSliceMut;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime, TokioRuntime};
use tokio::time::{Instant, timeout};
use virtnet_core::faults::{FaultTable, RuleCounts};

use crate::Counters;
use crate::udp::faults::EngineFaults;
use crate::udp::faults::host::HostFaults;
use crate::udp::faults::name::PeerName;
use crate::udp::faults::recovery::Recovery;
use crate::udp::faults::socket::FaultySocket;

const HANG: Duration = Duration::from_secs(20);

/// α's socket, and β behind a plain one. γ is not known by its address.
struct World {
    engine: EngineFaults,
    faults: Arc<HostFaults>,
    socket: FaultySocket,
    beta: tokio::net::UdpSocket,
    _name: PeerName,
    table: Arc<FaultTable>,
}

fn bound() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

impl World {
    async fn new(plan: &str) -> World {
        let engine = EngineFaults::default();
        let faults = engine.host(&"α".into(), &Counters::default());
        let below = TokioRuntime.wrap_udp_socket(bound()).unwrap();
        // As QUIC asks before each datagram.
        let mut poller = Arc::clone(&below).create_io_poller();
        let writable = std::future::poll_fn(|cx| poller.as_mut().poll_writable(cx));
        writable.await.unwrap();
        let beta = tokio::net::UdpSocket::from_std(bound()).unwrap();
        let at = beta.local_addr().unwrap();
        let mut world = World {
            _name: faults.name(at, "β", &Recovery::default()),
            socket: FaultySocket::new(below, Arc::clone(&faults), Arc::new(TokioRuntime)),
            engine,
            faults,
            beta,
            table: Arc::default(),
        };
        world.enforce(plan);
        world
    }

    fn enforce(&mut self, plan: &str) {
        let plan = plan.parse().unwrap();
        self.table = Arc::new(self.table.followed_by(&plan).unwrap());
        self.engine.enforce(&self.table);
    }

    fn counts(&self) -> Vec<RuleCounts> {
        self.table.counts().map(|(_, counts)| counts).collect()
    }

    fn beta(&self) -> SocketAddr {
        self.beta.local_addr().unwrap()
    }

    fn alpha(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// One batch of α to β.
    fn send(&self, contents: &[u8], segment_size: Option<usize>) {
        let transmit = Transmit {
            destination: self.beta(),
            ecn: None,
            contents,
            segment_size,
            src_ip: None,
        };
        self.socket.try_send(&transmit).unwrap();
    }

    /// The next datagram that β gets.
    async fn beta_gets(&self) -> Vec<u8> {
        let mut buf = [0; 1 << 11];
        let received = timeout(HANG, self.beta.recv(&mut buf)).await;
        let length = received.expect("a datagram comes").unwrap();
        buf[..length].to_vec()
    }

    /// The next datagrams that α gets.
    async fn alpha_gets(&self) -> Vec<u8> {
        let mut buf = vec![0; 1 << 16];
        let receive = std::future::poll_fn(|cx| {
            let (mut bufs, mut meta) = ([IoSliceMut::new(&mut buf)], [RecvMeta::default()]);
            let received = self.socket.poll_recv(cx, &mut bufs, &mut meta);
            received.map(|count| (count.unwrap(), meta[0]))
        });
        let since = Instant::now();
        let (count, meta) = timeout(HANG, receive).await.expect("a datagram comes");
        // The end of the timeout would poll once more.
        assert!(since.elapsed() < HANG, "the reader was not woken");
        assert_eq!((count, meta.addr), (1, self.beta()));
        buf.truncate(meta.len);
        buf
    }
}

/// Lets the task that sends run until it waits.
async fn sender_runs() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

/// Datagrams of `length` bytes; each has its number.
fn numbered(count: usize, length: usize) -> Vec<u8> {
    let datagrams = (0..count).map(|nth| vec![nth as u8; length]);
    datagrams.collect::<Vec<_>>().concat()
}

#[tokio::test]
async fn each_datagram_of_a_batch_has_its_own_fate() {
    let world = World::new("seed 3\nlose α -> β 50%").await;
    let batch = numbered(10, 100);
    // The last one is shorter.
    world.send(&batch[..950], Some(100));
    let link = FaultTable::of(&"seed 3\nlose α -> β 50%".parse().unwrap()).unwrap();
    let link = link.link("α", "β").unwrap();
    let arrives = |_: &usize| link.send(100, Instant::now()).sent_at().next().is_some();
    let arriving: Vec<usize> = (0..10).filter(arrives).collect();
    assert_eq!(world.counts()[0].matched, 10);
    assert_eq!(world.counts()[0].hit, 10 - arriving.len() as u64);
    assert!(!arriving.is_empty() && arriving.len() < 10, "{arriving:?}");
    for nth in arriving {
        let length = if nth == 9 { 50 } else { 100 };
        assert_eq!(world.beta_gets().await, vec![nth as u8; length]);
    }
    // Twice each.
    let mut world = world;
    world.enforce("duplicate α -> β 100%");
    world.send(&batch[..200], Some(100));
    for nth in [0, 0, 1, 1] {
        assert_eq!(world.beta_gets().await, [nth; 100]);
    }
}

#[tokio::test]
async fn delayed_datagrams_come_late_and_in_order() {
    const DELAY: Duration = Duration::from_millis(30);
    let mut world = World::new("delay α -> β 30ms\nlose γ -> * 100%").await;
    let since = Instant::now();
    for nth in 0..3 {
        world.send(&numbered(4, 50)[nth * 50..][..50], None);
    }
    for nth in 0..3 {
        assert_eq!(world.beta_gets().await, [nth; 50]);
    }
    assert!(since.elapsed() >= DELAY);
    // What waits when the rule goes comes before what is sent then.
    world.enforce("delay α -> β 1h");
    world.send(&[1; 50], None);
    world.enforce("lose γ -> * 100%");
    world.send(&[2; 50], None);
    assert_eq!(world.beta_gets().await, [1; 50]);
    assert_eq!(world.beta_gets().await, [2; 50]);
    // Without rules, and with nothing that waits, nothing is looked at.
    world.enforce("delay α -> β 1h");
    world.send(&[3; 50], None);
    world.enforce("");
    assert_eq!(world.beta_gets().await, [3; 50]);
    timeout(HANG, async {
        while world.faults.is_active() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it becomes inactive");
}

/// What is on its way arrives, also from a socket that is closed, and the task ends.
#[tokio::test]
async fn a_closed_socket_sends_what_waits() {
    let world = World::new("delay α -> β 1h").await;
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    assert_eq!(tasks(), 0);
    world.send(&numbered(3, 50), Some(50));
    assert_eq!(tasks(), 1);
    let World { socket, beta, .. } = world;
    drop(socket);
    let mut buf = [0; 100];
    for nth in 0..3 {
        let length = timeout(HANG, beta.recv(&mut buf)).await.unwrap().unwrap();
        assert_eq!(buf[..length], [nth; 50]);
    }
    timeout(HANG, async {
        while tasks() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the task ends");
}

#[tokio::test]
async fn what_a_cut_drops_last_is_sent_when_it_ends() {
    let mut world = World::new("cut α -> β").await;
    for nth in 0..40 {
        world.send(&[nth; 60], None);
    }
    assert_eq!(world.counts()[0].hit, 40);
    // The other direction is not cut.
    world.beta.send_to(b"back", world.alpha()).await.unwrap();
    assert_eq!(world.alpha_gets().await, b"back");
    // Another rule changes nothing.
    world.enforce("cut α -> β\ndelay γ -> * 1s");
    world.send(&[40; 60], None);
    world.enforce("");
    // Each byte is also in the connection id, so each datagram is of a connection of its own.
    for nth in 37..=40 {
        assert_eq!(world.beta_gets().await, [nth; 60]);
    }
    world.send(b"next", None);
    assert_eq!(world.beta_gets().await, b"next");
    // One that ends by itself.
    world.enforce("cut α -> β for 20ms");
    sender_runs().await;
    world.send(&[50; 60], None);
    assert_eq!(world.beta_gets().await, [50; 60]);
}

#[tokio::test]
async fn what_arrives_during_a_cut_is_read_when_it_ends() {
    let mut world = World::new("cut β -> α").await;
    let to = world.alpha();
    world.beta.send_to(&[1; 60], to).await.unwrap();
    // It is dropped: the reader gets nothing of it.
    assert_eq!(world.alpha_gets().await, b"");
    {
        let mut reading = Box::pin(world.alpha_gets());
        let pending = std::future::poll_fn(|cx| {
            std::task::Poll::Ready(reading.as_mut().poll(cx).is_pending())
        });
        assert!(pending.await);
    }
    let table = Arc::clone(&world.table);
    world.enforce("cut γ -> α");
    assert_eq!(world.alpha_gets().await, [1; 60]);
    // The reader waits already.
    world.engine.enforce(&table);
    world.beta.send_to(&[2; 60], to).await.unwrap();
    assert_eq!(world.alpha_gets().await, b"");
    let heal = async {
        tokio::task::yield_now().await;
        world.engine.enforce(&Arc::default());
    };
    let (read, ()) = tokio::join!(world.alpha_gets(), heal);
    assert_eq!(read, [2; 60]);
    // The sender counts, not the receiver.
    assert_eq!(world.counts()[0].matched, 0);
}

/// Others are not affected: not known by name, or of another name.
#[tokio::test]
async fn rules_are_for_a_name() {
    let mut world = World::new("cut α -> γ\nlose * -> γ 100%").await;
    world.send(b"one", None);
    assert_eq!(world.beta_gets().await, b"one");
    world.enforce("cut * -> *");
    let other = tokio::net::UdpSocket::from_std(bound()).unwrap();
    let transmit = Transmit {
        destination: other.local_addr().unwrap(),
        ecn: None,
        contents: b"two",
        segment_size: None,
        src_ip: None,
    };
    world.socket.try_send(&transmit).unwrap();
    let mut buf = [0; 10];
    let length = timeout(HANG, other.recv(&mut buf)).await.unwrap().unwrap();
    assert_eq!(&buf[..length], b"two");
    // Named, it is cut off, and a host that starts later enforces the table, too.
    let address = other.local_addr().unwrap();
    let name = world.faults.name(address, "γ", &Recovery::default());
    world.socket.try_send(&transmit).unwrap();
    assert_eq!(world.counts()[0].hit, 1);
    // Without a connection, it gets nothing of that when the cut ends.
    drop(name);
    world.enforce("lose γ -> δ 1%");
    world.socket.try_send(&transmit).unwrap();
    let length = timeout(HANG, other.recv(&mut buf)).await.unwrap().unwrap();
    assert_eq!(&buf[..length], b"two");
    sender_runs().await;
    let mut none = std::pin::pin!(other.recv(&mut buf));
    let pending =
        std::future::poll_fn(|cx| std::task::Poll::Ready(none.as_mut().poll(cx).is_pending()));
    assert!(pending.await);
    world.enforce("cut * -> *");
    let later = world.engine.host(&"δ".into(), &Counters::default());
    let _name = later.name(address, "γ", &Recovery::default());
    assert!(later.is_active());
    assert_eq!(later.decide(&transmit, Instant::now()), Some(Vec::new()));
    assert_eq!(world.counts()[0].hit, 1);
}
