//! Golden files of a real program: the demo of README.md, whose network order is determined.
//!
//! Owns that its trace is the same on every run. Never looks at single events.

use virtnet::trace::{Golden, Trace, read};

use crate::support::{command, run};

/// Each run has UDP, three hosts, data both ways at the same time, and failed dials.
const RUNS: usize = 20;

#[test]
fn the_demo_has_the_same_trace_on_every_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("demo.txt");
    for number in 0..RUNS {
        let traces = folder.path().join(number.to_string());
        let mut demo = command(&["demo"]);
        demo.env("VIRTNET_TRACE", &traces);
        run(&mut demo).success();
        let files = std::fs::read_dir(&traces).unwrap();
        let records = files.flat_map(|file| read(&file.unwrap().path()).unwrap().records);
        let trace = Trace::merge(records).unwrap();
        let golden = match number {
            0 => Golden::write(&file),
            _ => Golden::compare(&file),
        };
        trace.check().golden(golden).finish().unwrap();
    }
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.lines().count() > 40, "{text}");
}
