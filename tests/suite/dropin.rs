//! The same actions with tokio's `TcpStream` and `TcpListener` on loopback and with virtnet,
//! on pipes and on QUIC: a caller observes the same, except the differences that docs/tcp.md
//! lists with their reasons.
//!
//! Owns the comparison, the list of differences and their rows on the page. The actions are
//! in `dropin/opening.rs`, `dropin/streams.rs` and `dropin/halves.rs`, which never know the
//! network: `dropin/net.rs` does.

mod halves;
mod net;
mod opening;
mod seen;
mod streams;

use std::time::Duration;

use net::{Net, Tcp, Virt};
use seen::Seen;
use virtnet::pipe::PipeNetwork;
use virtnet::{Config, SubNetwork};

const PAGE: &str = include_str!("../../docs/tcp.md");

/// The intended differences: the action, what TCP does, what virtnet does, and why.
const DIFFERENCES: &[[&str; 4]] = &[
    [
        "dial a listener that does not accept: done",
        "yes",
        "no",
        "a dial is done when it was accepted, so that a test can say what happened; \
         a listener that is dropped instead refuses it",
    ],
    [
        "the peer of a dial is what was dialed",
        "yes",
        "no",
        "the accepted end has a port of its own, and the dialer sees that one",
    ],
    [
        "the accepted end has the listener's address",
        "yes",
        "no",
        "the same",
    ],
    [
        "… the first write after that",
        "done",
        "`BrokenPipe`",
        "TCP takes it, and fails at a later one; virtnet knows, and says so at once",
    ],
    [
        "… read on",
        "`ConnectionReset`",
        "0",
        "what the peer did not read is its own affair: only a connection that was cut is an error",
    ],
];

/// All observations over one network.
async fn observe(net: &impl Net) -> Seen {
    let mut seen = Seen::default();
    let all = async {
        opening::listening(net, &mut seen).await;
        opening::dialing(net, &mut seen).await;
        opening::accepting(net, &mut seen).await;
        streams::reading(net, &mut seen).await;
        streams::writing(net, &mut seen).await;
        streams::ending(net, &mut seen).await;
        streams::helpers(net, &mut seen).await;
        halves::borrowed(net, &mut seen).await;
        halves::owned(net, &mut seen).await;
        halves::reunited(net, &mut seen).await;
    };
    let done = tokio::time::timeout(Duration::from_secs(60), all).await;
    if done.is_err() {
        panic!("it hangs after {:?}", seen.0.last());
    }
    seen
}

async fn over(subnets: [SubNetwork; 2]) -> Seen {
    let net = Virt {
        dials: subnets[0].new_host("α").await.unwrap(),
        listens: subnets[1].new_host("β").await.unwrap(),
    };
    let seen = observe(&net).await;
    for host in [&net.dials, &net.listens] {
        assert_eq!(host.sockets(), [], "something is left");
    }
    for subnet in subnets {
        subnet.close().await.unwrap();
    }
    seen
}

async fn over_pipes() -> Seen {
    let network = PipeNetwork::new("dropin").unwrap();
    over([network.subnetwork(), network.subnetwork()]).await
}

async fn over_quic() -> Seen {
    let open = || Config::new("dropin").open();
    over([open().await.unwrap(), open().await.unwrap()]).await
}

/// The rows of the page: first what is the same, then what differs.
fn compare(tcp: Seen, virtnet: Seen, engine: &str) -> [Vec<String>; 2] {
    let (mut same, mut differs, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    assert_eq!(tcp.0.len(), virtnet.0.len());
    println!("| action | TCP | virtnet on {engine} | same |\n|---|---|---|---|");
    for ((action, tcp), (again, ours)) in tcp.0.into_iter().zip(virtnet.0) {
        assert_eq!(action, again);
        let equal = if tcp == ours { "yes" } else { "no" };
        println!("| {action} | {tcp} | {ours} | {equal} |");
        let listed = DIFFERENCES.iter().find(|listed| listed[0] == action);
        match listed {
            None if tcp == ours => same.push(format!("| {action} | {tcp} |")),
            Some([_, theirs, mine, why]) if tcp == *theirs && ours == *mine => {
                differs.push(format!("| {action} | {tcp} | {ours} | {why} |"));
            }
            _ => wrong.push(format!("{action}: TCP {tcp}, virtnet {ours}")),
        }
    }
    println!(
        "{} the same, {} differ on purpose\n",
        same.len(),
        differs.len()
    );
    assert!(wrong.is_empty(), "not as listed: {wrong:#?}");
    assert_eq!(
        differs.len(),
        DIFFERENCES.len(),
        "a listed difference is gone"
    );
    [same, differs]
}

#[tokio::test]
async fn virtnet_behaves_like_tcp_except_the_listed_differences() {
    for (engine, virtnet) in [("pipes", over_pipes().await), ("QUIC", over_quic().await)] {
        let rows = compare(observe(&Tcp).await, virtnet, engine);
        // The page has exactly these rows, in this order.
        for rows in rows {
            let rows = rows.join("\n");
            assert!(
                PAGE.contains(&format!("|---|\n{rows}\n\n")),
                "docs/tcp.md does not have, on {engine}:\n{rows}"
            );
        }
    }
}
