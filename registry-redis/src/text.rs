//! Clipping: how much of a text of others an error shows.
//!
//! Owns the cut. Never decides where it is: each text has its own bound.

/// The first characters of a text.
pub(crate) fn clipped(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}

/// The same of bytes that may be no text, and may be many: what is not shown is not
/// copied.
pub(crate) fn clipped_bytes(bytes: &[u8], most: usize) -> String {
    // A character has four bytes at most; one more is cut off again.
    let shown = &bytes[..bytes.len().min(4 * (most + 1))];
    clipped(&String::from_utf8_lossy(shown), most)
}
