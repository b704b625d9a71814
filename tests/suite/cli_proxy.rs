//! `virtnet proxy`, with curl: names, sources, and what a failed dial is called.
//!
//! Owns what real clients see. Never tests the handshakes' bytes: `src/programs/proxy/tests.rs` does.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use crate::forwards::{Net, bounded, expect_reset};
use crate::support::Running;

/// Answers one HTTP request for each connection with `text`.
fn serve(text: &'static str) -> String {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = server.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let mut stream = bounded(stream.unwrap());
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                match stream.read(&mut byte) {
                    Ok(1) => request.push(byte[0]),
                    _ => break,
                }
            }
            let length = text.len();
            let _ = write!(
                stream,
                "HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n{text}"
            );
        }
    });
    at
}

/// A program at β:80, and a proxy from α and γ.
fn proxied() -> (Net, [Running; 2], String) {
    let net = Net::new();
    let expose = net.ready(&["expose", "β:80", "--to", &serve("hello")]);
    let args = ["proxy", "--at", "127.0.0.1:0", "--from", "α", "--from", "γ"];
    let mut proxy = net.starting(&args);
    let at = proxy.wait_for_stdout_beginning("proxy ");
    let at = at.strip_suffix(" from α, γ").unwrap().to_owned();
    proxy.wait_for_stdout(&["ready"]);
    (net, [expose, proxy], at)
}

/// What curl prints, and its exit code.
fn curl(args: &[&str]) -> (String, i32) {
    let mut curl = Command::new("curl");
    for name in [
        "http_proxy",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
        "no_proxy",
    ] {
        curl.env_remove(name);
    }
    // International names need it.
    curl.env("LC_ALL", "C.UTF-8");
    let output = curl.args(["-sS", "--max-time", "60"]).args(args).output();
    let output = output.expect("curl is there");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (said, output.status.code().unwrap())
}

#[test]
fn curl_gets_through_by_socks_and_by_connect() {
    let (net, _running, at) = proxied();
    let hello = ("hello".to_owned(), 0);
    let (socks, http) = (format!("socks5h://{at}"), format!("http://{at}"));
    // curl sends xn--nxa for β.
    for host in ["β", "xn--nxa", "β:80"] {
        let url = format!("http://{host}/");
        assert_eq!(curl(&["--proxy", &socks, &url]), hello, "{host}");
        assert_eq!(curl(&["--proxytunnel", "--proxy", &http, &url]), hello);
    }
    // The user name is the host to dial from: a refusal between γ and β is felt by γ alone.
    net.fault(&["refuse", "γ", "β", "--until-healed"]);
    for (user, got) in [("α", true), ("γ", false)] {
        let (socks, http) = (
            format!("socks5h://{user}@{at}"),
            format!("http://{user}:x@{at}"),
        );
        assert_eq!(
            curl(&["--proxy", &socks, "http://β/"]) == hello,
            got,
            "{user}"
        );
        let tunnel = ["--proxytunnel", "--proxy", &http, "http://β/"];
        assert_eq!(curl(&tunnel) == hello, got, "{user}");
    }
    // curl's code for a proxy's refusal.
    let unknown = format!("socks5h://δ@{at}");
    assert_eq!(curl(&["--proxy", &unknown, "http://β/"]).1, 97);
    let unknown = format!("http://δ:x@{at}");
    let code = [
        "-o",
        "/dev/null",
        "-w",
        "%{http_connect}",
        "--proxytunnel",
        "--proxy",
        &unknown,
    ];
    assert_eq!(curl(&[&code[..], &["http://β/"]].concat()).0, "407");
}

/// The code of the SOCKS5 answer, and the status and text of the HTTP answer.
fn answers(at: &str, host: &str, port: u16) -> (u8, String) {
    let mut socks = bounded(TcpStream::connect(at).unwrap());
    let length = u8::try_from(host.len()).unwrap();
    let mut request = vec![5, 1, 0, 5, 1, 0, 3, length];
    request.extend(host.as_bytes());
    request.extend(port.to_be_bytes());
    socks.write_all(&request).unwrap();
    let mut answer = [0; 2 + 10];
    socks.read_exact(&mut answer).unwrap();
    assert_eq!(socks.read(&mut [0]).unwrap(), 0);

    let mut http = bounded(TcpStream::connect(at).unwrap());
    write!(http, "CONNECT {host}:{port} HTTP/1.1\r\n\r\n").unwrap();
    let mut text = String::new();
    http.read_to_string(&mut text).unwrap();
    let status = text
        .strip_prefix("HTTP/1.1 ")
        .unwrap()
        .lines()
        .next()
        .unwrap();
    let why = text.lines().last().unwrap();
    (answer[3], format!("{status}: {why}"))
}

#[test]
fn a_failed_dial_is_called_what_it_is() {
    let (net, _running, at) = proxied();
    let (code, text) = answers(&at, "β", 81);
    assert_eq!(
        (code, &*text),
        (
            5,
            "502 Bad Gateway: dial virtnet α:1->β:81: connection refused"
        )
    );
    let (code, text) = answers(&at, "δ", 80);
    assert_eq!(code, 4);
    assert!(
        text.starts_with("502 Bad Gateway: dial virtnet α:1->δ:80: "),
        "{text}"
    );
    assert!(text.ends_with("no such host"), "{text}");
    net.fault(&["cut", "α", "β", "--both", "--until-healed"]);
    let (code, text) = answers(&at, "β", 80);
    assert_eq!(code, 6);
    assert!(
        text.starts_with("504 Gateway Timeout: dial virtnet α:1->β:80: "),
        "{text}"
    );
}

/// A half-close and a reset through the proxy, and bytes that did not wait for the answer.
#[test]
fn a_tunnel_keeps_what_tcp_has() {
    let net = Net::new();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = server.local_addr().unwrap().to_string();
    let _expose = net.ready(&["expose", "β:1", "--to", &to]);
    let mut proxy = net.starting(&["proxy", "--at", "127.0.0.1:0", "--from", "α"]);
    let at = proxy.wait_for_stdout_beginning("proxy ");
    let at = at.strip_suffix(" from α").unwrap();

    let mut client = bounded(TcpStream::connect(at).unwrap());
    client
        .write_all("CONNECT β:1 HTTP/1.1\r\n\r\nearly".as_bytes())
        .unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut served = bounded(server.accept().unwrap().0);
    let mut text = String::new();
    served.read_to_string(&mut text).unwrap();
    assert_eq!(text, "early");
    served.write_all(b"late").unwrap();
    drop(served);
    text.clear();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "HTTP/1.1 200 Connection established\r\n\r\nlate");

    let mut client = bounded(TcpStream::connect(at).unwrap());
    client
        .write_all("CONNECT β:1 HTTP/1.1\r\n\r\n".as_bytes())
        .unwrap();
    // A reset that comes earlier may overtake the answer, and is a refusal then.
    let answer = "HTTP/1.1 200 Connection established\r\n\r\n";
    client.read_exact(&mut vec![0; answer.len()]).unwrap();
    crate::forwards::reset(server.accept().unwrap().0);
    expect_reset(&mut client);
}

/// Java sends its user's name whenever a proxy lets it.
#[test]
fn a_user_name_is_ignored_where_there_is_nothing_to_choose() {
    let net = Net::new();
    let _expose = net.ready(&["expose", "β:80", "--to", &serve("hello")]);
    let mut proxy = net.starting(&["proxy", "--at", "127.0.0.1:0", "--from", "α"]);
    let at = proxy.wait_for_stdout_beginning("proxy ");
    let at = at.strip_suffix(" from α").unwrap();
    let hello = ("hello".to_owned(), 0);
    let (socks, http) = (
        format!("socks5h://root@{at}"),
        format!("http://root:x@{at}"),
    );
    assert_eq!(curl(&["--proxy", &socks, "http://β/"]), hello);
    assert_eq!(
        curl(&["--proxytunnel", "--proxy", &http, "http://β/"]),
        hello
    );
}
