//! The program of README.md about faults and the trace. Owns nothing else.

use virtnet::Cause;
use virtnet::faults::Rule;
use virtnet::trace::Trace;

#[tokio::test]
async fn the_second_dial_is_let_through() -> Result<(), Box<dyn std::error::Error>> {
    let net = virtnet::testing::open().await?;
    let (alpha, beta) = (net.new_host("α").await?, net.new_host("β").await?);
    let listener = alpha.listen("α:1")?;

    let guard = net
        .faults()
        .apply("refuse β -> α dials 1".parse::<Rule>()?)
        .await?;
    let refused = beta.dial("α:1").await.unwrap_err();
    assert_eq!(refused.cause(), Cause::ConnectionRefused);
    drop(tokio::try_join!(beta.dial("α:1"), listener.accept())?);
    guard.heal().await?; // or drop it; if the test is killed, the network heals within seconds

    let check = Trace::merge([net.trace()])?;
    let check = check.check().allow_others().ignore("β fault*");
    let check = check.host(
        "β",
        [
            "β made",
            "β:1 -> α:1 dialing",
            "β:1 -> α:1 failed: connection refused",
            "β:1 -> α:1 dialing",
            "β:1 -> α:2 connected",
            "β:1 -> α:2 closed *",
        ],
    );
    check
        .before("α:1 listening", "α:2 <- β:1 accepted")
        .finish()?;
    Ok(())
}
