//! The search over real QUIC connections, on paths that drop large datagrams.
//!
//! Owns the path: a relay on this machine. Never asks the kernel for the route: the tests
//! choose it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use quinn::{ClientConfig, Connection, Endpoint, ServerConfig, TransportConfig};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Route, discovery_config};
use crate::identity::tls::Trust;
use crate::identity::{Identity, dns_name};
use crate::udp::batch::BatchSocket;
use crate::{Secret, Tuning};

/// No search takes so long.
const HANG: Duration = Duration::from_secs(30);

/// The kernel's route on loopback.
const HERE: Option<Route> = Some(Route {
    mtu: 65_536,
    is_local: true,
});

/// A route to another machine.
fn to(mtu: u32) -> Option<Route> {
    let is_local = false;
    Some(Route { mtu, is_local })
}

/// A path to `server` on which datagrams over `widest` bytes are lost.
async fn path(tasks: &mut JoinSet<()>, server: SocketAddr, widest: Arc<AtomicUsize>) -> SocketAddr {
    let near = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let far = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    far.connect(server).await.unwrap();
    let addr = near.local_addr().unwrap();
    tasks.spawn(async move {
        let (mut to_far, mut to_near) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        let mut client = addr;
        loop {
            tokio::select! {
                Ok((bytes, from)) = near.recv_from(&mut to_far) => {
                    client = from;
                    if bytes <= widest.load(Relaxed) {
                        let _ = far.send(&to_far[..bytes]).await;
                    }
                }
                Ok(bytes) = far.recv(&mut to_near) => {
                    if bytes <= widest.load(Relaxed) {
                        let _ = near.send_to(&to_near[..bytes], client).await;
                    }
                }
            }
        }
    });
    addr
}

fn endpoint(server: Option<ServerConfig>) -> Endpoint {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let runtime = Arc::new(quinn::TokioRuntime);
    let socket = quinn::Runtime::wrap_udp_socket(&*runtime, socket).unwrap();
    let socket = Arc::new(BatchSocket::new(socket));
    let mut config = quinn::EndpointConfig::default();
    config
        .max_udp_payload_size(crate::udp::batch::MAX_DATAGRAM)
        .unwrap();
    Endpoint::new_with_abstract_socket(config, server, socket, runtime).unwrap()
}

/// Sends data there and back: the search continues with its acknowledgements.
async fn echo(conn: &Connection, sent: &[u8]) {
    let (mut send, mut recv) = conn.open_bi().await.unwrap();
    let send = async {
        send.write_all(sent).await.unwrap();
        send.finish().unwrap();
    };
    let ((), heard) = tokio::join!(send, recv.read_to_end(sent.len()));
    assert!(heard.unwrap() == sent);
}

/// A client's connection to a server that echoes, over a path of `widest` bytes,
/// where the kernel says `route`.
async fn connect(
    tasks: &mut JoinSet<()>,
    route: Option<Route>,
    widest: Arc<AtomicUsize>,
) -> Connection {
    let trust = Trust::new(&Identity::secret(Secret::random()), "net".into()).unwrap();
    let tls = trust.host("β").unwrap();
    let server = endpoint(Some(ServerConfig::with_crypto(tls.server)));
    let addr = path(tasks, server.local_addr().unwrap(), widest).await;
    tasks.spawn(async move {
        let conn = server.accept().await.unwrap().await.unwrap();
        while let Ok((mut send, mut recv)) = conn.accept_bi().await {
            let _ = tokio::io::copy(&mut recv, &mut send).await;
        }
    });

    let search = discovery_config(addr, route, Tuning::default().largest_datagram);
    let mut transport = TransportConfig::default();
    transport.mtu_discovery_config(Some(search));
    let mut config = ClientConfig::new(trust.host("α").unwrap().client);
    config.transport_config(Arc::new(transport));
    let name = dns_name("net", "β");
    let connecting = endpoint(None).connect_with(config, addr, &name).unwrap();
    connecting.await.unwrap()
}

/// Waits until the search is over; returns the number of probes. It is over when 100
/// round trips caused no probe.
async fn search(conn: &Connection) -> u64 {
    let (mut tried, mut quiet) = (0, 0);
    while quiet < 100 {
        echo(conn, b"?").await;
        let now = conn.stats().path.sent_plpmtud_probes;
        quiet = if now == tried { quiet + 1 } else { 0 };
        tried = now;
    }
    tried
}

/// The search finds `size`, after at most `most_tried` probes.
async fn finds(route: Option<Route>, widest: usize, size: u16, most_tried: u64) {
    let mut tasks = JoinSet::new();
    let path = Arc::new(AtomicUsize::new(widest));
    let searched = async {
        let conn = connect(&mut tasks, route, path).await;
        (search(&conn).await, conn.stats().path.current_mtu)
    };
    let (tried, found) = timeout(HANG, searched).await.unwrap();
    println!("{route:?}, a path of {widest}: {found} bytes after {tried} tries");
    assert_eq!(found, size, "{route:?} {widest}");
    assert!(tried <= most_tried, "{route:?} {widest}: {tried} tries");
}

#[tokio::test]
async fn where_the_kernel_is_right_few_tries_find_it() {
    finds(HERE, 65_507, 8_972, 1).await;
    finds(to(9_001), 8_973, 8_972, 8).await;
    finds(to(1_500), 1_472, 1_472, 3).await;
    finds(to(1_280), 1_252, 1_252, 4).await;
    // Less than any path must take: what every path takes.
    finds(to(576), 1_200, 1_200, 0).await;
}

#[tokio::test]
async fn where_the_path_is_narrower_little_is_lost() {
    finds(to(9_001), 1_472, 1_441, 20).await;
    finds(to(9_001), 1_432, 1_380, 20).await;
    finds(to(9_001), 1_392, 1_380, 20).await;
    finds(to(1_500), 1_464, 1_404, 6).await;
    finds(to(1_500), 1_392, 1_336, 6).await;
    finds(HERE, 1_472, 1_200, 3).await;
    // A tunnel to elsewhere may have an interface as wide as loopback.
    finds(to(65_520), 1_472, 1_441, 20).await;
}

#[tokio::test]
async fn where_the_kernel_says_nothing_all_is_tried() {
    finds(None, 65_507, 8_972, 8).await;
    finds(None, 1_472, 1_441, 20).await;
    finds(None, 1_392, 1_380, 20).await;
}

#[tokio::test]
async fn a_path_that_gets_narrower_carries_on() {
    let mut tasks = JoinSet::new();
    let widest = Arc::new(AtomicUsize::new(65_507));
    let narrowed = async {
        let conn = connect(&mut tasks, HERE, Arc::clone(&widest)).await;
        search(&conn).await;
        assert_eq!(conn.stats().path.current_mtu, 8_972);
        widest.store(1_300, Relaxed);
        let sent: Vec<u8> = (0..1 << 20).map(|at| (at % 251) as u8).collect();
        echo(&conn, &sent).await;
        conn.stats().path
    };
    let path = timeout(HANG, narrowed).await.unwrap();
    assert_eq!((path.current_mtu, path.black_holes_detected), (1_200, 1));
}

#[cfg(target_os = "linux")]
#[test]
fn the_kernel_knows_what_is_here() {
    for peer in ["127.0.0.1:1", "127.1.2.3:1", "[::ffff:127.0.0.1]:1"] {
        let (any, here) = ("0.0.0.0".parse().unwrap(), "127.0.0.1".parse().unwrap());
        for local in [any, here] {
            let route = super::route(local, peer.parse().unwrap()).unwrap();
            let route = route.expect("it is known");
            assert!(route.is_local && route.mtu >= 1_500, "{peer}: {route:?}");
        }
    }
}

/// An address for documentation (RFC 5737), to which loopback has no route on any machine.
#[cfg(target_os = "linux")]
#[test]
fn the_kernel_knows_where_it_would_not_send() {
    let local = "127.0.0.1".parse().unwrap();
    super::route(local, "192.0.2.1:9".parse().unwrap()).unwrap_err();
}
