//! Collects events and compares them with an expected sequence: `cargo run --example expect_order`.

use std::error::Error;
use std::time::Duration;

use virtnet::Cause;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let net = virtnet::testing::open().await?;
    let (alpha, beta) = (net.new_host("α").await?, net.new_host("β").await?);
    let (mut events, mut open) = (Vec::new(), Vec::new());
    let listener = alpha.listen("")?; // the lowest free port
    events.push(format!("listening {}", listener.local_addr()));
    for dst in ["α:1", "α:1", "α:9"] {
        let both = async { tokio::try_join!(beta.dial(dst), listener.accept()) };
        match tokio::time::timeout(Duration::from_secs(10), both).await? {
            Ok((dialed, (accepted, peer))) => {
                events.push(format!("connected {peer}->{}", accepted.local_addr()));
                open.push((dialed, accepted)); // an open connection keeps its ports
            }
            Err(err) if err.cause() == Cause::ConnectionRefused => {
                let src = err.src().expect("a dial's error names both ends");
                events.push(format!("refused {src}->{dst}"));
            }
            Err(err) => return Err(err.into()),
        }
    }
    let expected = [
        "listening α:1",
        "connected β:1->α:2",
        "connected β:2->α:3",
        "refused β:3->α:9",
    ];
    assert_eq!(events, expected); // on every run
    println!("as expected:\n{}", events.join("\n"));
    drop(open);
    Ok(net.close().await?)
}
