//! Hosts and subnetworks that crash: what their peers see in the end, and when their names are free.
//!
//! Owns what takes an engine's or a registry's own time. What holds at once is in the conformance suite.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use virtnet::pipe::PipeNetwork;
use virtnet::quic::{QuicConfig, Secret};
use virtnet::{Cause, Config, Host, OpError, SubNetwork};
use virtnet_testkit::redis::RedisServer;

/// Of connections, and of dials.
const IDLE: Duration = Duration::from_secs(1);
const DIAL: Duration = Duration::from_millis(500);
const LEASE: Duration = Duration::from_secs(2);

fn cause(err: std::io::Error) -> Cause {
    OpError::of(&err).expect("an OpError").cause()
}

/// Peers of a host that crashed are not told; both directions time out, and nothing ends cleanly.
async fn peers_time_out(here: &SubNetwork, there: &SubNetwork) {
    let (alpha, beta) = (
        here.new_host("α").await.unwrap(),
        there.new_host("β").await.unwrap(),
    );
    let listener = alpha.listen(":1").unwrap();
    let both = async || tokio::try_join!(beta.dial("α:1"), listener.accept()).unwrap();
    let (mut near, (mut far, _)) = both().await;
    let (mut ended, (mut half, _)) = both().await;
    // What was sent before the crash arrives, and an end that was sent, too.
    near.write_all(b"last words").await.unwrap();
    far.read_exact(&mut [0; 10]).await.unwrap();
    ended.shutdown().await.unwrap();
    assert_eq!(half.read(&mut [0]).await.unwrap(), 0);
    beta.crash().unwrap();
    let reading = async { cause(far.read_u8().await.unwrap_err()) };
    let writing = async {
        loop {
            if let Err(err) = half.write_all(&[0; 1024]).await {
                return cause(err);
            }
            tokio::task::yield_now().await;
        }
    };
    let dialing = async { alpha.dial("β:1").await.unwrap_err().cause() };
    let (read, written, dialed) = tokio::join!(reading, writing, dialing);
    assert_eq!([read, written, dialed], [Cause::TimedOut; 3]);
    drop((near, far, ended, half));
}

#[tokio::test]
async fn over_pipes() {
    let network = PipeNetwork::new("pipet").unwrap().with_bounds(DIAL, IDLE);
    let (here, there) = (network.subnetwork(), network.subnetwork());
    peers_time_out(&here, &there).await;
    // A subnetwork that crashes keeps nothing: nothing in memory outlives its process.
    there.crash().await.unwrap();
    let err = there.new_host("γ").await.unwrap_err();
    assert_eq!(err.cause(), Cause::NetworkDown);
    let again = network.subnetwork();
    again.new_host("β").await.unwrap();
    again.close().await.unwrap();
    here.close_expecting(Cause::ConnectionCut).await.unwrap();
}

async fn open(server: &RedisServer, secret: &Secret) -> SubNetwork {
    let tune = |quic: QuicConfig| {
        let quic = quic.keep_alive(IDLE / 4).idle_timeout(IDLE);
        quic.dial_timeout(DIAL).drain_timeout(DIAL)
    };
    let config = Config::new("crash").registry(server.url());
    let config = config.lease(LEASE).tune(tune);
    config.secret(secret.clone()).open().await.unwrap()
}

/// Over Redis, a name that was crashed is nobody else's until its lease is over.
#[tokio::test]
async fn over_quic_and_redis() {
    let (server, secret) = (RedisServer::start(), Secret::random());
    let (here, there) = (open(&server, &secret).await, open(&server, &secret).await);
    peers_time_out(&here, &there).await;

    // Its owner has it at once, and no one else as long as it is there.
    let beta = there.new_host("β").await.unwrap();
    let taken = |made: Result<Host, OpError>| made.unwrap_err().cause();
    assert_eq!(
        taken(here.new_host("β").await),
        Cause::HostAlreadyRegistered
    );
    // The whole process, with a host that was closed: its name is not freed either.
    there.new_host("δ").await.unwrap().close();
    there.crash().await.unwrap();
    assert_eq!(beta.listen("").unwrap_err().cause(), Cause::HostDown);
    let third = open(&server, &secret).await;
    assert_eq!(
        taken(third.new_host("β").await),
        Cause::HostAlreadyRegistered
    );
    assert_eq!(
        taken(third.new_host("δ").await),
        Cause::HostAlreadyRegistered
    );
    let restarted = third.new_host_within("β", Duration::from_secs(30)).await;
    let listener = restarted.as_ref().unwrap().listen("").unwrap();
    let alpha = here.new_host("γ").await.unwrap();
    let both = tokio::try_join!(alpha.dial("β:1"), listener.accept());
    assert_eq!(both.unwrap().0.peer_addr(), "β:2");
    third.close().await.unwrap();
    here.close_expecting(Cause::ConnectionCut).await.unwrap();
}

/// With one UDP port only, a host that is made again at once finds it free.
#[tokio::test]
async fn a_restart_binds_the_same_port() {
    let probe = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let bind = probe.local_addr().unwrap().to_string();
    drop(probe);
    let config = virtnet::testing::config().unwrap();
    let net = config.bind(bind).open().await.unwrap();
    for _ in 0..3 {
        let beta = net.new_host("β").await.unwrap();
        let listener = beta.listen("").unwrap();
        assert_eq!(listener.local_addr(), "β:1");
        beta.crash().unwrap();
    }
    net.close().await.unwrap();
}
