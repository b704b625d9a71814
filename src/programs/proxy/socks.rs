//! SOCKS version 5, the server's side: RFC 1928, and user names by RFC 1929.
//!
//! Owns the bytes. All lengths are single bytes, so a handshake is bounded. Never dials.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Asked, Problem};

/// The first byte of every message but the user name's.
pub(super) const VERSION: u8 = 5;

const USER_NAME_VERSION: u8 = 1;

/// How a program says who it is.
const NOTHING_NEEDED: u8 = 0;
const USER_NAME: u8 = 2;
const NO_METHOD: u8 = 0xFF;

const CONNECT: u8 = 1;

const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

pub(super) const SUCCEEDED: u8 = 0;
pub(super) const FAILED: u8 = 1;
pub(super) const NOT_ALLOWED: u8 = 2;
pub(super) const NETWORK_UNREACHABLE: u8 = 3;
pub(super) const HOST_UNREACHABLE: u8 = 4;
pub(super) const REFUSED: u8 = 5;
/// "TTL expired": no answer in time.
pub(super) const TIMED_OUT: u8 = 6;
const COMMAND_NOT_SUPPORTED: u8 = 7;
const ADDRESS_NOT_SUPPORTED: u8 = 8;

/// Reads what is asked for, after the first byte. `knows` says which user names there are.
pub(super) async fn read<S>(stream: &mut S, knows: impl Fn(&str) -> bool) -> Result<Asked, Problem>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let methods = short_text(stream).await?;
    // The user name decides, so it is asked for whenever a program has one.
    let method = [USER_NAME, NOTHING_NEEDED]
        .into_iter()
        .find(|method| methods.contains(method));
    stream
        .write_all(&[VERSION, method.unwrap_or(NO_METHOD)])
        .await?;
    let user = match method {
        Some(USER_NAME) => Some(user_name(stream, knows).await?),
        Some(_) => None,
        None => {
            return Err(Problem::told(
                "it offers neither no authentication nor a user name",
            ));
        }
    };
    let [version, command, _, kind] = exact(stream).await?;
    if version != VERSION {
        return Err(Problem::told(format!(
            "expected SOCKS version 5, got {version}"
        )));
    }
    let host = match kind {
        IPV4 => Ipv4Addr::from(exact(stream).await?).to_string(),
        IPV6 => Ipv6Addr::from(exact::<16>(stream).await?).to_string(),
        NAME => String::from_utf8_lossy(&short_text(stream).await?).into_owned(),
        other => {
            let why = format!("expected an address of type 1, 3 or 4, got {other}");
            return Err(Problem::reply(reply(ADDRESS_NOT_SUPPORTED, 0), why));
        }
    };
    let port = u16::from_be_bytes(exact(stream).await?);
    if command != CONNECT {
        let why = format!("expected the command CONNECT, got {command}");
        return Err(Problem::reply(reply(COMMAND_NOT_SUPPORTED, 0), why));
    }
    Ok(Asked {
        user: user.filter(|user| !user.is_empty()),
        host,
        port,
        rest: Vec::new(),
    })
}

/// Reads a user name, which may be empty, and a password, which is ignored.
async fn user_name<S>(stream: &mut S, knows: impl Fn(&str) -> bool) -> Result<String, Problem>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let [version] = exact(stream).await?;
    if version != USER_NAME_VERSION {
        let why = format!("expected version 1 of the user name, got {version}");
        return Err(Problem::told(why));
    }
    let user = String::from_utf8_lossy(&short_text(stream).await?).into_owned();
    short_text(stream).await?;
    if !user.is_empty() && !knows(&user) {
        return Err(Problem::reply(
            vec![USER_NAME_VERSION, 1],
            super::unknown_user(&user),
        ));
    }
    stream.write_all(&[USER_NAME_VERSION, 0]).await?;
    Ok(user)
}

/// The answer to a request; `port` is the port that was taken.
pub(super) fn reply(code: u8, port: u16) -> Vec<u8> {
    let mut reply = vec![VERSION, code, 0, IPV4, 0, 0, 0, 0];
    reply.extend(port.to_be_bytes());
    reply
}

async fn exact<const N: usize>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// Reads bytes after their number.
async fn short_text(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let [length] = exact(stream).await?;
    let mut bytes = vec![0; length.into()];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}
