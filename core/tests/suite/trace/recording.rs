//! What a subnetwork records: its lines, its limits, and notes.
//!
//! Owns the expected lines. Never reads a file.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_test::task::spawn;
use virtnet_core::pipe::PipeNetwork;
use virtnet_core::trace::{EventKind, MAX_NOTE, Record, Recording, Trace};
use virtnet_core::{Host, SubNetwork};

pub(super) fn lines(record: &Record) -> Vec<String> {
    let trace = Trace::merge([record.clone()]).unwrap();
    let events = trace.events().iter();
    events.map(|traced| traced.event.to_string()).collect()
}

/// A subnetwork that records, with two hosts.
pub(super) async fn two_hosts() -> (SubNetwork, Host, Host) {
    let subnet = PipeNetwork::new("net").unwrap().subnetwork();
    subnet.record();
    let alpha = subnet.new_host("α").await.unwrap();
    let beta = subnet.new_host("β").await.unwrap();
    (subnet, alpha, beta)
}

#[tokio::test]
async fn nothing_is_recorded_unless_it_is_asked_for() {
    let subnet = PipeNetwork::new("net").unwrap().subnetwork();
    let alpha = subnet.new_host("α").await.unwrap();
    let listener = alpha.listen(":1").unwrap();
    let (dialed, accepted) = tokio::try_join!(alpha.dial("α:1"), listener.accept()).unwrap();
    alpha.note("not recorded");
    assert_eq!(subnet.trace().events, []);

    // From now on; but not of connections that are open already.
    subnet.record();
    subnet.record();
    drop((dialed, accepted));
    drop(listener);
    alpha.close();
    assert_eq!(
        lines(&subnet.trace()),
        ["α:1 stopped listening", "α closed"]
    );
    subnet.close().await.unwrap();
}

/// A conversation, line by line.
#[tokio::test]
async fn a_conversation_is_recorded() {
    let (subnet, alpha, beta) = two_hosts().await;
    let listener = alpha.listen(":1").unwrap();
    let (dialed, accepted) = tokio::join!(beta.dial_with("α:1", b"first"), listener.accept());
    let (mut dialed, (mut accepted, _)) = (dialed.unwrap(), accepted.unwrap());
    let mut read = [0; 5];
    accepted.read_exact(&mut read).await.unwrap();
    accepted.write_all(b"reply").await.unwrap();
    dialed.read_exact(&mut read).await.unwrap();
    dialed.write_all(b"more").await.unwrap();
    dialed.shutdown().await.unwrap();
    assert_eq!(accepted.read_to_end(&mut Vec::new()).await.unwrap(), 4);
    dialed.shutdown().await.unwrap();
    dialed.write_all(b"too late").await.unwrap_err();
    drop(accepted);
    assert_eq!(dialed.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    drop(dialed);
    drop(listener);
    beta.close();
    subnet.close().await.unwrap();
    let expected = [
        "α made",
        "β made",
        "α:1 listening",
        "β:1 -> α:1 dialing with 5 bytes",
        "α:2 <- β:1 accepted",
        "β:1 -> α:2 connected",
        "α:2 <- β:1 received first byte",
        "α:2 <- β:1 sent first byte",
        "β:1 -> α:2 received first byte",
        "β:1 -> α:2 sent end after 9 bytes",
        "α:2 <- β:1 received end after 9 bytes",
        "β:1 -> α:2 write failed after 9 bytes: broken pipe",
        "α:2 <- β:1 closed after 5 bytes sent, 9 received",
        "β:1 -> α:2 received end after 5 bytes",
        "β:1 -> α:2 closed after 9 bytes sent, 5 received",
        "α:1 stopped listening",
        "β closed",
        "α closed",
    ];
    assert_eq!(lines(&subnet.trace()), expected);
}

/// A dial that is dropped frees its port after its last event: the next one that has the port comes later.
#[tokio::test]
async fn dials_that_end_in_every_way() {
    let (subnet, alpha, beta) = two_hosts().await;
    let listener = alpha.listen(":1").unwrap();
    let mut dial = spawn(beta.dial("α:1"));
    assert!(dial.poll().is_pending());
    drop(dial);
    beta.dial("α:2").await.unwrap_err();
    beta.dial("γ:1").await.unwrap_err();
    let mut dial = spawn(beta.dial("α:1"));
    assert!(dial.poll().is_pending());
    listener.close();
    assert!(dial.poll().is_ready());
    beta.dial("no address").await.unwrap_err();
    let expected = [
        "α made",
        "β made",
        "α:1 listening",
        "β:1 -> α:1 dialing",
        "β:1 -> α:1 given up",
        "β:1 -> α:2 dialing",
        "β:1 -> α:2 failed: connection refused",
        "β:1 -> γ:1 dialing",
        "β:1 -> γ:1 failed: no such host",
        "β:1 -> α:1 dialing",
        "α:1 stopped listening",
        "β:1 -> α:1 failed: connection refused",
    ];
    assert_eq!(lines(&subnet.trace()), expected);
    subnet.close().await.unwrap();
}

/// An end that is aborted, one whose host is closed, and halves: each end is closed once, with its bytes.
#[tokio::test]
async fn connections_that_end_in_every_way() {
    let (subnet, alpha, beta) = two_hosts().await;
    let listener = alpha.listen(":1").unwrap();
    let begun = subnet.trace().events.len();
    let (dialed, accepted) = tokio::try_join!(beta.dial("α:1"), listener.accept()).unwrap();
    let (mut accepted, _) = accepted;
    dialed.abort();
    accepted.read_u8().await.unwrap_err();
    accepted.read_u8().await.unwrap_err();
    drop((dialed, accepted));
    let (dialed, accepted) = tokio::try_join!(beta.dial("α:1"), listener.accept()).unwrap();
    let (reader, writer) = dialed.into_split();
    drop(writer);
    drop(reader);
    beta.close();
    drop(accepted);
    let ends: Vec<_> = lines(&subnet.trace()).into_iter().skip(begun).collect();
    let expected = [
        "β:1 -> α:1 dialing",
        "α:2 <- β:1 accepted",
        "β:1 -> α:2 connected",
        "β:1 -> α:2 closed after 0 bytes sent, 0 received",
        "α:2 <- β:1 read failed after 0 bytes: connection cut",
        "α:2 <- β:1 closed after 0 bytes sent, 0 received",
        "β:1 -> α:1 dialing",
        "α:2 <- β:1 accepted",
        "β:1 -> α:2 connected",
        "β:1 -> α:2 sent end after 0 bytes",
        "β:1 -> α:2 closed after 0 bytes sent, 0 received",
        "β closed",
        "α:2 <- β:1 closed after 0 bytes sent, 0 received",
    ];
    assert_eq!(ends, expected);
    let nth: Vec<_> = subnet.trace().events;
    let nth = nth.iter().filter_map(|event| match &event.kind {
        EventKind::Accepted { end, .. } | EventKind::Connected { end, .. } => Some(end.nth),
        _ => None,
    });
    assert_eq!(nth.collect::<Vec<_>>(), [1, 1, 2, 2]);
    subnet.close().await.unwrap();
}

/// A name that was made again goes on with its numbers.
#[tokio::test]
async fn a_crash_is_recorded_and_what_the_name_does_next() {
    let (subnet, alpha, beta) = two_hosts().await;
    let listener = alpha.listen(":1").unwrap();
    let (dialed, accepted) = tokio::try_join!(beta.dial("α:1"), listener.accept()).unwrap();
    alpha.crash().unwrap();
    let again = subnet.new_host("α").await.unwrap();
    again.note("again");
    drop((dialed, accepted, listener));
    let record = subnet.trace();
    let lines = lines(&record).into_iter();
    let lines: Vec<_> = lines.filter(|line| line.starts_with('α')).collect();
    let expected = [
        "α made",
        "α:1 listening",
        "α:2 <- β:1 accepted",
        "α crashed",
        "α:1 stopped listening",
        "α:2 <- β:1 closed after 0 bytes sent, 0 received",
        "α made",
        "α note: again",
    ];
    assert_eq!(lines, expected);
    subnet.close().await.unwrap();
}

#[tokio::test]
async fn a_full_record_keeps_its_beginning() {
    let subnet = PipeNetwork::new("net").unwrap().subnetwork();
    let few = Recording::new().events(3);
    assert_eq!(subnet.record_with(&few).unwrap(), None);
    let alpha = subnet.new_host("α").await.unwrap();
    for number in 0..5 {
        alpha.note(&format!("{number}"));
    }
    let record = subnet.trace();
    assert_eq!(lines(&record), ["α made", "α note: 0", "α note: 1"]);
    assert_eq!(record.dropped, 3);
    assert_eq!(Trace::merge([record]).unwrap().dropped(), 3);
    subnet.close().await.unwrap();
}

#[tokio::test]
async fn a_note_is_one_line_and_has_a_limit() {
    let (subnet, alpha, _beta) = two_hosts().await;
    alpha.note("a\nb\t\u{1b}[1m");
    alpha.note(&"α".repeat(MAX_NOTE));
    let record = subnet.trace();
    assert_eq!(lines(&record)[2], r"α note: a\nb\t\u{1b}[1m");
    let EventKind::Note { text } = &record.events[3].kind else {
        panic!("{:?}", record.events[3]);
    };
    assert_eq!(**text, format!("{}…", "α".repeat(MAX_NOTE / 2)));
    subnet.close().await.unwrap();
}

#[tokio::test]
async fn payload_is_recorded_when_it_is_asked_for() {
    let subnet = PipeNetwork::new("net").unwrap().subnetwork();
    let recording = Recording::new().payload(3);
    subnet.record_with(&recording).unwrap();
    let alpha = subnet.new_host("α").await.unwrap();
    let listener = alpha.listen(":1").unwrap();
    let (dialed, accepted) = tokio::join!(alpha.dial_with("α:1", b"first"), listener.accept());
    let (mut dialed, (mut accepted, _)) = (dialed.unwrap(), accepted.unwrap());
    dialed.write_all(b"and more").await.unwrap();
    accepted.read_exact(&mut [0; 13]).await.unwrap();
    let trace = Trace::merge([subnet.trace()]).unwrap();
    let data = trace
        .events()
        .iter()
        .filter_map(|traced| match &traced.event.kind {
            EventKind::Data { bytes, .. } => {
                let cause = traced
                    .cause
                    .map(|cause| trace.events()[cause].event.to_string());
                Some((traced.event.to_string(), bytes.to_vec(), cause))
            }
            _ => None,
        });
    let sent = "α:2 -> α:3 sent 8 bytes from 5".to_owned();
    assert_eq!(
        data.collect::<Vec<_>>(),
        [
            (sent.clone(), b"and".to_vec(), None),
            (
                "α:3 <- α:2 received 13 bytes from 0".to_owned(),
                b"fir".to_vec(),
                Some(sent)
            ),
        ]
    );
    subnet.close().await.unwrap();
}
