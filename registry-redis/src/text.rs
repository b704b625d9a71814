//! Text: foreign text, shortened for errors.
//!
//! Owns the cut. Never decides where it is: each caller has its own limit.

/// The first characters of a text.
pub(crate) fn clipped(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}

/// The same for bytes, which may be no text. Only the part that is shown is copied.
pub(crate) fn clipped_bytes(bytes: &[u8], most: usize) -> String {
    // A character has at most four bytes; the additional one is cut off again.
    let shown = &bytes[..bytes.len().min(4 * (most + 1))];
    clipped(&String::from_utf8_lossy(shown), most)
}
