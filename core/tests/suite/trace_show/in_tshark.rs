//! A trace's packets as Wireshark's command reads them.
//!
//! Owns what it must find. Never captures anything. `tests/run.sh` runs those that need tshark.

use std::collections::BTreeSet;
use std::process::Command;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use virtnet_core::Cause;
use virtnet_core::pipe::PipeNetwork;
use virtnet_core::trace::{EventKind, Recording, Trace};

use crate::trace_show::synthetic::{Net, Pair, addr, busy, hostile, small};

fn pcapng(trace: &Trace) -> Vec<u8> {
    let mut file = Vec::new();
    trace.write_pcapng(&mut file).unwrap();
    file
}

/// What tshark prints for a trace.
fn tshark(trace: &Trace, args: &[&str]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pcapng(trace)).unwrap();
    let output = Command::new("tshark")
        .arg("-r")
        .arg(file.path())
        .args(args)
        .output()
        .expect("tshark is installed");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    String::from_utf8(output.stdout).unwrap()
}

/// The packets that a display filter lets through, as values of fields.
fn fields(trace: &Trace, filter: &str, fields: &[&str]) -> Vec<String> {
    let mut args = vec!["-N", "n", "-Y", filter, "-T", "fields", "-E", "separator= "];
    // Sequence numbers from 0; checksums are looked at.
    for option in ["ip.check_checksum:TRUE", "tcp.check_checksum:TRUE"] {
        args.extend(["-o", option]);
    }
    args.extend(fields.iter().flat_map(|field| ["-e", field]));
    let lines = tshark(trace, &args);
    lines
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

/// β asks, and α answers.
fn conversation() -> (Net, Pair) {
    let mut net = Net::new(&["α", "β"]);
    let listener = net.listen(0);
    let pair = net.connect(1, 0, &listener);
    net.first_byte(&pair, 0);
    net.data(&pair, 0, 0, b"ask\n", 4);
    net.data(&pair, 1, 0, "Ant\u{f6}wort\n".as_bytes(), 10);
    net.data(&pair, 0, 4, b"more", 4);
    (net, pair)
}

#[test]
#[ignore = "needs tshark"]
fn a_conversation_is_followed() {
    let (mut net, pair) = conversation();
    net.finish(&pair, 0, 8);
    net.finish(&pair, 1, 10);
    net.close(&pair, [8, 10]);
    let trace = net.trace();
    let wanted = ["ip.src_host", "tcp.srcport", "ip.dst_host", "tcp.dstport"];
    let numbers = ["tcp.flags.str", "tcp.seq", "tcp.ack", "tcp.len"];
    let packets = fields(&trace, "tcp", &[wanted, numbers].concat());
    let expected = [
        "β 1 α 2 ··········S· 0 0 0",
        "α 2 β 1 ·······A··S· 0 1 0",
        "β 1 α 2 ·······A···· 1 1 0",
        "β 1 α 2 ·······AP··· 1 1 4",
        "α 2 β 1 ·······AP··· 1 5 10",
        "β 1 α 2 ·······AP··· 5 11 4",
        "β 1 α 2 ·······A···F 9 11 0",
        "α 2 β 1 ·······A···· 11 10 0",
        "α 2 β 1 ·······A···F 11 10 0",
        "β 1 α 2 ·······A···· 10 12 0",
    ];
    assert_eq!(packets, expected);
    let followed = tshark(&trace, &["-N", "n", "-q", "-z", "follow,tcp,raw,0"]);
    let hex = |text: &str| -> String { text.bytes().map(|byte| format!("{byte:02x}")).collect() };
    let stream: Vec<_> = followed
        .lines()
        .filter(|line| line.len() % 2 == 0 || line.starts_with('\t'))
        .collect();
    for part in ["ask\n", "Ant\u{f6}wort\n", "more"] {
        let hex = hex(part);
        assert!(
            stream.iter().any(|line| line.trim() == hex),
            "{part}: {followed}"
        );
    }
    assert_eq!(
        fields(
            &trace,
            "tcp.analysis.flags || _ws.malformed",
            &["frame.number"]
        ),
        [""; 0]
    );
    // Each packet says of which event it tells; the first, what came before.
    let comments = fields(&trace, "frame.number <= 2", &["frame.comment"]);
    let expected = [
        "α made,β made,α:1 listening,β:1 -> α:1 dialing",
        "α:2 <- β:1 accepted",
    ];
    assert_eq!(comments, expected);
    let times = fields(&trace, "frame.number == 1", &["frame.time_epoch"]);
    assert_eq!(times, ["1767225600.001000000"]);
}

/// What a network recorded: a dial that takes bytes along, then writes on both sides.
#[tokio::test]
#[ignore = "needs tshark"]
async fn a_recorded_network_is_followed() {
    let network = PipeNetwork::new("net").unwrap();
    let (here, there) = (network.subnetwork(), network.subnetwork());
    for subnet in [&here, &there] {
        subnet.record_with(&Recording::new().payload(64)).unwrap();
    }
    let alpha = here.new_host("α").await.unwrap();
    let beta = there.new_host("β").await.unwrap();
    let listener = beta.listen("β:1").unwrap();
    let (dialed, accepted) = tokio::join!(alpha.dial_with("β:1", b"hello "), listener.accept());
    let (mut dialed, (mut accepted, _)) = (dialed.unwrap(), accepted.unwrap());
    dialed.write_all(b"from alpha").await.unwrap();
    dialed.shutdown().await.unwrap();
    let mut read = String::new();
    accepted.read_to_string(&mut read).await.unwrap();
    assert_eq!(read, "hello from alpha");
    accepted.write_all(&[b'!'; 100]).await.unwrap();
    drop(accepted);
    let mut read = Vec::new();
    dialed.read_to_end(&mut read).await.unwrap();
    drop(dialed);
    here.close().await.unwrap();
    there.close().await.unwrap();

    let trace = Trace::merge([here.trace(), there.trace()]).unwrap();
    let flaws = "tcp.analysis.flags || _ws.malformed";
    assert_eq!(fields(&trace, flaws, &["frame.number"]), [""; 0]);
    let from_alpha = "tcp.srcport == 1 && tcp.len > 0";
    let wanted = ["ip.src_host", "tcp.seq", "tcp.len", "frame.cap_len"];
    // The dial's own bytes are no write, so they are not recorded.
    let expected = ["α 1 6 40", "α 7 10 50"];
    assert_eq!(fields(&trace, from_alpha, &wanted), expected);
    let ends = fields(&trace, "tcp.flags.fin == 1", &["tcp.srcport", "tcp.seq"]);
    assert_eq!(ends, ["1 17", "2 101"]);
    let followed = tshark(&trace, &["-q", "-z", "follow,tcp,ascii,0"]);
    assert!(followed.contains("from alpha"), "{followed}");
}

/// Of what was not recorded, only the length is there.
#[test]
#[ignore = "needs tshark"]
fn without_payload_sequence_numbers_are_right() {
    let packets = fields(
        &small().trace(),
        "tcp.srcport == 1",
        &["tcp.flags.str", "tcp.seq", "tcp.len", "frame.cap_len"],
    );
    let expected = [
        "··········S· 0 0 40",
        "·······A···· 1 0 40",
        "·······A···· 1 1 40",
        "·······A···· 2 4 40",
        "·······A···F 6 0 40",
    ];
    assert_eq!(packets, expected);
    // The first bytes of a write that is larger than a packet, and an end far behind.
    let (mut net, pair) = conversation();
    net.data(&pair, 0, 8, b"begin", 70_000);
    net.finish(&pair, 0, 1 << 33);
    let packets = fields(
        &net.trace(),
        "tcp.srcport == 1 && tcp.seq >= 9 || tcp.flags.fin == 1",
        &["tcp.seq", "tcp.len", "frame.cap_len"],
    );
    let end = (1_u64 << 33) + 1;
    let expected = [
        "9 5 45".to_owned(),
        "14 65495 40".to_owned(),
        "65509 4500 40".to_owned(),
        format!("{} 0 40", end & 0xffff_ffff),
    ];
    assert_eq!(packets[..4], expected);
}

#[test]
#[ignore = "needs tshark"]
fn failures_are_resets() {
    let (mut net, pair) = conversation();
    net.cut(&pair, 1, 8);
    net.close(&pair, [8, 10]);
    net.refused(1, &addr("α", 9), Cause::ConnectionRefused);
    net.refused(1, &addr("nobody", 9), Cause::NoSuchHost);
    let wanted = [
        "ip.src_host",
        "tcp.srcport",
        "ip.dst_host",
        "tcp.dstport",
        "frame.comment",
    ];
    let packets = fields(&net.trace(), "tcp.flags.reset == 1", &wanted);
    let expected = [
        "β 1 α 2 α:2 <- β:1 received 4 bytes from 4,α:2 <- β:1 read failed after 8 bytes: connection cut",
        "α 9 β 1 β:1 -> α:9 failed: connection refused",
        "β 1 nobody 9 β:1 -> nobody:9 failed: no such host",
    ];
    assert_eq!(packets, expected);
}

/// A host that crashed says nothing any more, and its peer gives up at some time.
#[test]
#[ignore = "needs tshark"]
fn a_crash_sends_nothing() {
    let (mut net, pair) = conversation();
    net.crash(&pair, 1);
    net.event(0, EventKind::HostMade);
    let listener = net.listen(0);
    let second = net.connect(1, 0, &listener);
    net.finish(&second, 1, 0);
    let wanted = [
        "ip.src_host",
        "tcp.srcport",
        "ip.dst_host",
        "tcp.dstport",
        "tcp.flags.str",
    ];
    let packets = fields(
        &net.trace(),
        "tcp.flags.fin == 1 || tcp.flags.reset == 1",
        &wanted,
    );
    let expected = ["β 1 α 2 ·······A·R··", "α 2 β 2 ·······A···F"];
    assert_eq!(packets, expected);
}

#[test]
#[ignore = "needs tshark"]
fn a_big_trace_has_no_flaw() {
    for trace in [busy(20_000, 8, 11).trace(), hostile().trace()] {
        let dials = trace
            .events()
            .iter()
            .filter(|it| matches!(it.event.kind, EventKind::Dialing { .. }));
        let streams: BTreeSet<_> = fields(&trace, "tcp", &["tcp.stream"]).into_iter().collect();
        assert_eq!(streams.len(), dials.count());
        // To use ports again is no flaw.
        let flaws = "_ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0 && tcp.len == 0 \
                     || tcp.analysis.flags && !tcp.analysis.reused_ports";
        let wanted = ["frame.number", "_ws.col.Info"];
        assert_eq!(fields(&trace, flaws, &wanted), [""; 0]);
    }
}

/// Each block has its length at both ends, and each of a small trace's messages is a packet.
#[test]
fn blocks_are_whole() {
    let (none, few, many) = (Trace::default(), small().trace(), busy(2000, 3, 5).trace());
    for (trace, packets) in [(none, 0..=0), (few, 8..=8), (many, 1000..=2000)] {
        let file = pcapng(&trace);
        let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        let (mut at, mut kinds) = (0, Vec::new());
        while at < file.len() {
            let len = number(at + 4) as usize;
            assert_eq!(number(at + len - 4) as usize, len);
            kinds.push(number(at));
            at += len;
        }
        assert_eq!(kinds[..3], [0x0a0d_0d0a, 1, 4]);
        assert!(kinds[3..].iter().all(|kind| *kind == 6));
        let found = kinds.len() - 3;
        assert!(packets.contains(&found), "{found}");
    }
}
