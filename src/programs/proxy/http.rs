//! HTTP's CONNECT, the proxy's side: RFC 9110, section 9.3.6.
//!
//! Owns the bytes, and the limit on the length of a request. Never dials.

use tokio::io::{AsyncRead, AsyncReadExt};

use super::{Asked, Problem};

/// The maximum length of a request, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// The answer after which bytes are forwarded.
pub(super) const CONNECTED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// Reads what is asked for; `first` is the first byte. `knows` says which user names there are.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    first: u8,
    knows: impl Fn(&str) -> bool,
) -> Result<Asked, Problem> {
    let (mut head, mut searched) = (vec![first], 0);
    let end = loop {
        if let Some(end) = end_of_head(&head, searched) {
            break end;
        }
        searched = head.len();
        if head.len() >= MAX_HEAD {
            let why = format!("expected a request of at most {MAX_HEAD} bytes");
            return Err(problem(431, why));
        }
        let mut free = (&mut *stream).take((MAX_HEAD - head.len()) as u64);
        if free.read_buf(&mut head).await? == 0 {
            return Err(Problem::told("the request ended early"));
        }
    };
    let rest = head.split_off(end);
    let head = String::from_utf8(head).map_err(|_| problem(400, "expected a request in UTF-8"))?;
    parse(&head, rest, knows)
}

/// The end of the empty line after the headers, which is not within the bytes that were searched
/// before. A line may end without a carriage return.
fn end_of_head(head: &[u8], searched: usize) -> Option<usize> {
    let from = searched.saturating_sub(3);
    let find = |end: &[u8]| {
        let at = head[from..]
            .windows(end.len())
            .position(|window| window == end);
        at.map(|at| from + at + end.len())
    };
    let ends = [find(b"\r\n\r\n"), find(b"\n\n")];
    ends.into_iter().flatten().min()
}

fn parse(head: &str, rest: Vec<u8>, knows: impl Fn(&str) -> bool) -> Result<Asked, Problem> {
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(problem(
            400,
            "expected a request such as CONNECT β:80 HTTP/1.1",
        ));
    };
    if !version.starts_with("HTTP/1.") {
        return Err(problem(400, "expected HTTP/1.1"));
    }
    if method != "CONNECT" {
        return Err(problem(
            405,
            format!(
                "this proxy has only CONNECT, got {method}: have the program tunnel \
                 (curl --proxytunnel), or use it as a SOCKS5 proxy"
            ),
        ));
    }
    let port_and_host = target.rsplit_once(':');
    let port_and_host = port_and_host.and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let Some((host, port)) = port_and_host else {
        return Err(problem(400, format!("expected HOST:PORT, got {target:?}")));
    };
    let mut user = None;
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        if name.eq_ignore_ascii_case("proxy-authorization") {
            user =
                Some(user_name(value.trim()).ok_or_else(|| {
                    problem(400, "expected a Proxy-Authorization of the kind Basic")
                })?);
        }
    }
    let user = user.filter(|user| !user.is_empty());
    match user {
        Some(user) if !knows(&user) => Err(problem(407, super::unknown_user(&user))),
        user => Ok(Asked {
            user,
            host: host.to_owned(),
            port,
            rest,
        }),
    }
}

/// The user's name in `Basic …`.
fn user_name(credentials: &str) -> Option<String> {
    let (kind, encoded) = credentials.split_once(' ')?;
    if !kind.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = data_encoding::BASE64.decode(encoded.trim().as_bytes());
    let decoded = String::from_utf8(decoded.ok()?).ok()?;
    let (user, _password) = decoded.split_once(':')?;
    Some(user.to_owned())
}

fn problem(status: u16, why: impl Into<String>) -> Problem {
    let why = why.into();
    Problem::reply(reply(status, &why), why)
}

/// An answer that refuses, with the reason as its text.
pub(super) fn reply(status: u16, why: &str) -> Vec<u8> {
    let (phrase, header) = match status {
        400 => ("Bad Request", ""),
        405 => ("Method Not Allowed", "Allow: CONNECT\r\n"),
        407 => (
            "Proxy Authentication Required",
            "Proxy-Authenticate: Basic realm=\"virtnet: the user is the host to dial from\"\r\n",
        ),
        431 => ("Request Header Fields Too Large", ""),
        503 => ("Service Unavailable", ""),
        504 => ("Gateway Timeout", ""),
        _ => ("Bad Gateway", ""),
    };
    let text = format!("{why}\n");
    format!(
        "HTTP/1.1 {status} {phrase}\r\n{header}Content-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )
    .into_bytes()
}
