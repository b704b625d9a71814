//! Metrics, as a recorder receives them.
//!
//! Owns a recorder that stores them. Never tests what is counted: core and engine do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString,
    Unit,
};
use virtnet::pipe::PipeNetwork;
use virtnet::quic::Counters;

type Values = Arc<Mutex<BTreeMap<String, f64>>>;

#[derive(Default)]
struct Kept(Values);

struct One(String, Values);

impl One {
    fn keep(&self, value: f64) {
        self.1.lock().unwrap().insert(self.0.clone(), value);
    }
}

impl CounterFn for One {
    fn increment(&self, _: u64) {
        unreachable!("counts are handed over whole");
    }
    fn absolute(&self, value: u64) {
        self.keep(value as f64);
    }
}

impl GaugeFn for One {
    fn increment(&self, _: f64) {
        unreachable!("gauges are handed over whole");
    }
    fn decrement(&self, _: f64) {
        unreachable!("gauges are handed over whole");
    }
    fn set(&self, value: f64) {
        self.keep(value);
    }
}

impl Kept {
    fn one(&self, key: &Key) -> Arc<One> {
        let labels = key.labels().map(|label| label.value());
        let name = [key.name()].into_iter().chain(labels);
        let name = name.collect::<Vec<_>>().join(" ");
        Arc::new(One(name, self.0.clone()))
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        One(format!("described {}", name.as_str()), self.0.clone()).keep(1.0);
    }
    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        One(format!("described {}", name.as_str()), self.0.clone()).keep(1.0);
    }
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.one(key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.one(key))
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test]
async fn a_recorder_gets_open_and_refused_counts() {
    let subnet = PipeNetwork::new("pipet").unwrap().subnetwork();
    let alpha = subnet.new_host("α").await.unwrap();
    alpha.dial("α:9").await.unwrap_err();
    let listener = alpha.listen("").unwrap();
    let ends = tokio::join!(alpha.dial("α:1"), listener.accept());

    let kept = Kept::default();
    metrics::with_local_recorder(&kept, || {
        virtnet::metrics::describe();
        virtnet::metrics::record(&subnet, Some(&Counters::default()));
    });
    let values = kept.0.lock().unwrap();
    for (name, value) in [
        ("virtnet_open pipet hosts", 1.0),
        ("virtnet_open pipet listeners", 1.0),
        ("virtnet_open pipet connections", 2.0),
        ("virtnet_open pipet pending", 0.0),
        ("virtnet_dials_total pipet connected", 1.0),
        ("virtnet_dials_total pipet connection_refused", 1.0),
        ("virtnet_dials_total pipet cancelled", 0.0),
        ("virtnet_refused_total pipet nothing_listened", 1.0),
        ("virtnet_refused_total pipet backlog_full", 0.0),
        ("virtnet_faults_total pipet dials_refused", 0.0),
        ("virtnet_quic_refused_total pipet handshakes_failed", 0.0),
    ] {
        assert_eq!(values.get(name), Some(&value), "{name} in {values:?}");
    }
    // Each name is described.
    for name in values
        .keys()
        .filter_map(|name| name.strip_prefix("virtnet_"))
    {
        let name = name.split(' ').next().unwrap();
        assert!(
            values.contains_key(&format!("described virtnet_{name}")),
            "{name}"
        );
    }
    drop(ends);
}
