//! Scripts: how names are held and freed on the server, in one step each.
//!
//! Owns the rule of ownership, and the commands that apply it. Never talks to
//! Redis, and does not know what becomes of a name that was refused.
//!
//! Each script names the network's index first, then the keys of hosts: all in
//! one slot. The index is a sorted set of the encoded names with the time at
//! which their leases end, so that listing a network costs as much as it has
//! hosts, whatever else there is on the server. It is no authority: it may lack
//! a name until its next renewal, or show one that is gone. It ends with the
//! last lease.

use redis::Cmd;
use rustls::crypto::GetRandomFailed;
use rustls::crypto::ring::default_provider;

use crate::keys::Keys;

/// Takes the names that are free, extends those that are the same owner's, and
/// leaves the others; for each name it answers 1, or with the value of the one
/// who holds it, or an empty text when that is no string.
///
/// It announces and it renews: a name that the server lost is announced again,
/// with what was sent along. Running it twice is the same as once, so it is
/// repeated when a connection was lost and nobody knows whether the server got
/// it. Of one owner's announcements the later wins, in whatever order they
/// arrive.
///
/// It begins with a write, as that is what a node refuses that was demoted, or
/// that is cut off from its replicas: what such a node knows of a name's holder
/// is old, and must not decide.
///
/// That the index could not be written is no reason to lose a name: on a server
/// that has no memory left, leases are still extended.
const HOLD: &str = "\
local token, lease = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local gate = redis.pcall('ZREMRANGEBYSCORE', KEYS[1], 0, now)
if type(gate) == 'table' and not string.find(gate.err, 'WRONGTYPE', 1, true) then
  return redis.error_reply(gate.err)
end
local answers, index = {}, {}
for at = 2, #KEYS do
  local value, number = ARGV[3 * at - 3], tonumber(ARGV[3 * at - 2])
  local held = redis.pcall('GET', KEYS[at])
  local ours, is_string = true, true
  if type(held) == 'table' then
    if not string.find(held.err, 'WRONGTYPE', 1, true) then return redis.error_reply(held.err) end
    ours, is_string = false, false
  elseif held then
    local owner, other = string.match(held, ' owner=(%x+)#(%d+)$')
    ours = owner == token and tonumber(other) <= number
  end
  if ours and held == value then
    redis.call('PEXPIRE', KEYS[at], lease)
  elseif ours then
    redis.call('SET', KEYS[at], value, 'PX', lease)
  end
  if ours then
    answers[#answers + 1] = 1
    index[#index + 1] = now + lease
    index[#index + 1] = ARGV[3 * at - 1]
  else
    answers[#answers + 1] = is_string and held or ''
  end
end
if #index > 0 then
  redis.pcall('ZADD', KEYS[1], unpack(index))
  local left = redis.pcall('PTTL', KEYS[1])
  if type(left) == 'number' and left < lease then redis.pcall('PEXPIRE', KEYS[1], lease) end
end
return answers";

/// Deletes the names that an announcement of this owner up to the given one
/// holds; answers how many. It begins with a write, as the other does. Of a name that nobody has, the index may still show
/// something.
const FREE: &str = "\
local gate = redis.pcall('ZREMRANGEBYSCORE', KEYS[1], 0, 0)
if type(gate) == 'table' and not string.find(gate.err, 'WRONGTYPE', 1, true) then
  return redis.error_reply(gate.err)
end
local freed = 0
for at = 2, #KEYS do
  local held = redis.pcall('GET', KEYS[at])
  local ours = not held
  if type(held) == 'table' then
    if not string.find(held.err, 'WRONGTYPE', 1, true) then return redis.error_reply(held.err) end
  elseif held then
    local owner, number = string.match(held, ' owner=(%x+)#(%d+)$')
    ours = owner == ARGV[1] and tonumber(number) <= tonumber(ARGV[2 * at - 2])
    if ours then freed = freed + redis.call('DEL', KEYS[at]) end
  end
  if ours then redis.call('ZREM', KEYS[1], ARGV[2 * at - 1]) end
end
return freed";

/// Does what the others do, for a name that nobody has, as none is empty:
/// scripts run in one step, and nothing of it is there when this one ends.
/// Answers 1.
///
/// A script that fails half-way is not undone, so it tries to take away before
/// it puts: a user who may not delete leaves nothing.
const PROBE: &str = "\
redis.call('DEL', KEYS[2])
redis.call('ZREM', KEYS[1], '')
redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, 0)
redis.call('PTTL', KEYS[1])
redis.call('PEXPIRE', KEYS[2], 1000)
redis.call('TIME')
redis.call('GET', KEYS[2])
redis.call('SET', KEYS[2], ARGV[1], 'PX', 1000)
local held = redis.call('GET', KEYS[2])
redis.call('DEL', KEYS[2])
redis.call('ZADD', KEYS[1], 0, '')
redis.call('ZREM', KEYS[1], '')
return held == ARGV[1] and 1 or 0";

/// A name to hold, and as what.
pub(crate) struct Holding<'a> {
    pub(crate) hostname: &'a str,
    pub(crate) hostdata: &'a str,
    pub(crate) number: u64,
}

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

    /// The owner of that token.
    #[cfg(test)]
    pub(crate) fn of_token(token: &str) -> Owner {
        Owner {
            token: token.to_owned(),
        }
    }

    /// The command that takes or extends names for `lease` milliseconds.
    pub(crate) fn hold(&self, keys: &Keys, names: &[Holding<'_>], lease: u64) -> Cmd {
        let mut cmd = script(HOLD, keys, names.iter().map(|name| name.hostname));
        cmd.arg(&self.token).arg(lease);
        for name in names {
            let value = format!("{} owner={}#{}", name.hostdata, self.token, name.number);
            cmd.arg(value).arg(name.number);
            cmd.arg(keys.member(name.hostname));
        }
        cmd
    }

    /// The command that frees names, each if it is of this owner's announcement
    /// of that number or of an earlier one.
    pub(crate) fn free(&self, keys: &Keys, names: &[(&str, u64)]) -> Cmd {
        let mut cmd = script(FREE, keys, names.iter().map(|(hostname, _)| *hostname));
        cmd.arg(&self.token);
        for (hostname, number) in names {
            cmd.arg(number).arg(keys.member(hostname));
        }
        cmd
    }

    /// The command that tries, for a name that is no host's, what the others do.
    pub(crate) fn probe(&self, keys: &Keys) -> Cmd {
        let mut cmd = script(PROBE, keys, [""].into_iter());
        cmd.arg(&self.token);
        cmd
    }
}

/// The text goes along every time: it is short, and a server that was
/// restarted, or another one after a failover, would not know a digest.
fn script<'a>(text: &str, keys: &Keys, hostnames: impl ExactSizeIterator<Item = &'a str>) -> Cmd {
    let mut cmd = redis::cmd("EVAL");
    cmd.arg(text).arg(hostnames.len() + 1).arg(keys.index());
    for hostname in hostnames {
        cmd.arg(keys.host(hostname));
    }
    cmd
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_32_digits_and_differ() {
        let (one, other) = (Owner::random().unwrap(), Owner::random().unwrap());
        assert_ne!(one.token, other.token);
        assert_eq!(one.token.len(), 32);
    }
}
