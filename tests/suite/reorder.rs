//! The orders on which a test relies: what is found, and what is told when nothing can be.
//!
//! Owns tests that rely on something, and some that do not. Never measures a time.

use std::cell::Cell;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use virtnet::testing::{Reorder, Report};
use virtnet::{Config, SubNetwork};

type Done = Result<(), Box<dyn std::error::Error>>;

/// Within this process, whatever the environment says.
fn reorder() -> Reorder {
    Reorder::with(Config::new("orders").registry("memory:"))
}

/// β tells α something, and γ is told what α knows.
async fn told(net: &SubNetwork, waits: bool) -> Result<u8, Box<dyn std::error::Error>> {
    let (alpha, beta) = (net.new_host("α").await?, net.new_host("β").await?);
    let (gamma, listener) = (net.new_host("γ").await?, alpha.listen("")?);
    let (mut dialed, (mut from_beta, _)) = tokio::try_join!(beta.dial("α:1"), listener.accept())?;
    let knows = Cell::new(0);
    let learns = async {
        knows.set(from_beta.read_u8().await?);
        from_beta.write_u8(1).await
    };
    let asks = async {
        dialed.write_u8(7).await?;
        if waits {
            dialed.read_u8().await?;
        }
        let mut asking = gamma.dial("α:1").await?;
        asking.read_u8().await
    };
    let answers = async {
        let (mut asked, _) = listener.accept().await?;
        asked.write_u8(knows.get()).await?;
        Ok::<_, std::io::Error>(asked)
    };
    let (learned, answer, answered) = tokio::join!(learns, asks, answers);
    learned?;
    answered?;
    Ok(answer?)
}

async fn seven_is_heard(config: Config, waits: bool) -> Done {
    let net = config.open().await?;
    let heard = told(&net, waits).await?;
    net.close().await?;
    match heard {
        7 => Ok(()),
        other => Err(format!("expected 7, got {other}").into()),
    }
}

async fn run(waits: bool) -> Report {
    let test = |config| seven_is_heard(config, waits);
    reorder().run(test).await.unwrap()
}

#[tokio::test]
async fn a_test_that_does_not_wait_for_an_answer_relies_on_an_order() {
    let report = run(false).await;
    let relied: Vec<_> = report.relied_on().map(ToString::to_string).collect();
    assert_eq!(
        relied,
        [
            "\"β:1 -> α:2 sent first byte\" late: the test failed: expected 7, got 0\n  \
             before it came\n    \
             α:3 <- γ:1 accepted\n    \
             α:3 <- γ:1 sent first byte",
        ]
    );
    assert_eq!(report.left_out, [""; 0]);
    report.finish().unwrap_err();
}

#[tokio::test]
async fn a_test_that_waits_relies_on_nothing() {
    let report = run(true).await;
    assert!(report.delayed >= 6, "{report}");
    report.finish().unwrap();
}

#[tokio::test]
async fn a_test_that_fails_as_it_is_has_no_orders() {
    let fails = reorder().run(|_| async { Err("never") }).await;
    assert_eq!(
        fails.unwrap_err().to_string(),
        "the test fails as it is: never"
    );
    let panics = async |_: Config| -> Result<(), String> { panic!("at once") };
    let panics = reorder().run(panics).await;
    assert_eq!(
        panics.unwrap_err().to_string(),
        "the test fails as it is: it panicked: at once"
    );
    let hangs = reorder().within(Duration::from_millis(50));
    let hangs = hangs.run(|_| std::future::pending::<Result<(), String>>());
    assert_eq!(
        hangs.await.unwrap_err().to_string(),
        "the test fails as it is: it did not end within 50ms"
    );
}

#[tokio::test]
async fn a_test_that_decides_nothing_is_told_and_can_be_ignored() {
    let runs = Cell::new(0);
    let test = |config: Config| {
        runs.set(runs.get() + 1);
        let run = runs.get();
        async move {
            let net = config.open().await?;
            let alpha = net.new_host("α").await?;
            alpha.note(&format!("run {run}"));
            net.close().await?;
            Ok::<_, Box<dyn std::error::Error>>(())
        }
    };
    let differs = reorder().run(test).await.unwrap_err();
    assert_eq!(
        differs.to_string(),
        "two runs of the test differ as it is: in the first (-) and in the second (+)\n  \
         α made\n- α note: run 1\n+ α note: run 2\n  α closed\n"
    );
    let same = reorder().ignore("* note: *").run(test).await.unwrap();
    assert_eq!(same, Report::default());
}
