//! The library's forwards, in one process.
//!
//! Owns what dropping and pausing a forward does. Never starts a command: `cli_forward.rs` does.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use virtnet::programs::{Endpoint, Forward, ForwardError, Forwarder};
use virtnet::{Cause, SubNetwork};

/// A program on a virtual host, and the way to it from another host.
struct Way {
    net: SubNetwork,
    program: TcpListener,
    exposed: Forward,
    reached: Forward,
}

impl Way {
    async fn new() -> Way {
        let net = virtnet::testing::open().await.unwrap();
        let (alpha, beta) = (
            net.new_host("α").await.unwrap(),
            net.new_host("β").await.unwrap(),
        );
        let program = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = program.local_addr().unwrap().into();
        let forwarder = Forwarder::new();
        let at: Endpoint = "127.0.0.1:0".parse().unwrap();
        Way {
            exposed: forwarder.expose(&beta, ":1", &to).unwrap(),
            reached: forwarder.reach(&alpha, "β:1", &at).await.unwrap(),
            net,
            program,
        }
    }
}

/// Those that are open are cut before the drop returns, so that a close of the network that follows
/// does not end them cleanly.
#[tokio::test]
async fn dropping_a_forward_cuts_what_is_open_even_if_the_network_is_closed_at_once() {
    for drop_exposed in [true, false] {
        let Way {
            net,
            program,
            exposed,
            reached,
        } = Way::new().await;
        assert_eq!(exposed.virtual_addr().unwrap(), "β:1");
        let to = program.local_addr().unwrap();
        assert_eq!(exposed.to_string(), format!("expose β:1 -> {to}"));
        let at = reached.endpoint().to_string();
        let mut client = TcpStream::connect(&at).await.unwrap();
        client.write_all(b"x").await.unwrap();
        let (mut served, _) = program.accept().await.unwrap();
        served.read_exact(&mut [0]).await.unwrap();

        match drop_exposed {
            true => drop(exposed),
            false => drop(reached),
        }
        // It may report what could not be delivered.
        let _ = net.close_expecting(Cause::ConnectionCut).await;
        for end in [&mut client, &mut served] {
            let err = end.read(&mut [0]).await.unwrap_err();
            assert_eq!(err.kind(), ErrorKind::ConnectionReset);
        }
    }
}

/// Neither what is open moves, nor does anything new get through; and then nothing was lost.
#[tokio::test]
async fn a_paused_forward_stands_still() {
    // They can only fail if something comes.
    let moment = Duration::from_millis(100);
    for pause_exposed in [true, false] {
        let Way {
            net,
            program,
            exposed,
            reached,
        } = Way::new().await;
        let at = reached.endpoint().to_string();
        let mut client = TcpStream::connect(&at).await.unwrap();
        let (mut served, _) = program.accept().await.unwrap();

        let paused = if pause_exposed { &exposed } else { &reached };
        paused.pause();
        paused.pause();
        client.write_all(b"out").await.unwrap();
        served.write_all(b"back").await.unwrap();
        let mut late = TcpStream::connect(&at).await.unwrap();
        late.write_all(b"late").await.unwrap();
        let mut read = [0; 4];
        assert!(timeout(moment, served.read(&mut read)).await.is_err());
        assert!(timeout(moment, client.read(&mut read)).await.is_err());
        assert!(timeout(moment, program.accept()).await.is_err());

        paused.resume();
        served.read_exact(&mut read[..3]).await.unwrap();
        assert_eq!(read[..3], *b"out");
        client.read_exact(&mut read).await.unwrap();
        assert_eq!(read, *b"back");
        let (mut served, _) = program.accept().await.unwrap();
        served.read_exact(&mut read).await.unwrap();
        assert_eq!(read, *b"late");
        drop((exposed, reached));
        let _ = net.close_expecting(Cause::ConnectionCut).await;
    }
}

/// They wait in the kernel until they are accepted: none is made to try again.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_burst_of_programs_can_connect() {
    const PROGRAMS: usize = 300;
    let net = virtnet::testing::open().await.unwrap();
    let alpha = net.new_host("α").await.unwrap();
    let forwarder = Forwarder::new();
    let at: Endpoint = "127.0.0.1:0".parse().unwrap();
    let reached = forwarder.reach(&alpha, "β:1", &at).await.unwrap();
    // So that none is accepted.
    reached.pause();
    let at = reached.endpoint().to_string();
    let connect = async {
        for _ in 0..PROGRAMS {
            drop(TcpStream::connect(&at).await.unwrap());
        }
    };
    let bound = Duration::from_secs(20);
    timeout(bound, connect).await.expect("there is room");
    drop(reached);
    net.close().await.unwrap();
}

#[tokio::test]
async fn a_forward_ends_when_its_host_does() {
    let net = virtnet::testing::open().await.unwrap();
    let (alpha, beta) = (
        net.new_host("α").await.unwrap(),
        net.new_host("β").await.unwrap(),
    );
    let forwarder = Forwarder::new();
    let at: Endpoint = "127.0.0.1:0".parse().unwrap();
    let mut exposed = forwarder.expose(&beta, ":1", &at).unwrap();
    let mut reached = forwarder.reach(&alpha, "β:1", &at).await.unwrap();
    beta.close();
    assert_eq!(exposed.ended().await.cause(), Cause::HostDown);
    alpha.close();
    // It learns that at its next dial.
    let at = reached.endpoint().to_string();
    let _client = TcpStream::connect(&at).await.unwrap();
    assert_eq!(reached.ended().await.cause(), Cause::HostDown);
    assert!(TcpStream::connect(&at).await.is_err(), "nothing listens");
    net.close().await.unwrap();
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let net = virtnet::testing::open().await.unwrap();
    let host = net.new_host("α").await.unwrap();
    let forwarder = Forwarder::new();
    let open: Endpoint = "0.0.0.0:0".parse().unwrap();
    let local: Endpoint = "127.0.0.1:0".parse().unwrap();
    let refused = forwarder
        .proxy(std::slice::from_ref(&host), &open)
        .await
        .unwrap_err();
    assert!(matches!(refused, ForwardError::NotLoopback(_)), "{refused}");
    let refused = forwarder.proxy(&[], &local).await.unwrap_err();
    assert!(matches!(refused, ForwardError::NoHost), "{refused}");
    let refused = forwarder.reach(&host, "β", &local).await.unwrap_err();
    assert!(matches!(refused, ForwardError::Address(_)), "{refused}");
    let refused = forwarder.expose(&host, "β:1", &local).unwrap_err();
    assert_eq!(refused.cause(), Cause::AddrNotLocal);
    net.close().await.unwrap();
}
