//! Actions: listening, dialing and accepting.
//!
//! Owns the actions. Never knows the network.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::net::{Net, Stream};
use super::seen::{Seen, glance, only_kind};

/// The number after the last colon.
fn port(addr: &str) -> u16 {
    addr.rsplit_once(':').unwrap().1.parse().unwrap()
}

pub(crate) async fn listening<N: Net>(net: &N, seen: &mut Seen) {
    let listener = net.listen(&net.at(0)).await.unwrap();
    let addr = N::local(&listener);
    seen.see("listen on port 0: a port is found", port(&addr) > 0);
    let other = net.listen(&net.at(0)).await.unwrap();
    let apart = N::local(&other) != addr;
    seen.see("listen on port 0 twice: two ports", apart);
    let again = net.listen(&addr).await;
    seen.see("listen on a taken port", only_kind(again));
    let foreign = net.listen(net.foreign()).await;
    seen.see("listen on another's address", only_kind(foreign));
    for (action, addr) in [
        ("listen on what is no address", "nonsense"),
        ("listen on port 65536", &*format!("{}6", net.at(6553))),
    ] {
        seen.see(action, only_kind(net.listen(addr).await));
    }

    let (mut dialed, mut accepted) = net.pair_on(&listener).await;
    drop(listener);
    dialed.write_all(b"x").await.unwrap();
    let read = accepted.read_u8().await;
    seen.see(
        "its listener dropped: read from a connection",
        only_kind(read),
    );
    let again = net.listen(&addr).await;
    let action = "listen on a dropped listener's port, with its connections open";
    seen.see(action, only_kind(again));
}

pub(crate) async fn dialing<N: Net>(net: &N, seen: &mut Seen) {
    let listener = net.listen(&net.at(0)).await.unwrap();
    let addr = N::local(&listener);
    for (action, addr) in [
        ("dial what is no address", "nonsense"),
        ("dial port 65536", &*format!("{}6", net.at(6553))),
        ("dial port 0", &*net.at(0)),
    ] {
        seen.see(action, only_kind(net.dial(addr).await));
    }
    drop(listener);
    seen.see(
        "dial where nobody listens",
        only_kind(net.dial(&addr).await),
    );
    seen.see("the same again", only_kind(net.dial(&addr).await));

    let listener = net.listen(&net.at(0)).await.unwrap();
    let unaccepted = net.dial_unaccepted(&listener).await;
    seen.see("dial a listener that does not accept: done", unaccepted);
}

pub(crate) async fn accepting<N: Net>(net: &N, seen: &mut Seen) {
    let listener = net.listen(&net.at(0)).await.unwrap();
    let addr = N::local(&listener);
    let early = glance(N::accept(&listener)).await;
    seen.see("accept with no dial", early.map(only_kind));
    let (dialed, accepted) = tokio::join!(net.dial(&addr), N::accept(&listener));
    let (dialed, (accepted, peer)) = (dialed.unwrap(), accepted.unwrap());
    let same = peer == accepted.peer() && peer == dialed.local();
    seen.see("accept names the dialer's end", same);
    let same = dialed.peer() == accepted.local();
    seen.see("both ends name the accepted one alike", same);
    let same = dialed.peer() == addr;
    seen.see("the peer of a dial is what was dialed", same);
    let same = accepted.local() == addr;
    seen.see("the accepted end has the listener's address", same);

    let (second, _accepted) = net.pair_on(&listener).await;
    let apart = second.local() != dialed.local();
    seen.see("two dials have two local addresses", apart);

    // Two simultaneous dials are both accepted, one after the other.
    let (one, two, first, next) = tokio::join!(
        net.dial(&addr),
        net.dial(&addr),
        N::accept(&listener),
        N::accept(&listener),
    );
    let dialed = [one.unwrap().local(), two.unwrap().local()];
    let both = [first.unwrap().1, next.unwrap().1];
    let each = dialed.iter().all(|dialed| both.contains(dialed));
    seen.see("two dials and two accepts at once: each is taken", each);
    let all = net.incoming(listener).await;
    seen.see("a loop that drops its wait for a connection takes all", all);
}
