//! A runtime that ends before a close is done.
//!
//! Owns one test, as it counts the panics of the whole process.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Net, connect};

/// When a runtime ends, so does a close in the background, without a panic.
#[test]
fn a_runtime_that_ends_while_it_closes() {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    std::panic::set_hook(Box::new(|info| {
        eprintln!("{info}");
        PANICS.fetch_add(1, Ordering::SeqCst);
    }));
    for _ in 0..20 {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let net = Net::new("net");
            let (here, there) = (net.join(), net.join());
            let alpha = here.new_host("α").await.unwrap();
            let beta = there.new_host("β").await.unwrap();
            let _ends = connect(&beta, &alpha.listen("").unwrap()).await;
        });
        drop(runtime);
    }
    assert_eq!(PANICS.load(Ordering::SeqCst), 0);
}
