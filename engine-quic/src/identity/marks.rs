//! Marks, by which members know that a member wrote a text.
//!
//! Owns the key of marks and their form. Never reads or writes a text anywhere: the registry's
//! documents have them.

use std::fmt;

use data_encoding::HEXLOWER;
use ring::hmac::{HMAC_SHA256, Key, sign, verify};

use crate::Secret;
use crate::identity::derive_key;

/// HKDF salt of the key of marks.
pub(crate) const PURPOSE: &[u8] = b"virtnet/1 marks";

/// What a marked text begins with.
const BEGIN: &str = "mark ";

/// Bytes of a mark's HMAC-SHA256 (RFC 2104), as hexadecimal digits.
const DIGITS: usize = 64;

/// Marks texts that the members of one network share where others can write, too: who has not the
/// network's [`Secret`] can neither make a text nor change one, nor move it to another place.
///
/// A mark does not hide the text, and does not say when it was written: an old text can be put back.
///
/// ```
/// use virtnet_engine_quic::{Identity, Secret};
///
/// let secret = Secret::random();
/// let marks = |network| Identity::secret(secret.clone()).marks(network).unwrap();
/// let marked = marks("net").mark("plan", "cut α -> β");
/// assert_eq!(marks("net").text("plan", &marked), Some("cut α -> β"));
/// assert_eq!(marks("net").text("plan", "cut α -> β"), None);
/// assert_eq!(marks("another").text("plan", &marked), None);
/// ```
#[derive(Clone)]
pub struct Marks {
    /// Never empty. The first is used, and all are trusted.
    keys: Vec<Key>,
}

impl Marks {
    pub(crate) fn new(secret: &Secret, network: &str) -> Marks {
        let key = |secret: &[u8; 32]| derive_key(PURPOSE, secret, network);
        let keys = secret.keys().iter().map(key);
        Marks {
            keys: keys.map(|key| Key::new(HMAC_SHA256, &key)).collect(),
        }
    }

    /// The text with its mark, for the place with this name.
    pub fn mark(&self, place: &str, text: &str) -> String {
        marked(&self.keys[0], place, text)
    }

    /// The text with each mark that members trust: by the first secret, and by each other one that they have
    /// while a secret is replaced.
    pub fn all(&self, place: &str, text: &str) -> Vec<String> {
        let keys = self.keys.iter();
        keys.map(|key| marked(key, place, text)).collect()
    }

    /// The text without its mark; `None` if no member has marked it for this place.
    pub fn text<'a>(&self, place: &str, marked: &'a str) -> Option<&'a str> {
        let (digits, text) = parts(marked)?;
        let mark = HEXLOWER.decode(digits.as_bytes()).ok()?;
        let input = input(place, text);
        let is_by = |key: &Key| verify(key, &input, &mark).is_ok();
        self.keys.iter().any(is_by).then_some(text)
    }

    /// Whether somebody marked the text, with whichever secret.
    pub fn is_marked(text: &str) -> bool {
        parts(text).is_some()
    }
}

impl fmt::Debug for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Marks").finish_non_exhaustive()
    }
}

fn marked(key: &Key, place: &str, text: &str) -> String {
    let mark = HEXLOWER.encode(sign(key, &input(place, text)).as_ref());
    format!("{BEGIN}{mark}\n{text}")
}

/// What the mark is made of. No place has a zero byte.
fn input(place: &str, text: &str) -> Vec<u8> {
    [place.as_bytes(), b"\0", text.as_bytes()].concat()
}

/// The digits of the mark, and the text.
fn parts(marked: &str) -> Option<(&str, &str)> {
    let (digits, text) = marked.strip_prefix(BEGIN)?.split_once('\n')?;
    let is_mark = digits.len() == DIGITS && digits.bytes().all(|it| it.is_ascii_hexdigit());
    is_mark.then_some((digits, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_members_mark_and_only_for_one_place() {
        let secret = Secret::random();
        let marks = Marks::new(&secret, "net");
        let marked = marks.mark("plan", "one\ntwo");
        assert!(Marks::is_marked(&marked));
        assert_eq!(marks.text("plan", &marked), Some("one\ntwo"));
        assert_eq!(marks.text("plan/ask", &marked), None);
        assert_eq!(Marks::new(&secret, "other").text("plan", &marked), None);
        let stranger = Marks::new(&Secret::random(), "net");
        assert_eq!(stranger.text("plan", &marked), None);
        for changed in [
            marked.replace("two", "three"),
            marked.replacen("mark ", "mark 0", 1),
            marked.replace('\n', ""),
            format!("{marked} "),
            "one\ntwo".to_owned(),
            String::new(),
        ] {
            assert_eq!(marks.text("plan", &changed), None, "{changed:?}");
        }
        assert!(!Marks::is_marked("mark my words\n"));
    }

    #[test]
    fn while_a_secret_is_replaced_both_count() {
        let [old, new] = [Secret::random(), Secret::random()];
        let both = |one: &Secret, other: &Secret| {
            let both = [one.reveal(), other.reveal()].join(",");
            Marks::new(&both.parse().unwrap(), "net")
        };
        let [first, second] = [both(&old, &new), both(&new, &old)];
        let marked = second.mark("plan", "text");
        assert_eq!(first.text("plan", &marked), Some("text"));
        assert_eq!(Marks::new(&old, "net").text("plan", &marked), None);
        assert_eq!(second.all("plan", "text")[0], marked);
        assert_eq!(first.all("plan", "text")[1], marked);
    }
}
