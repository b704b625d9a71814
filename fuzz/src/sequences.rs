//! The handshake's both sides, against frames in any order, cuts and times that
//! the input chooses.
//!
//! Owns how an input is turned into choices. Never has properties of its own:
//! they are those of the engine's tests, which draw the choices from a seed.

use std::future::Future;

use tokio::runtime::Builder;
use virtnet_core::Addr;

use crate::frame::{FrameError, HEADER, Hello, MAX_BODY, Reply, VERSION};

#[allow(dead_code, unused_imports)]
#[path = "../../engine-quic/src/decoder_tests/sequences.rs"]
mod steps;

/// Choices, out of the bytes of an input; then the first of each.
pub(crate) struct Rng(std::vec::IntoIter<u8>);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0.next().unwrap_or(0).into()
    }

    /// Choices of another's own: the next sixteen, so that these do not move when
    /// there are more or fewer of those.
    fn fork(&mut self) -> Rng {
        let bytes: Vec<u8> = self.0.by_ref().take(16).collect();
        Rng(bytes.into_iter())
    }

    fn below(&mut self, end: usize) -> usize {
        let number = match end {
            ..=256 => self.next(),
            _ => self.next() << 8 | self.next(),
        };
        number as usize % end
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn port(&mut self) -> u16 {
        1 + self.below(65_535) as u16
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// The input is when and in which pieces an acceptor is sent what.
pub fn acceptor(input: &[u8]) {
    run(input, async |mut rng| drop(steps::accepts(&mut rng).await));
}

/// The input is when and in which pieces a dialer is sent what.
pub fn dialer(input: &[u8]) {
    run(input, async |mut rng| drop(steps::dials(&mut rng).await));
}

/// The input is how fast both sides are, and whether one gives up.
pub fn agreement(input: &[u8]) {
    run(input, async |mut rng| _ = steps::agree(&mut rng).await);
}

/// Runs it at once, on a clock that moves when there is nothing else to do.
fn run<F: Future<Output = ()>>(input: &[u8], steps: impl FnOnce(Rng) -> F) {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime needs nothing");
    runtime.block_on(steps(Rng(Vec::from(input).into_iter())));
}
