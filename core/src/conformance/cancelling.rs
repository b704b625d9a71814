//! Checks of dropped futures: whatever is dropped, whenever, nothing stays.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::bed::{Bed, Pair, assert_cut, connect, drop_after, eventually, poll_times};
use crate::{Cause, Conn, Listener, OpError, SocketInfo, SocketState};

/// At how many polls a future is dropped: beyond what any engine needs.
const POLLS: usize = 12;

/// A dial that is dropped frees its port, and no accept ever returns it.
pub async fn dial_dropped_at_every_poll(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    let listener = pair.alpha.listen(":1").unwrap();
    let (heard, mut tags) = mpsc::unbounded_channel();
    let accepting = tokio::spawn(async move {
        while let Ok((mut conn, peer)) = listener.accept().await {
            let tag = conn.read_u8().await;
            drop(heard.send((peer, tag.ok())));
        }
    });
    for polls in (1..=POLLS).chain(1..=POLLS) {
        let dialed = drop_after(polls, pair.beta.dial("α:1")).await;
        // Only a dial that came to its end has another end, which sees no tag.
        let mut untagged = usize::from(dialed.is_some());
        drop(dialed.map(Result::unwrap));
        assert_eq!(pair.beta.sockets(), [], "dropped at poll {polls}");

        let mut conn = pair.beta.dial("α:1").await.unwrap();
        assert_eq!(conn.local_addr(), "β:1");
        conn.write_u8(polls as u8).await.unwrap();
        loop {
            let (peer, tag) = tags.recv().await.unwrap();
            assert_eq!(peer, "β:1");
            if let Some(tag) = tag {
                assert_eq!(usize::from(tag), polls);
                break;
            }
            assert_eq!(untagged, 1, "accepted a dial dropped at poll {polls}");
            untagged = 0;
        }
    }
    eventually("α's ports are free", || pair.alpha.sockets().len() == 1).await;
    pair.alpha.close();
    accepting.await.unwrap();
    pair.close().await;
}

/// An accept that is dropped leaves the dial to the next, or closes it, and
/// frees its port.
pub async fn accept_dropped_at_every_poll(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    let listener = pair.alpha.listen(":1").unwrap();
    for polls in (1..=POLLS).chain(1..=POLLS) {
        let beta = pair.beta.clone();
        let dial = tokio::spawn(async move { beta.dial("α:1").await });
        eventually("the dial waits", || listener.pending() == 1).await;
        let dropped = drop_after(polls, listener.accept()).await.is_none();
        eventually("α's port is free", || pair.alpha.sockets().len() == 1).await;
        let returned = !dropped || listener.pending() == 1;
        if dropped && returned {
            listener.accept().await.unwrap();
        }
        // Refused, or connected to an end that was closed, or that nobody ever got.
        match dial.await.unwrap() {
            Ok(mut conn) if returned => assert_eq!(conn.read(&mut [0]).await.unwrap(), 0),
            Ok(mut conn) => assert_cut(&mut conn).await,
            Err(err) => assert_eq!(err.cause(), Cause::ConnectionRefused),
        }
        eventually("β's port is free", || pair.beta.sockets().is_empty()).await;
        let (_dialed, accepted) = connect(&pair.beta, &listener).await;
        assert_eq!(accepted.local_addr(), "α:2", "no port was lost");
    }
    pair.close().await;
}

/// A connection that was taken and that no caller of accept got is cut: the dialer
/// never takes it for one that was read to its end and closed.
pub async fn what_nobody_got_is_cut(bed: &dyn Bed) {
    for gone in [
        Gone::Accept,
        Gone::Incoming,
        Gone::Listener,
        Gone::Host,
        Gone::SubNetwork,
    ] {
        // Once it has come and waits for its caller, and while it is on its way.
        for arrived in [true, false] {
            while !nobody_gets_it(bed, gone, arrived).await {}
        }
    }
}

/// One of these; false where the accept was too fast.
async fn nobody_gets_it(bed: &dyn Bed, gone: Gone, arrived: bool) -> bool {
    let pair = Pair::new(bed).await;
    let listener = pair.alpha.listen(":1").unwrap();
    let beta = pair.beta.clone();
    let dial = tokio::spawn(async move {
        let mut conn = beta.dial("α:1").await?;
        // Nobody will read it.
        drop(conn.write_all(b"unread").await);
        Ok::<_, OpError>(conn)
    });
    eventually("the dial waits", || listener.pending() == 1).await;
    let (mut accept, listener) = accepting(listener, gone);
    if poll_times(1, &mut accept).await.is_some() {
        // On another thread all of it happened within that poll.
        pair.close().await;
        return false;
    }
    let is_there = |socket: &SocketInfo| matches!(socket.state, SocketState::Connected(_));
    if arrived {
        let it_has = || pair.alpha.sockets().iter().any(is_there);
        eventually("it has come", it_has).await;
    }
    match gone {
        Gone::Accept | Gone::Incoming => {}
        Gone::Listener => listener.iter().for_each(|listener| listener.close()),
        Gone::Host => pair.alpha.close(),
        Gone::SubNetwork => pair.subnet_a.close().await.unwrap(),
    }
    match gone {
        Gone::Accept | Gone::Incoming => drop(accept),
        _ => drop(accept.await.expect_err("nothing is handed out any more")),
    }
    match dial.await.unwrap() {
        Ok(mut conn) => assert_cut(&mut conn).await,
        Err(err) if arrived => panic!("{gone:?}: the dial had succeeded: {err}"),
        // Whose subnetwork is gone has given its name up.
        Err(err) if err.cause() == Cause::NoSuchHost && matches!(gone, Gone::SubNetwork) => {}
        Err(err) => assert_eq!(err.cause(), Cause::ConnectionRefused, "{gone:?}"),
    }
    eventually("β's port is free", || pair.beta.sockets().is_empty()).await;
    pair.close().await;
    true
}

type Accepting = Pin<Box<dyn Future<Output = Result<Conn, OpError>> + Send>>;

/// An accept, and the listener, which a stream of connections keeps to itself.
fn accepting(listener: Listener, gone: Gone) -> (Accepting, Option<Arc<Listener>>) {
    if let Gone::Incoming = gone {
        let mut incoming = listener.into_incoming();
        let next = async move { incoming.next().await.expect("one comes") };
        return (Box::pin(next), None);
    }
    let listener = Arc::new(listener);
    let accepts = Arc::clone(&listener);
    let accept = async move { accepts.accept().await.map(|(conn, _)| conn) };
    (Box::pin(accept), Some(listener))
}

/// What goes between an accept that has taken a dial and its caller.
#[derive(Debug, Clone, Copy)]
enum Gone {
    Accept,
    Incoming,
    Listener,
    Host,
    SubNetwork,
}

/// A new host that is dropped leaves no name, here or in the registry.
pub async fn new_host_dropped_at_every_poll(bed: &dyn Bed) {
    for polls in 1..=POLLS {
        let (a, b) = (bed.subnetwork().await, bed.subnetwork().await);
        let Some(host) = drop_after(polls, a.new_host("γ")).await else {
            // The registry may need a moment to take the name back.
            let freed = async {
                loop {
                    match b.new_host("γ").await {
                        Ok(host) => break host,
                        Err(err) => assert_eq!(err.cause(), Cause::HostAlreadyRegistered),
                    }
                    tokio::task::yield_now().await;
                }
            };
            assert_eq!(freed.await.name(), "γ");
            a.close().await.unwrap();
            b.close().await.unwrap();
            continue;
        };
        assert_eq!(host.unwrap().name(), "γ");
        a.close().await.unwrap();
        b.close().await.unwrap();
    }
}

/// A close goes on when nobody waits for it.
pub async fn close_dropped_at_first_poll(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    drop_after(1, pair.subnet_a.close()).await;
    let err = pair.alpha.listen("").unwrap_err();
    assert_eq!(err.cause(), Cause::NetworkDown);
    pair.subnet_a.close().await.unwrap();
    let again = bed.subnetwork().await;
    again.new_host("α").await.expect("the close freed the name");
    again.close().await.unwrap();
    pair.close().await;
}

/// A close waits for no caller: calls that were started and are not polled any
/// more end all the same.
pub async fn close_with_calls_nobody_polls(bed: &dyn Bed) {
    for polls in 1..=POLLS {
        let pair = Pair::new(bed).await;
        let listener = pair.alpha.listen(":1").unwrap();
        let (mut dial, mut host, mut accept) = (
            Box::pin(pair.beta.dial("α:1")),
            Box::pin(pair.subnet_b.new_host("γ")),
            Box::pin(listener.accept()),
        );
        assert!(
            poll_times(polls, &mut dial).await.is_none(),
            "nobody accepts yet"
        );
        let made = poll_times(polls, &mut host).await.is_some();
        assert!(
            poll_times(1, &mut accept).await.is_none(),
            "the dial goes no further"
        );
        pair.subnet_b.close().await.unwrap();
        pair.subnet_a.close().await.unwrap();
        if !made {
            assert_eq!(host.await.unwrap_err().cause(), Cause::NetworkDown);
        }
        assert_eq!(accept.await.unwrap_err().cause(), Cause::NetworkDown);
        assert_eq!(dial.await.unwrap_err().cause(), Cause::NetworkDown);
    }
}
