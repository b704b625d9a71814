//! Expectations of traces: what holds, and what a mismatch says.
//!
//! Owns these, over real records of pipes. Never checks what is recorded: the others do.

use virtnet_core::pipe::PipeNetwork;
use virtnet_core::trace::{Check, EventKind, Mismatch, Pattern, Record, Trace};
use virtnet_core::{Cause, Host, SubNetwork};

/// What α and β did: β is refused once, connects, and closes; γ does nothing with them.
async fn records() -> Vec<Record> {
    let network = PipeNetwork::new("pipet").unwrap();
    let nets: [SubNetwork; 3] = std::array::from_fn(|_| network.subnetwork());
    nets.iter().for_each(SubNetwork::record);
    let host = async |at: usize, name: &str| -> Host { nets[at].new_host(name).await.unwrap() };
    let (alpha, beta, gamma) = (host(0, "α").await, host(1, "β").await, host(2, "γ").await);
    beta.dial("α:1").await.unwrap_err();
    let listener = alpha.listen(":1").unwrap();
    let (dialed, accepted) = tokio::try_join!(beta.dial("α:1"), listener.accept()).unwrap();
    drop(accepted);
    drop(dialed);
    gamma.note("elected");
    nets.iter().map(SubNetwork::trace).collect()
}

async fn trace() -> Trace {
    Trace::merge(records().await).unwrap()
}

const BETA: [&str; 5] = [
    "β made",
    "β:1 -> α:1 dialing",
    "β:1 -> α:1 failed: connection refused",
    "β:1 -> α:1 dialing",
    "β:1 -> α:2 connected",
];
const CLOSED: &str = "β:1 -> α:2 closed after 0 bytes sent, 0 received";

fn says(check: Check<'_>) -> String {
    let mismatch: Mismatch = check.finish().unwrap_err();
    let text = mismatch.to_string();
    assert_eq!(format!("{mismatch:?}"), text);
    text
}

#[tokio::test]
async fn what_holds() {
    let trace = trace().await;
    let refused = Pattern::of("a refused dial", |event| {
        let refused = Cause::ConnectionRefused;
        matches!(&event.kind, EventKind::DialFailed { cause, .. } if *cause == refused)
    });
    let check = trace.check().host("β", BETA.into_iter().chain([CLOSED]));
    // A wildcard, and a function.
    let check = check.host("γ", ["γ made", "γ note: *"]);
    let check = check.before("β:1 -> * dialing", refused.clone());
    // There are two such dials.
    let err = check.allow_others().finish().unwrap_err().to_string();
    assert!(
        err.contains("expected one event \"β:1 -> * dialing\", got"),
        "{err}"
    );

    // All events are expected by somebody.
    let check = trace.check().host("β", BETA.into_iter().chain([CLOSED]));
    let check = check.host(
        "α",
        ["α made", "α:1 listening", "α:2 <- β:1 accepted", "α:2 *"],
    );
    let check = check
        .ignore("γ *")
        .ignore("α:1 stopped *")
        .ignore("α closed");
    check
        .never("* given up")
        .each(refused, CLOSED)
        .finish()
        .unwrap();

    let check = trace.check().allow_others();
    let check = check.before("α:1 listening", "β:1 -> α:2 connected");
    check.concurrent("γ made", "β made").finish().unwrap();
    assert!(Trace::default().check().finish().is_ok());
}

/// Events of two hosts may be given in any order that causes allow, and in no other.
#[tokio::test]
async fn orders_that_causes_allow() {
    let trace = trace().await;
    let conn = |order: [&'static str; 4]| {
        let check = trace.check().allow_others();
        check.connection("β:1 -> α:2", order).finish()
    };
    let [accepted, connected, one, other] = [
        "α:2 <- β:1 accepted",
        "β:1 -> α:2 connected",
        "α:2 <- β:1 closed *",
        "β:1 -> α:2 closed *",
    ];
    conn([accepted, connected, one, other]).unwrap();
    conn([accepted, connected, other, one]).unwrap();
    conn([accepted, one, connected, other]).unwrap();
    let err = conn([connected, accepted, one, other])
        .unwrap_err()
        .to_string();
    let expected = "\
the trace is not as expected
connection β:1 -> α:2: expected (-) and seen (+)
- β:1 -> α:2 connected
  α:2 <- β:1 accepted
+ β:1 -> α:2 connected
";
    assert!(err.starts_with(expected), "{err}");
    let pair = trace
        .check()
        .allow_others()
        .pair("α", "β", ["* dialing", "* failed: *"]);
    assert!(says(pair).contains("α and β: expected (-) and seen (+)"));
    let pair = trace.check().allow_others().pair("α", "γ", [""; 0]);
    pair.finish().unwrap();
}

#[tokio::test]
async fn a_mismatch_says_what_differs_and_why() {
    let trace = trace().await;
    // One is missing, one was not expected.
    let mut wrong = BETA.to_vec();
    wrong.remove(2);
    wrong.push("β:1 -> α:2 sent first byte");
    let said = says(trace.check().host("β", wrong).allow_others());
    let expected = "\
the trace is not as expected
host β: expected (-) and seen (+)
  β made
  β:1 -> α:1 dialing
+ β:1 -> α:1 failed: connection refused
  β:1 -> α:1 dialing
  β:1 -> α:2 connected
- β:1 -> α:2 sent first byte
+ β:1 -> α:2 closed after 0 bytes sent, 0 received
what led to \"β:1 -> α:1 failed: connection refused\":
  β made
  β:1 -> α:1 dialing
";
    assert!(said.starts_with(expected), "{said}");

    let said = says(trace.check().never("* failed: *").allow_others());
    let never = "expected never \"* failed: *\", got \"β:1 -> α:1 failed: connection refused\"";
    assert!(said.contains(never), "{said}");
    let before = trace
        .check()
        .before("β:1 -> α:2 connected", "α:1 listening");
    let said = says(before.allow_others());
    let how = "\"β:1 -> α:2 connected\" before \"α:1 listening\", but it is the other way round";
    assert!(said.contains(how), "{said}");
    let said = says(trace.check().before("γ made", "β made").allow_others());
    assert!(said.contains("but neither led to the other"), "{said}");
    let said = says(
        trace
            .check()
            .concurrent("β made", "α:2 * accepted")
            .allow_others(),
    );
    assert!(
        said.contains("but \"β made\" led to \"α:2 <- β:1 accepted\""),
        "{said}"
    );
    let said = says(
        trace
            .check()
            .each("β:1 -> * dialing", "* accepted")
            .allow_others(),
    );
    let each = "expected \"β:1 -> α:1 dialing\" to lead to \"* accepted\", which it did not";
    assert_eq!(said.matches(each).count(), 1, "{said}");

    // What nobody expected.
    let said = says(trace.check().ignore("α*").ignore("β*"));
    assert!(
        said.contains("events that nobody expected:\n+ γ made\n+ γ note: elected"),
        "{said}"
    );
}

/// What was open, and which faults were in force.
#[tokio::test]
async fn a_mismatch_shows_how_it_ended() {
    let net = PipeNetwork::new("pipet").unwrap().subnetwork();
    net.record();
    let (alpha, beta) = (
        net.new_host("α").await.unwrap(),
        net.new_host("β").await.unwrap(),
    );
    let listener = alpha.listen(":1").unwrap();
    let _open = tokio::try_join!(beta.dial("α:1"), listener.accept()).unwrap();
    let rule = virtnet_core::faults::Rule::refuse("α", "β");
    let guard = net.faults().apply(rule).await.unwrap();
    let trace = Trace::merge([net.trace()]).unwrap();
    let said = says(trace.check().host("β", ["β made"]).allow_others());
    let end = "\
open at the end:
  α:1 listening
  α:2 <- β:1 accepted
  β:1 -> α:2 connected
faults in force:
  refuse α -> β";
    assert!(said.ends_with(end), "{said}");
    guard.heal().await.unwrap();
    let trace = Trace::merge([net.trace()]).unwrap();
    let said = says(trace.check().host("β", ["β made"]).allow_others());
    assert!(!said.contains("faults in force"), "{said}");
}

#[tokio::test]
async fn a_trace_with_holes_is_never_as_expected() {
    let mut records = records().await;
    records[0].dropped = 17;
    let trace = Trace::merge(records).unwrap();
    let said = says(trace.check().allow_others());
    assert!(
        said.contains("the trace has holes: 17 events were dropped"),
        "{said}"
    );
}

/// The first of many lines are enough, and a large difference ends in time.
#[tokio::test]
async fn long_sequences() {
    let net = PipeNetwork::new("pipet").unwrap().subnetwork();
    net.record();
    let alpha = net.new_host("α").await.unwrap();
    for number in 0..5_000 {
        alpha.note(&number.to_string());
    }
    let trace = Trace::merge([net.trace()]).unwrap();
    let mut lines = vec!["α made".to_owned()];
    lines.extend((0..5_000).map(|number| format!("α note: {number}")));
    trace.check().host("α", lines.clone()).finish().unwrap();
    lines.swap(2_000, 2_002);
    let said = says(trace.check().host("α", lines.clone()));
    assert!(said.lines().count() < 40, "{said}");
    assert!(
        said.contains("\n- α note: 2001\n") || said.contains("\n+ α note: 2001\n"),
        "{said}"
    );
    lines.reverse();
    assert!(says(trace.check().host("α", lines)).lines().count() > 5_000);
}
