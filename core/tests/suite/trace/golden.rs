//! Golden files: what is written, what is compared, and what a difference says.
//!
//! Owns these, over real records of pipes. Never reads the environment.

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use virtnet_core::pipe::PipeNetwork;
use virtnet_core::trace::{Golden, Trace};

/// Two connections of β to α; what happens on one is not ordered with what happens on the other.
async fn trace(first: &[u8]) -> Trace {
    let network = PipeNetwork::new("pipet").unwrap();
    let nets = [network.subnetwork(), network.subnetwork()];
    nets.iter().for_each(|net| net.record());
    let (alpha, beta) = (
        nets[0].new_host("α").await.unwrap(),
        nets[1].new_host("β").await.unwrap(),
    );
    beta.dial("α:1").await.unwrap_err();
    let listener = alpha.listen(":1").unwrap();
    let mut conns = Vec::new();
    for _ in 0..2 {
        conns.push(tokio::try_join!(beta.dial("α:1"), listener.accept()).unwrap());
    }
    let exchanges = conns.into_iter().map(|(mut dialed, (mut accepted, _))| {
        let first = first.to_owned();
        tokio::spawn(async move {
            dialed.write_all(&first).await.unwrap();
            dialed.shutdown().await.unwrap();
            let mut all = Vec::new();
            accepted.read_to_end(&mut all).await.unwrap();
            drop(accepted);
            assert_eq!(dialed.read(&mut [0]).await.unwrap(), 0);
        })
    });
    for exchange in exchanges.collect::<Vec<_>>() {
        exchange.await.unwrap();
    }
    drop(listener);
    Trace::merge(nets.iter().map(|net| net.trace())).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_written_on_request_and_the_same_on_every_run() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("new/dials.txt");
    let write = trace(b"hello").await;
    let written = write.check().golden(Golden::write(&path)).finish();
    written.unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("# A trace: "), "{text}");
    let places: Vec<_> = text.split("\n\n").skip(1).collect();
    assert_eq!(places.len(), 7, "{text}");
    assert_eq!(places[1], "α:1 listening\nα:1 stopped listening");
    assert_eq!(
        places[2],
        "α:2 <- β:1 accepted\nα:2 <- β:1 received first byte\n\
         α:2 <- β:1 received end after 5 bytes\n\
         α:2 <- β:1 closed after 0 bytes sent, 5 received"
    );
    assert!(places[5].starts_with("β:1 -> α:1 dialing\nβ:1 -> α:1 failed: connection refused\n"));
    for _ in 0..100 {
        let again = trace(b"hello").await;
        let same = again.check().golden(Golden::compare(&path)).finish();
        same.unwrap();
    }
    // A line can be made a pattern by hand.
    std::fs::write(&path, text.replace("after 5 bytes", "after * bytes")).unwrap();
    let again = write.check().golden(Golden::compare(&path)).finish();
    again.unwrap();
}

#[tokio::test]
async fn a_difference_is_shown_and_nothing_is_written() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("dials.txt");
    let hello = trace(b"hello").await;
    let missing = hello.check().golden(Golden::compare(&path)).finish();
    let missing = missing.unwrap_err().to_string();
    let named = format!("cannot read the golden file {path:?}: ");
    assert!(missing.contains(&named), "{missing}");

    // Another expectation does not hold.
    let check = hello.check().never("* accepted");
    check.golden(Golden::write(&path)).finish().unwrap_err();
    assert!(!path.exists());

    let check = hello.check().ignore("α*");
    check.golden(Golden::write(&path)).finish().unwrap();
    let bye = trace(b"bye").await;
    let differs = bye.check().ignore("α*").golden(Golden::compare(&path));
    let differs = differs.finish().unwrap_err().to_string();
    for line in [
        "- β:2 -> α:3 sent end after 5 bytes\n",
        "+ β:2 -> α:3 sent end after 3 bytes\n",
        "what led to \"β:1 -> α:2 sent end after 3 bytes\":\n",
    ] {
        assert!(differs.contains(line), "{line}{differs}");
    }
    assert!(
        !differs.contains("+ α") && !differs.contains("- α"),
        "{differs}"
    );

    let folder = Golden::write(folder.path());
    let failed = bye.check().golden(folder).finish().unwrap_err();
    let failed = failed.to_string();
    assert!(failed.contains("cannot write the golden file"), "{failed}");
}
