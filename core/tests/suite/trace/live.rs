//! The live trace: what subnetworks send, and what readers wait for and get.
//!
//! Never opens another process: the tests of the package `virtnet` do.

mod slow;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::timeout;
use virtnet_core::memory::{MemoryHub, MemoryRegistry};
use virtnet_core::pipe::{PipeEngine, PipeNetwork, Switchboard};
use virtnet_core::trace::{LiveTrace, LiveTraceError, Recording, Trace};
use virtnet_core::{Registry, RegistryError, SubNetwork};

use self::slow::Slow;

/// The bound on every wait that succeeds.
const BOUND: Duration = Duration::from_secs(60);

/// A wait that fails.
const SHORT: Duration = Duration::from_millis(100);

fn live(network: &PipeNetwork) -> SubNetwork {
    let subnet = network.subnetwork();
    subnet.record_with(&Recording::new().live()).unwrap();
    subnet
}

fn lines(trace: &Trace) -> Vec<String> {
    let events = trace.events().iter();
    events.map(|traced| traced.event.to_string()).collect()
}

#[tokio::test]
async fn all_that_happened_anywhere_is_collected() {
    let network = PipeNetwork::new("net").unwrap();
    let (here, there) = (live(&network), live(&network));
    let trace = network.subnetwork().live_trace().unwrap();
    let (alpha, beta) = (
        here.new_host("α").await.unwrap(),
        there.new_host("β").await.unwrap(),
    );
    let listener = alpha.listen(":1").unwrap();
    for round in 1..=20 {
        let ends = tokio::try_join!(beta.dial("α:1"), listener.accept()).unwrap();
        drop(ends);
        alpha.note(&round.to_string());
        // Whatever members have not sent is asked for.
        let collected = trace.collect(BOUND).await.unwrap();
        let merged = Trace::merge([here.trace(), there.trace()]).unwrap();
        assert_eq!(collected, merged, "round {round}");
    }
    // A subnetwork that closes sends everything, and is not waited for any more.
    there.close().await.unwrap();
    let collected = trace.so_far().await.unwrap();
    let of_beta = lines(&collected).into_iter();
    let of_beta: Vec<_> = of_beta.filter(|line| line.starts_with('β')).collect();
    let expected = there.trace().events.len();
    assert_eq!(
        (of_beta.len(), &*of_beta[expected - 1]),
        (expected, "β closed")
    );
    let collected = trace.collect(BOUND).await.unwrap();
    let merged = Trace::merge([here.trace(), there.trace()]).unwrap();
    assert_eq!(collected, merged);
    here.crash().await.unwrap();
    let collected = trace.so_far().await.unwrap();
    assert!(lines(&collected).contains(&"α crashed".to_owned()));
    // Members' documents and questions are gone.
    let registry = network.hub().registry();
    for topic in ["trace-member", "trace-ask"] {
        assert_eq!(registry.documents().unwrap().list(topic).await.unwrap(), []);
    }
    // Otherwise the registry keeps it.
    registry.traces().unwrap().clear().await.unwrap();
    assert_eq!(trace.so_far().await.unwrap(), Trace::default());
}

#[tokio::test]
async fn a_wait_begins_before_what_leads_to_the_event() {
    let network = PipeNetwork::new("net").unwrap();
    let (here, there) = (live(&network), live(&network));
    let trace = here.live_trace().unwrap();
    let alpha = there.new_host("α").await.unwrap();
    alpha.note("1");
    let mut until = trace.until("α note: *").await.unwrap();
    alpha.note("2");
    let event = until.within(BOUND).await.unwrap();
    assert_eq!(event.to_string(), "α note: 2", "not what was before");
    // It goes on with the next one, also if both came together.
    alpha.note("3");
    alpha.note("4");
    for expected in ["α note: 3", "α note: 4"] {
        let event = until.within(BOUND).await.unwrap();
        assert_eq!(event.to_string(), expected);
    }
    let err = until.within(SHORT).await.unwrap_err();
    assert_eq!(
        err.to_string(),
        "live trace: within 100ms there was no \"α note: *\", and no event at all"
    );
    let mut until = trace.until("β made").await.unwrap();
    for note in 1..=12 {
        alpha.note(&note.to_string());
    }
    let mut noted = trace.until("γ made").await.unwrap();
    let _gamma = there.new_host("γ").await.unwrap();
    noted.within(BOUND).await.unwrap();
    let LiveTraceError::TimedOut(err) = until.within(SHORT).await.unwrap_err() else {
        panic!("it timed out");
    };
    let last: Vec<_> = (4..=12).map(|note| format!("α note: {note}")).collect();
    assert_eq!(err.last()[..9], last);
    assert_eq!(
        err.to_string().lines().next().unwrap(),
        "live trace: within 100ms there was no \"β made\", but 13 other events; the last were"
    );
    assert!(
        err.to_string().ends_with("\n  α note: 12\n  γ made"),
        "{err}"
    );
}

#[tokio::test(start_paused = true)]
async fn quiet_is_when_nothing_happens_anywhere() {
    let network = PipeNetwork::new("net").unwrap();
    let (here, there) = (live(&network), live(&network));
    let trace = here.live_trace().unwrap();
    let alpha = there.new_host("α").await.unwrap();
    let span = Duration::from_secs(1);
    trace.quiet(span, BOUND).await.unwrap();
    let noting = async {
        for note in 1..=3 {
            tokio::time::sleep(span * 2 / 3).await;
            alpha.note(&note.to_string());
        }
    };
    let begin = tokio::time::Instant::now();
    let (quiet, ()) = tokio::join!(trace.quiet(span, BOUND), noting);
    quiet.unwrap();
    assert!(begin.elapsed() >= 3 * span, "{:?}", begin.elapsed());

    let noting = async {
        loop {
            tokio::time::sleep(span / 2).await;
            alpha.note("again");
        }
    };
    let err = tokio::select! {
        quiet = trace.quiet(span, 4 * span) => quiet.unwrap_err(),
        () = noting => unreachable!("it has no end"),
    };
    let text = err.to_string();
    let first = "live trace: within 4s there was no quiet of 1s, but 6 other events; the last were";
    assert_eq!(text.lines().next(), Some(first));
    assert_eq!(text.lines().last(), Some("  α note: again"));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_does_not_answer_is_named_until_it_counts_as_gone() {
    let network = PipeNetwork::new("net").unwrap();
    let here = live(&network);
    let _alpha = here.new_host("α").await.unwrap();
    let trace = here.live_trace().unwrap();
    // As a process that was killed leaves it.
    let registry = network.hub().registry();
    let documents = registry.documents().unwrap();
    let lifetime = Duration::from_secs(5);
    let put = documents.put("trace-member/7-ghost", "", Some(lifetime));
    put.await.unwrap();
    let err = trace.collect(SHORT).await.unwrap_err();
    let text = "live trace: within 100ms there was no answer of 7-ghost";
    assert_eq!(err.to_string(), text);
    let collected = trace.collect(BOUND).await.unwrap();
    assert_eq!(lines(&collected), ["α made"]);
}

#[tokio::test]
async fn events_are_followed_as_they_come() {
    let network = PipeNetwork::new("net").unwrap();
    let here = live(&network);
    let alpha = here.new_host("α").await.unwrap();
    let trace = here.live_trace().unwrap();
    trace.collect(BOUND).await.unwrap();
    let (mut all, mut new) = (trace.follow_from_start(), trace.follow().await.unwrap());
    alpha.note("1");
    let event = timeout(BOUND, new.next()).await.unwrap().unwrap().remove(0);
    assert_eq!(event.event.to_string(), "α note: 1");
    assert_eq!(event.process, here.trace().process);
    let line = event.to_line();
    let begin = format!(
        "{{\"process\":\"{}\",\"host\":\"α\",\"number\":2,",
        event.process
    );
    assert!(
        line.starts_with(&begin) && line.ends_with("\"text\":\"1\"}"),
        "{line}"
    );
    let mut events = Vec::new();
    while events.len() < 2 {
        events.extend(timeout(BOUND, all.next()).await.unwrap().unwrap());
    }
    assert_eq!(events[0].event.to_string(), "α made");
    assert_eq!((&events[1], all.dropped()), (&event, 0));
}

fn slow(hub: &MemoryHub) -> (SubNetwork, watch::Sender<bool>) {
    let (sender, open) = watch::channel(false);
    let registry = hub.registry();
    let registry = Arc::new(Slow { registry, open });
    let switchboard = Switchboard::new();
    let engine = |notifier| PipeEngine::new(&switchboard, notifier);
    let subnet = SubNetwork::new("net", registry, engine).unwrap();
    (subnet, sender)
}

#[tokio::test]
async fn what_cannot_be_sent_in_time_is_dropped_and_counted() {
    const EVENTS: u64 = 150_000;
    let hub = MemoryHub::new();
    let (subnet, open) = slow(&hub);
    // Little is kept in memory, which is no limit of what is sent.
    subnet
        .record_with(&Recording::new().live().events(10))
        .unwrap();
    let alpha = subnet.new_host("α").await.unwrap();
    for note in 2..=EVENTS {
        alpha.note(&note.to_string());
    }
    let trace = LiveTrace::new("net", Arc::new(hub.registry())).unwrap();
    open.send_replace(true);
    let collected = trace.collect(BOUND).await.unwrap();
    let count = collected.events().len() as u64;
    assert_eq!(count + collected.dropped(), EVENTS);
    assert!((32_000..=66_000).contains(&count), "{count}");
    // After the hole it goes on.
    alpha.note("last");
    let more = async {
        loop {
            // On a machine so busy that reading all of that takes seconds, it may be taken for gone, once.
            let collected = trace.collect(BOUND).await.unwrap();
            if collected.events().len() as u64 > count {
                return collected;
            }
        }
    };
    let collected = timeout(10 * BOUND, more).await.expect("it goes on");
    assert_eq!(lines(&collected).last().unwrap(), "α note: last");
    assert_eq!(collected.events().len() as u64, count + 1);
    assert_eq!(subnet.trace().events.len(), 10);
    subnet.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_close_waits_for_the_trace_within_a_bound_and_says_that_it_is_incomplete() {
    let hub = MemoryHub::new();
    let (subnet, _open) = slow(&hub);
    subnet.record_with(&Recording::new().live()).unwrap();
    let _alpha = subnet.new_host("α").await.unwrap();
    let err = timeout(BOUND, subnet.close()).await.unwrap().unwrap_err();
    assert_eq!(
        err.to_string(),
        "virtnet \"net\": close: the live trace is incomplete: it took longer than 3s"
    );
}

#[tokio::test]
async fn a_registry_without_a_live_trace_says_so() {
    struct Without(MemoryRegistry);

    #[async_trait]
    impl Registry for Without {
        async fn announce(&self, hostname: &str, hostdata: &str) -> Result<(), RegistryError> {
            self.0.announce(hostname, hostdata).await
        }

        async fn query(&self, hostname: &str) -> Result<String, RegistryError> {
            self.0.query(hostname).await
        }

        async fn close(&self) -> Result<(), RegistryError> {
            self.0.close().await
        }
    }

    let registry = Arc::new(Without(MemoryHub::new().registry()));
    let engine = |notifier| PipeEngine::new(&Switchboard::new(), notifier);
    let subnet = SubNetwork::new("net", registry, engine).unwrap();
    let why = "expected a registry with a live trace, got one without";
    let err = subnet.record_with(&Recording::new().live()).unwrap_err();
    assert_eq!(err.to_string(), why);
    assert_eq!(subnet.live_trace().unwrap_err().to_string(), why);
}
