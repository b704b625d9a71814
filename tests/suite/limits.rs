//! docs/limits.md: its numbers equal those of the code.
//!
//! Owns the comparison. Never tests that a limit is enforced: core and engine do.

use virtnet::quic::Tuning;
use virtnet::redis::RedisOptions;
use virtnet::{
    Limits, MAX_DOCUMENT, MAX_DOCUMENT_KEY, MAX_DOCUMENTS, MAX_DOCUMENTS_SIZE, MAX_NAME,
    MAX_TRACE_BATCH, MAX_TRACE_BATCHES, MAX_TRACE_SIZE, quic,
};

const PAGE: &str = include_str!("../../docs/limits.md");

/// The cells of the row that has `name` as a whole word in its column `column`.
fn row(name: &str, column: usize) -> Vec<&'static str> {
    let rows = PAGE.lines().filter(|line| line.starts_with('|'));
    let mut rows = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    let found = rows.find(|cells| cells.get(column).is_some_and(|cell| cell.contains(name)));
    found.unwrap_or_else(|| panic!("docs/limits.md has no row for {name}"))
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<_> = groups.map(|group| String::from_utf8_lossy(group)).collect();
    groups.join(",")
}

#[test]
fn the_numbers_of_the_page_are_the_defaults() {
    let (engine, core) = (quic::Limits::default(), Limits::default());
    let mib = |bytes: usize| format!("{} MiB", bytes >> 20);
    let tuning = Tuning::default();
    for (name, limit) in [
        ("`handshakes`", thousands(engine.handshakes)),
        (
            "`handshakes_per_address`",
            thousands(engine.handshakes_per_address),
        ),
        (
            "`handshakes_unproved`",
            thousands(engine.handshakes_unproved),
        ),
        ("`connections`", thousands(engine.connections)),
        (
            "`connections_per_peer`",
            thousands(engine.connections_per_peer),
        ),
        ("`unopened_per_peer`", thousands(engine.unopened_per_peer)),
        (
            "`Tuning::stream_window`",
            mib(tuning.stream_window as usize),
        ),
        ("`Tuning::send_window`", mib(tuning.send_window as usize)),
        ("`Tuning::socket_buffer`", mib(tuning.socket_buffer)),
        ("`Limits::backlog`", thousands(core.backlog)),
        ("`Limits::hosts`", thousands(core.hosts)),
        (
            "`RedisOptions::deadline`",
            format!("{} s", RedisOptions::default().deadline.as_secs()),
        ),
    ] {
        let stated = row(name, 3)[2];
        assert!(
            stated == limit || stated.starts_with(&format!("{limit},")),
            "{name} is {limit}, not {stated}"
        );
    }
    assert_eq!(row("a name of a host", 1)[2], format!("{MAX_NAME} bytes"));
    let bytes = [MAX_DOCUMENT, MAX_DOCUMENT_KEY].map(|bytes| thousands(bytes) + " bytes");
    assert_eq!(row("a document", 1)[2], bytes.join("; "));
    let topic = [thousands(MAX_DOCUMENTS), mib(MAX_DOCUMENTS_SIZE)];
    assert_eq!(row("documents of one topic", 1)[2], topic.join("; "));
    let trace = [
        thousands(MAX_TRACE_BATCH) + " bytes",
        thousands(MAX_TRACE_BATCHES),
        mib(MAX_TRACE_SIZE),
    ];
    assert_eq!(row("a batch of the live trace;", 1)[2], trace.join("; "));
    #[cfg(feature = "programs")]
    assert_eq!(
        row("that all forwards of a process", 1)[2],
        thousands(virtnet::programs::MAX_CONNECTIONS)
    );
}

#[test]
fn the_counters_of_the_page_exist() {
    let shown = format!(
        "{:?} {:?} ",
        quic::Stats::default(),
        virtnet::Refused::default()
    );
    let rows = PAGE.lines().filter(|line| line.starts_with("| "));
    let counters: Vec<_> = rows
        .filter_map(|row| row.split('|').nth(5))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter(|name| !name.contains(':'))
        .collect();
    assert!(counters.len() > 8, "{counters:?}");
    for counter in counters {
        assert!(shown.contains(&format!(" {counter}: ")), "{counter}");
    }
}
