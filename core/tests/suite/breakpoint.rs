//! Breakpoints: what waits, what does not, and what a test is told.
//!
//! Owns the orders that a test can force. Never opens another process: the tests of the package `virtnet` do.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use virtnet_core::breakpoint::{At, Breakpoint};
use virtnet_core::pipe::PipeNetwork;
use virtnet_core::trace::Trace;
use virtnet_core::{Conn, Host, Listener, OpError, SubNetwork};

const BOUND: Duration = Duration::from_secs(60);

/// α on one subnetwork, β and γ on another; both record.
struct Net {
    here: SubNetwork,
    there: SubNetwork,
    beta: Host,
    gamma: Host,
    listener: Listener,
}

impl Net {
    async fn new() -> Net {
        let network = PipeNetwork::new("pipet").unwrap();
        let (here, there) = (network.subnetwork(), network.subnetwork());
        here.record();
        there.record();
        let alpha = here.new_host("α").await.unwrap();
        Net {
            beta: there.new_host("β").await.unwrap(),
            gamma: there.new_host("γ").await.unwrap(),
            listener: alpha.listen(":1").unwrap(),
            here,
            there,
        }
    }

    async fn set(&self, at: At) -> Breakpoint {
        // From the subnetwork that does not enforce all of it.
        Breakpoint::set(&self.here.faults(), at, BOUND)
            .await
            .unwrap()
    }

    /// A dial of β, as a task of its own.
    fn dialing(&self) -> JoinHandle<Result<Conn, OpError>> {
        let beta = self.beta.clone();
        tokio::spawn(async move { beta.dial("α:1").await })
    }

    /// The lines of the trace, but those about faults.
    fn lines(&self) -> Vec<String> {
        let trace = Trace::merge([self.here.trace(), self.there.trace()]).unwrap();
        let lines = trace.events().iter().map(|traced| traced.event.to_string());
        lines.filter(|line| !line.contains(" fault")).collect()
    }
}

/// Returns when every task waits: the clock of these tests is paused, and goes on only then. No time passes.
async fn all_wait() {
    sleep(Duration::from_secs(3)).await;
}

#[tokio::test(start_paused = true)]
async fn a_dial_waits_while_others_are_accepted() {
    let net = Net::new().await;
    let dial = net.set(At::dial("β:1 -> α:1").unwrap()).await;
    let dialing = net.dialing();
    dial.reached().await.unwrap();
    // β dialed first; its other dials are not held.
    for (dialer, port) in [(&net.gamma, "γ:1"), (&net.beta, "β:2")] {
        let (_, (accepted, _)) =
            tokio::try_join!(dialer.dial("α:1"), net.listener.accept()).unwrap();
        assert_eq!(accepted.peer_addr(), port);
    }
    all_wait().await;
    assert!(!dialing.is_finished());
    dial.go_on().await.unwrap();
    let (accepted, _) = net.listener.accept().await.unwrap();
    assert_eq!(accepted.peer_addr(), "β:1");
    dialing.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn only_the_dial_with_its_number_waits() {
    let net = Net::new().await;
    let second = At::dial("β:1 -> α:1").unwrap().nth(2).unwrap();
    let dial = net.set(second).await;
    let ends = tokio::try_join!(net.beta.dial("α:1"), net.listener.accept()).unwrap();
    drop(ends);
    let dialing = net.dialing();
    dial.reached().await.unwrap();
    assert!(!dialing.is_finished());
    dial.go_on().await.unwrap();
    net.listener.accept().await.unwrap();
    dialing.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_answer_waits_when_the_dial_is_accepted() {
    let net = Net::new().await;
    let answer = net.set(At::answer("β:1 -> α:1").unwrap()).await;
    let dialing = net.dialing();
    let (mut accepted, _) = net.listener.accept().await.unwrap();
    answer.reached().await.unwrap();
    accepted.write_all(b"early").await.unwrap();
    all_wait().await;
    assert_eq!(
        net.lines()[4..],
        [
            "β:1 -> α:1 dialing",
            "α:2 <- β:1 accepted",
            "α:2 <- β:1 sent first byte",
        ]
    );
    answer.go_on().await.unwrap();
    let mut dialed = dialing.await.unwrap().unwrap();
    let mut heard = [0; 5];
    dialed.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"early");
}

#[tokio::test(start_paused = true)]
async fn bytes_and_the_end_after_them_wait() {
    let net = Net::new().await;
    let at = At::bytes("β:1 -> α:2").unwrap().after(5).unwrap();
    let end = net.set(at).await;
    let (mut dialed, (mut accepted, _)) =
        tokio::try_join!(net.beta.dial("α:1"), net.listener.accept()).unwrap();
    dialed.write_all(b"hello").await.unwrap();
    drop(dialed);
    let mut heard = [0; 5];
    accepted.read_exact(&mut heard).await.unwrap();
    let reading = tokio::spawn(async move { accepted.read(&mut [0; 1]).await });
    end.reached().await.unwrap();
    all_wait().await;
    assert!(!reading.is_finished());
    end.go_on().await.unwrap();
    assert_eq!(reading.await.unwrap().unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_breakpoint_is_there_before_its_hosts_and_dropping_it_lets_go() {
    let network = PipeNetwork::new("pipet").unwrap();
    let net = network.subnetwork();
    let at = At::dial("β:1 -> α:1").unwrap();
    let dial = Breakpoint::set(&net.faults(), at, BOUND).await.unwrap();
    let (alpha, beta) = (net.new_host("α").await, net.new_host("β").await);
    let listener = alpha.unwrap().listen(":1").unwrap();
    let dialing = tokio::spawn(async move { beta.unwrap().dial("α:1").await });
    dial.reached().await.unwrap();
    let second = Duration::from_secs(1);
    assert!(timeout(second, listener.accept()).await.is_err());
    drop(dial);
    listener.accept().await.unwrap();
    dialing.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_breakpoint_has_a_bound_and_its_errors_name_it() {
    let net = Net::new().await;
    let at = At::dial("β:1 -> α:1").unwrap();
    let faults = net.here.faults();
    let dial = Breakpoint::set(&faults, at, Duration::from_secs(2)).await;
    let dial = dial.unwrap();
    assert_eq!(
        dial.reached().await.unwrap_err().to_string(),
        "breakpoint at dial β:1 -> α:1: within 2s nothing came that it holds"
    );
    // It is over, so nothing waits.
    tokio::try_join!(net.beta.dial("α:1"), net.listener.accept()).unwrap();
    assert_eq!(
        dial.go_on().await.unwrap_err().to_string(),
        "breakpoint at dial β:1 -> α:1: it was over after 2s, so what it held went on by itself"
    );
    for (at, text) in [
        (
            At::dial("β -> α:1"),
            r#"breakpoint "β -> α:1": expected two addresses such as "β:1 -> α:1" (fault rule "hold β -> α:1": expected ports of both ends of a connection, or "port N")"#,
        ),
        (
            At::answer("β:1 -> α:1 for 1s"),
            r#"breakpoint "β:1 -> α:1 for 1s": expected two addresses such as "β:1 -> α:1""#,
        ),
        (
            At::answer("β:1 -> α:1").unwrap().nth(1),
            "breakpoint at answer to dial β:1 -> α:1: expected a dial, as only dials have numbers",
        ),
        (
            At::dial("β:1 -> α:1").unwrap().nth(0),
            "breakpoint at dial β:1 -> α:1: expected a number from 1, got 0",
        ),
        (
            At::dial("β:1 -> α:1").unwrap().after(1),
            "breakpoint at dial β:1 -> α:1: expected bytes, as nothing else can begin after some",
        ),
    ] {
        assert_eq!(at.unwrap_err().to_string(), text);
    }
}

#[tokio::test(start_paused = true)]
async fn events_that_lead_to_others_can_be_held() {
    let net = Net::new().await;
    let (mut dialed, (mut accepted, _)) =
        tokio::try_join!(net.beta.dial("α:1"), net.listener.accept()).unwrap();
    dialed.write_all(b"hello").await.unwrap();
    dialed.shutdown().await.unwrap();
    accepted.read_to_end(&mut Vec::new()).await.unwrap();
    drop(accepted);
    let trace = Trace::merge([net.here.trace(), net.there.trace()]).unwrap();
    let events = trace.events().iter();
    let rules = events.filter_map(|traced| At::of(&traced.event));
    let rules: Vec<_> = rules.map(|at| format!("{at}: {}", at.rule())).collect();
    assert_eq!(
        rules,
        [
            "dial β:1 -> α:1: hold β:1 -> α:1",
            "answer to dial β:1 -> α:1: hold α:1 -> β:1",
            "bytes β:1 -> α:2: hold β:1 -> α:2",
            "bytes β:1 -> α:2 after 5: hold β:1 -> α:2 after 5B",
            "bytes α:2 -> β:1: hold α:2 -> β:1",
        ]
    );
}
