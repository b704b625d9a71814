//! Checks of dials that a program looks at before it answers. Never checks what an accept does by itself.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::bed::{Bed, Pair, assert_error, connect, drop_after, eventually};
use crate::error::Op;
use crate::{Cause, Conn, Host};

/// The last poll at which a future is dropped: more polls than any engine needs.
const POLLS: usize = 12;

/// A dial that is looked at takes no port, and is refused or accepted later, with the lowest free port then.
pub async fn dials_are_refused_and_accepted_later(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    let listener = pair.alpha.listen(":1").unwrap();
    for drops in [false, true] {
        let beta = pair.beta.clone();
        let dialing = tokio::spawn(async move { beta.dial("α:1").await });
        let dial = listener.next_dial().await.unwrap();
        assert_eq!(dial.peer_addr(), "β:1");
        assert_eq!(dial.dialed_addr(), "α:1");
        assert_eq!(pair.alpha.sockets().len(), 1, "only the listener");
        match drops {
            true => drop(dial),
            false => dial.refuse(),
        }
        let err = dialing.await.unwrap().unwrap_err();
        let line = "dial NET β:1->α:1: connection refused";
        let refused = Cause::ConnectionRefused;
        assert_error(&err, Op::Dial, Some("β:1"), Some("α:1"), refused, line);
        assert_eq!(pair.beta.sockets(), []);
    }
    assert_eq!(pair.subnet_a.stats().refused.declined, 2);

    // Two are looked at, and the second is accepted first.
    let dial = || {
        let beta = pair.beta.clone();
        tokio::spawn(async move { beta.dial_with("α:1", b"first").await.unwrap() })
    };
    let one = dial();
    let first = listener.next_dial().await.unwrap();
    let other = dial();
    let second = listener.next_dial().await.unwrap();
    let mut accepted = second.accept().await.unwrap();
    let mut dialed = other.await.unwrap();
    assert_ends(&dialed, &accepted, ["β:2", "α:2"]);
    let later = first.accept().await.unwrap();
    assert_ends(&one.await.unwrap(), &later, ["β:1", "α:3"]);
    let mut read = [0; 5];
    accepted.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"first");
    accepted.write_all(b"back").await.unwrap();
    accepted.shutdown().await.unwrap();
    let mut back = Vec::new();
    dialed.read_to_end(&mut back).await.unwrap();
    assert_eq!(back, b"back");
    drop((dialed, accepted, later));
    // An accept and a look take turns.
    let (_dialed, accepted) = connect(&pair.beta, &listener).await;
    assert_eq!(accepted.local_addr(), "α:2");
    pair.close().await;
}

fn assert_ends(dialed: &Conn, accepted: &Conn, [from, to]: [&str; 2]) {
    assert_eq!(
        (dialed.local_addr(), dialed.peer_addr()),
        (accepted.peer_addr(), accepted.local_addr())
    );
    assert_eq!(dialed.local_addr(), &from);
    assert_eq!(dialed.peer_addr(), &to);
}

/// A look at the next dial that is dropped leaves it to the next look, or the next accept.
pub async fn next_dial_dropped_at_every_poll(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    let listener = pair.alpha.listen(":1").unwrap();
    for polls in (1..=POLLS).chain(1..=POLLS) {
        let beta = pair.beta.clone();
        let dialing = tokio::spawn(async move { beta.dial("α:1").await });
        let looked = drop_after(polls, listener.next_dial()).await;
        let accepted = match looked {
            Some(dial) => dial.unwrap().accept().await.unwrap(),
            None if polls % 2 == 0 => listener.accept().await.unwrap().0,
            None => listener.next_dial().await.unwrap().accept().await.unwrap(),
        };
        let dialed = dialing.await.unwrap().unwrap();
        assert_eq!(accepted.local_addr(), "α:2", "no port was lost");
        assert_eq!(dialed.peer_addr(), "α:2");
        drop((dialed, accepted));
        eventually("the ports are free", || {
            pair.alpha.sockets().len() == 1 && pair.beta.sockets().is_empty()
        })
        .await;
    }
    pair.close().await;
}

/// A dial that is looked at ends for both sides: given up, or with the listener.
pub async fn a_dial_that_is_looked_at_ends(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    let listener = pair.alpha.listen(":1").unwrap();
    let dialing = |beta: Host| tokio::spawn(async move { beta.dial("α:1").await });
    let given_up = dialing(pair.beta.clone());
    let mut dial = listener.next_dial().await.unwrap();
    given_up.abort();
    dial.given_up().await;
    let err = dial.accept().await.unwrap_err();
    assert_eq!(err.cause(), Cause::ConnectionCut);
    assert_eq!(pair.alpha.sockets().len(), 1, "the port is free");

    let refused = dialing(pair.beta.clone());
    let mut dial = listener.next_dial().await.unwrap();
    listener.close();
    dial.given_up().await;
    assert_eq!(dial.accept().await.unwrap_err().cause(), Cause::SocketDown);
    let err = refused.await.unwrap().unwrap_err();
    assert_eq!(err.cause(), Cause::ConnectionRefused);
    let err = listener.next_dial().await.unwrap_err();
    assert_eq!(err.cause(), Cause::SocketDown);
    pair.close().await;
}
