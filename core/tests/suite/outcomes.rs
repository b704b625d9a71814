//! Tests of results: the counts of dials by outcome, and the texts and sources of errors.
//!
//! Owns the counts of outgoing dials. Those of incoming dials are in `limits.rs`.

use std::error::Error;
use std::sync::Arc;

use tokio_test::{assert_pending, task};
use virtnet_core::memory::MemoryHub;
use virtnet_core::pipe::{PipeEngine, PipeNetwork, Switchboard};
use virtnet_core::{Addr, AddrError, Cause, Failure, OpError, Registry, RegistryError, SubNetwork};

/// The outcomes that occurred, with their counts.
fn counted(subnet: &SubNetwork) -> Vec<(&'static str, u64)> {
    let counts = subnet.stats().dials.by_name();
    counts.filter(|(_, count)| *count > 0).collect()
}

#[tokio::test]
async fn every_dial_is_counted_by_its_outcome() {
    let subnet = PipeNetwork::new("pipet").unwrap().subnetwork();
    let (alpha, beta) = tokio::join!(subnet.new_host("α"), subnet.new_host("β"));
    let (alpha, beta) = (alpha.unwrap(), beta.unwrap());
    let listener = alpha.listen("").unwrap();
    assert_eq!(counted(&subnet), []);

    for _ in 0..3 {
        let (dialed, accepted) = tokio::join!(beta.dial("α:1"), listener.accept());
        drop((dialed.unwrap(), accepted.unwrap()));
    }
    beta.dial("α:9").await.unwrap_err();
    beta.dial("γ:1").await.unwrap_err();
    beta.dial("γ").await.unwrap_err();
    let mut waiting = task::spawn(beta.dial("α:1"));
    assert_pending!(waiting.poll());
    // A running dial has no outcome yet, and a dial that was never polled has none at all.
    drop(beta.dial("α:1"));
    assert_eq!(subnet.stats().dials.cancelled, 0);
    drop(waiting);
    beta.close();
    beta.dial("α:1").await.unwrap_err();

    let expected = [
        ("connected", 3),
        ("cancelled", 1),
        ("host_down", 1),
        ("connection_refused", 1),
        ("no_such_host", 1),
        ("invalid_addr", 1),
    ];
    assert_eq!(counted(&subnet), expected);
    assert_eq!(subnet.stats().dials.failed(Cause::HostDown), 1);
    subnet.close().await.unwrap();
}

/// The first source of type `T`.
fn find<'a, T: Error + 'static>(err: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut sources = std::iter::successors(err.source(), |&source| source.source());
    sources.find_map(|source| source.downcast_ref())
}

/// Errors that a registry reported, or core in its place.
async fn registry_errors() -> Vec<(OpError, Cause)> {
    let network = PipeNetwork::new("pipet").unwrap();
    let (one, two) = (network.subnetwork(), network.subnetwork());
    let alpha = one.new_host("α").await.unwrap();
    let hub = MemoryHub::new().registry();
    hub.close().await.unwrap();
    let closed = SubNetwork::new("pipet", Arc::new(hub), |notifier| {
        PipeEngine::new(&Switchboard::new(), notifier)
    });
    vec![
        (alpha.dial("γ:1").await.unwrap_err(), Cause::NoSuchHost),
        (
            one.new_host("α").await.unwrap_err(),
            Cause::HostAlreadyRegistered,
        ),
        (
            two.new_host("α").await.unwrap_err(),
            Cause::HostAlreadyRegistered,
        ),
        (
            closed.unwrap().new_host("α").await.unwrap_err(),
            Cause::RegistryDown,
        ),
    ]
}

#[tokio::test]
async fn a_registrys_error_and_its_cause_are_found_beneath_an_operations() {
    for (err, cause) in registry_errors().await {
        let registry: &RegistryError = err.source().unwrap().downcast_ref().unwrap();
        assert_eq!((err.cause(), registry.cause()), (cause, cause), "{err:?}");
        assert!(err.to_string().ends_with(&registry.to_string()), "{err}");
        assert_eq!(find(registry), Some(&cause), "{err:?}");
        assert_eq!(err.is_unreachable(), cause == Cause::NoSuchHost);
    }
    let subnet = PipeNetwork::new("pipet").unwrap().subnetwork();
    let alpha = subnet.new_host("α").await.unwrap();
    let refused = alpha.dial("α:1").await.unwrap_err();
    assert_eq!(find(&refused), Some(&Cause::ConnectionRefused));
    let bad = alpha.dial("α").await.unwrap_err();
    assert!(find::<AddrError>(&bad).is_some(), "{bad:?}");
    // At any depth, and in any wrapper.
    let error = RegistryError::new("x", "query", &["α"], Cause::NoSuchHost);
    let failure = Failure::because(Cause::NetworkDown, Failure::from(error));
    assert_eq!(find::<RegistryError>(&failure).unwrap().op(), "query");
    assert_eq!(find(&failure), Some(&Cause::NoSuchHost));
}

/// The text that Rust prints when `main` or a test returns an error, without repetition.
#[tokio::test]
async fn debug_reads_as_the_text_with_what_led_to_it() {
    let shown: Vec<_> = registry_errors().await;
    let shown: Vec<_> = shown.iter().map(|(err, _)| format!("{err:?}")).collect();
    let registry = |announced: &str| {
        format!("virtnet \"pipet\": new host \"α\": registry {announced}: host already registered")
    };
    assert_eq!(
        shown[0],
        "dial pipet α:1->γ:1: registry \"memory:\": query \"γ\": no such host"
    );
    assert_eq!(
        shown[1],
        registry("\"this subnetwork\": announce \"α\"")
            + "\n  caused by: this subnetwork has already made a host with this name; a closed \
               host keeps its name until its subnetwork is closed"
    );
    assert_eq!(
        shown[2],
        registry("\"memory:\": announce \"α\" \"pipe:2\"")
            + "\n  caused by: another subnetwork of this process holds it; parallel tests need \
               one network each, such as virtnet::testing::open() makes"
    );
    assert!(shown[3].ends_with(": registry is down\n  caused by: it was closed"));

    let registry = RegistryError::new("x", "close", &[], Failure::other("no"));
    assert_eq!(format!("{registry:?}"), "registry \"x\": close: no");
    let down = Failure::because(Cause::HostDown, registry);
    let text = "host is down\n  caused by: registry \"x\": close: no";
    assert_eq!(format!("{down:?}"), text);
    let bad = Addr::parse("n", "α:65536").unwrap_err();
    assert_eq!(format!("{bad:?}"), bad.to_string());
    // The alternate form shows the fields.
    let fields = format!("{bad:#?} {down:#?}");
    assert!(
        fields.starts_with("AddrError {\n") && fields.contains("Failure {\n"),
        "{fields}"
    );
}
