//! Memory: what a decoder may take for one input.
//!
//! Owns the counting. Never counts what a target itself allocates around it.

use allocation_counter::measure;

/// What a refusal may take at the most, however long the input is: its text has
/// eighty characters of it, each escaped at worst, and is written twice.
pub(crate) const REFUSAL: u64 = 6 * 1024;

/// Decodes with at most so many bytes allocated at any one time.
pub(crate) fn within<T>(most: u64, decode: impl FnOnce() -> T) -> T {
    let mut decoded = None;
    let taken = measure(|| decoded = Some(decode()));
    assert!(
        taken.bytes_max <= most,
        "{taken:?}, of at most {most} bytes"
    );
    decoded.expect("it was called")
}

/// Now and then a long input: what is short, over and over. Of few only, as it takes
/// longer than all else.
pub(crate) fn stretched(input: &[u8]) -> Option<Vec<u8>> {
    (input.len() % 32 == 31 && input[0].is_multiple_of(8)).then(|| input.repeat(200))
}
