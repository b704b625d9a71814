//! Entries: what a host's key holds, and the scripts that change it.
//!
//! Owns the value's format, `<hostdata> owner=<token>#<number>`, and the rule of
//! ownership that the scripts apply on the server, in one step each. Never talks
//! to Redis: it makes commands and reads values.

use redis::Cmd;
use rustls::crypto::GetRandomFailed;
use rustls::crypto::ring::default_provider;

/// Sets a name that is free, or that is the same owner's from before; answers
/// 1 when the name is now this announcement's.
///
/// Running it twice is the same as once, so it is repeated when a connection
/// was lost and nobody knows whether the server got it. Of one owner's
/// announcements the later wins, in whatever order they arrive.
const ANNOUNCE: &str = "\
local held = redis.call('GET', KEYS[1])
if held then
  local owner, number = string.match(held, ' owner=(%x+)#(%d+)$')
  if owner ~= ARGV[2] or tonumber(number) > tonumber(ARGV[3]) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1])
return 1";

/// Deletes a name if an announcement of this owner up to the given one holds
/// it; answers how many keys it deleted.
const FREE: &str = "\
local held = redis.call('GET', KEYS[1])
if not held then return 0 end
local owner, number = string.match(held, ' owner=(%x+)#(%d+)$')
if owner ~= ARGV[1] or tonumber(number) > tonumber(ARGV[2]) then return 0 end
return redis.call('DEL', KEYS[1])";

/// Does what announcing and freeing do, on a key that nobody else sees: scripts
/// run in one step, and the key is gone when this one ends. Answers 1.
///
/// A script that fails half-way is not undone, so it deletes before it sets: a
/// user who may not delete leaves nothing.
const PROBE: &str = "\
redis.call('DEL', KEYS[1])
redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1])
local held = redis.call('GET', KEYS[1])
redis.call('DEL', KEYS[1])
return held == ARGV[1] and 1 or 0";

/// Who announces: 128 random bits, drawn once per registry value.
pub(crate) struct Owner {
    token: String,
}

impl Owner {
    /// Draws a new owner from the operating system's randomness.
    pub(crate) fn random() -> Result<Owner, GetRandomFailed> {
        let mut bits = [0; 16];
        default_provider().secure_random.fill(&mut bits)?;
        let token = format!("{:032x}", u128::from_be_bytes(bits));
        Ok(Owner { token })
    }

    /// The command that announces `hostdata` under `key`, as this owner's
    /// announcement `number`.
    pub(crate) fn announce(&self, key: &str, hostdata: &str, number: u64) -> Cmd {
        let value = format!("{hostdata} owner={}#{number}", self.token);
        let mut cmd = script(ANNOUNCE, key);
        cmd.arg(value).arg(&self.token).arg(number);
        cmd
    }

    /// The command that frees `key`, if it is of this owner's announcement
    /// `number` or an earlier one.
    pub(crate) fn free(&self, key: &str, number: u64) -> Cmd {
        let mut cmd = script(FREE, key);
        cmd.arg(&self.token).arg(number);
        cmd
    }

    /// The command that tries, on a `key` that is no host's, what the others do.
    pub(crate) fn probe(&self, key: &str) -> Cmd {
        let mut cmd = script(PROBE, key);
        cmd.arg(&self.token);
        cmd
    }
}

/// The text goes along every time: it is short, and a server that was
/// restarted, or another one after a failover, would not know a digest.
fn script(text: &str, key: &str) -> Cmd {
    let mut cmd = redis::cmd("EVAL");
    cmd.arg(text).arg(1).arg(key);
    cmd
}

/// The hostdata in a key's value; `None` when the value is not in our format.
pub(crate) fn hostdata(value: &[u8]) -> Option<&str> {
    // From the right, as hostdata may hold anything, this separator included.
    let (hostdata, owner) = std::str::from_utf8(value).ok()?.rsplit_once(" owner=")?;
    let (token, number) = owner.split_once('#')?;
    let is_token = token.len() == 32 && token.bytes().all(|b| b.is_ascii_hexdigit());
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    (is_token && is_number).then_some(hostdata)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "9f86d081884c7d659a2feaa0c55ad015";

    #[test]
    fn hostdata_comes_back_whatever_it_holds() {
        for data in [
            "10.0.0.2:4433",
            "",
            "a b",
            " owner=",
            "x owner=00#1",
            "α\nβ",
        ] {
            let value = format!("{data} owner={TOKEN}#7");
            assert_eq!(hostdata(value.as_bytes()), Some(data));
        }
    }

    #[test]
    fn other_values_are_refused() {
        for value in [
            String::new(),
            "10.0.0.2:4433".into(),
            "10.0.0.2:4433 owner=".into(),
            format!("10.0.0.2:4433 owner={TOKEN}"),
            format!("10.0.0.2:4433 owner={TOKEN}#"),
            format!("10.0.0.2:4433 owner={TOKEN}#1x"),
            format!("10.0.0.2:4433 owner={TOKEN}0#1"),
            format!("10.0.0.2:4433 owner=g{}#1", &TOKEN[1..]),
            format!("10.0.0.2:4433owner={TOKEN}#1"),
        ] {
            assert_eq!(hostdata(value.as_bytes()), None, "{value}");
        }
        assert_eq!(
            hostdata(format!("\u{fffd} owner={TOKEN}#1").as_bytes()),
            Some("\u{fffd}")
        );
        assert_eq!(
            hostdata(&[b"\xff owner=", TOKEN.as_bytes(), b"#1"].concat()),
            None
        );
    }

    #[test]
    fn owners_are_32_digits_and_differ() {
        let (one, other) = (Owner::random().unwrap(), Owner::random().unwrap());
        assert_ne!(one.token, other.token);
        assert_eq!(one.token.len(), 32);
    }
}
