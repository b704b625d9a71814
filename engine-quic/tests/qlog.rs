//! qlog files: one for each end of each connection, with the names of host and
//! peer.
//!
//! Owns the check of file names, and that each line is JSON. A binary of its own,
//! because CI runs it without the feature, too. Never checks quinn's events.

mod common;

use common::Net;
#[cfg(feature = "qlog")]
use common::connect;

#[cfg(feature = "qlog")]
#[tokio::test]
async fn each_end_of_a_connection_has_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("made/when/need/be");
    let net = Net::new("net");
    let subnet = net.join_with(net.config().qlog(&folder)).0;
    let alpha = subnet.new_host("α/1").await.unwrap();
    let beta = subnet.new_host(&"β".repeat(100)).await.unwrap();
    let listener = alpha.listen(":1").unwrap();
    // Two dials, one QUIC connection.
    for _ in 0..2 {
        drop(connect(&beta, &listener).await);
    }
    drop(listener);
    subnet.close().await.unwrap();

    let entries = std::fs::read_dir(&folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let names: Vec<_> = files.iter().map(|path| path.file_name().unwrap()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let starts = [
        "α-1-is-dialed-by-127.0.0.1-".to_owned(),
        "β".repeat(32) + "-dials-127.0.0.1-",
    ];
    for ((path, name), start) in files.iter().zip(&names).zip(starts) {
        let name = name.to_str().unwrap();
        assert!(
            name.starts_with(&start) && name.ends_with(".sqlog"),
            "{name}"
        );
        let text = std::fs::read_to_string(path).unwrap();
        // RFC 7464: a record separator, a JSON value, the end of the line.
        let records: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line.strip_prefix('\u{1e}').unwrap()).unwrap())
            .collect();
        let title = records[0]["title"].as_str().unwrap();
        assert!(title.contains(" dials ") || title.starts_with("α/1 is dialed by 127.0.0.1:"));
        for event in ["packet_sent", "packet_received", "metrics_updated"] {
            let named = |record: &serde_json::Value| match record["name"].as_str() {
                Some(name) => name.ends_with(event),
                None => false,
            };
            assert!(records.iter().any(named), "no {event} in {text}");
        }
    }
}

#[cfg(feature = "qlog")]
#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let config = Net::new("net").config().qlog(file.path().join("x"));
    let err = config.prepare("net").unwrap_err().to_string();
    let named = format!("qlog folder {:?}: ", file.path().join("x"));
    assert!(err.starts_with(&named), "{err}");
}

#[cfg(not(feature = "qlog"))]
#[test]
fn without_the_feature_it_is_refused() {
    let err = Net::new("net")
        .config()
        .qlog("/x")
        .prepare("net")
        .unwrap_err();
    assert_eq!(
        err.to_string(),
        "qlog folder \"/x\": this program was built without virtnet's feature `qlog`"
    );
}
