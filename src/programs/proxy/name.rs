//! Host names as programs send them to a proxy.
//!
//! Owns how they become names of the virtual network: many programs can only send ASCII. Never
//! checks whether there is such a host.

use std::borrow::Cow;

/// The host that is meant: without brackets; percent-encoded bytes and labels of
/// internationalized domain names (`xn--nxa` for `β`) are decoded.
pub(super) fn meant(sent: &str) -> String {
    let bare = sent
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let decoded = percent_decoded(bare.unwrap_or(sent));
    let labels = decoded.split('.').map(label);
    labels.collect::<Vec<_>>().join(".")
}

/// What is not valid stays as it is.
fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    decoded.unwrap_or_else(|_| text.into())
}

fn label(label: &str) -> String {
    let encoded = match label.split_at_checked(4) {
        Some((prefix, encoded)) if prefix.eq_ignore_ascii_case("xn--") => encoded,
        _ => return label.to_owned(),
    };
    idna::punycode::decode_to_string(encoded).unwrap_or_else(|| label.to_owned())
}

#[cfg(test)]
mod tests {
    use super::meant;

    #[test]
    fn names_are_decoded() {
        for (sent, name) in [
            ("β", "β"),
            ("xn--nxa", "β"),
            ("XN--nxa.net", "β.net"),
            ("%CE%B2", "β"),
            ("[%CE%B2]", "β"),
            ("[::1]", "::1"),
            ("Node-1", "Node-1"),
            ("100%", "100%"),
            ("%FF", "%FF"),
            ("xn--", ""),
            ("xn--\u{e9}", "xn--\u{e9}"),
            ("", ""),
        ] {
            assert_eq!(meant(sent), name, "{sent}");
        }
    }
}
