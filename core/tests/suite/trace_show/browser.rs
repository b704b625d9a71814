//! A real Chromium without a window, for pages that were written to a file.
//!
//! Owns the process, and the DevTools protocol over its pipe. Never opens a port, and never
//! waits longer than a minute for an answer.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

const BOUND: Duration = Duration::from_secs(60);
/// What Chromium is called, by distribution.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A running browser with one page. Dropped, it ends.
pub(crate) struct Browser {
    child: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    reader: Option<JoinHandle<()>>,
    profile: PathBuf,
    next: u64,
    session: String,
    /// What the page wanted from anywhere: URLs.
    pub(crate) requests: Vec<String>,
    /// Exceptions, and lines in the console.
    pub(crate) errors: Vec<Value>,
}

fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = || std::env::split_paths(&path);
    let mut found = NAMES
        .iter()
        .flat_map(|name| folders().map(move |folder| folder.join(name)));
    let found = found.find(|file| file.is_file());
    found.expect("Chromium is installed: one of chromium, chromium-browser, google-chrome")
}

impl Browser {
    /// Starts Chromium with a window of so many pixels, that nobody sees.
    pub(crate) fn start(folder: &Path, width: u32, height: u32) -> Browser {
        let profile = folder.join("profile");
        // DevTools come in at descriptor 3 and go out at 4. Pages are written by the test, so
        // they need no sandbox, which root and containers do not have.
        let script = r#"program=$1 profile=$2; shift 2
            exec "$program" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage \
                --no-first-run --disable-background-networking --force-color-profile=srgb \
                --user-data-dir="$profile" --remote-debugging-pipe about:blank \
                3<&0 4>&1 </dev/null >/dev/null 2>&1"#;
        let mut child = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(program())
            .arg(&profile)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (commands, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, messages) = channel();
        let reader = std::thread::spawn(move || {
            for message in BufReader::new(answers).split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).unwrap();
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let mut browser = Browser {
            child,
            commands,
            messages,
            reader: Some(reader),
            profile,
            next: 0,
            session: String::new(),
            requests: Vec::new(),
            errors: Vec::new(),
        };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", attach);
        attached["sessionId"]
            .as_str()
            .unwrap()
            .clone_into(&mut browser.session);
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        browser.call("Emulation.setDeviceMetricsOverride", size);
        browser
    }

    /// Opens a file, and waits until it is loaded.
    pub(crate) fn open(&mut self, file: &Path) {
        self.requests.clear();
        self.errors.clear();
        let url = format!("file://{}", file.display());
        self.send("Page.navigate", json!({"url": url}));
        while self.message()["method"] != "Page.loadEventFired" {}
    }

    /// The value of an expression in the page; of a promise, what it comes to.
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let what = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut answer = self.call("Runtime.evaluate", what);
        let failed = &answer["exceptionDetails"];
        assert!(failed.is_null(), "{expression}: {failed}");
        answer["result"]["value"].take()
    }

    /// Waits until the page has drawn what was asked for before.
    pub(crate) fn drawn(&mut self) -> Value {
        self.eval(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))\
             .then(() => drawn)",
        )
    }

    /// Moves the mouse; with a button, presses and releases it there.
    pub(crate) fn mouse(&mut self, x: f64, y: f64, clicks: bool) {
        let kinds = ["mouseMoved", "mousePressed", "mouseReleased"];
        for kind in &kinds[..if clicks { 3 } else { 1 }] {
            let button = if *kind == "mouseMoved" {
                "none"
            } else {
                "left"
            };
            let event = json!({"type": kind, "x": x, "y": y, "button": button, "clickCount": 1});
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    /// Turns the mouse's wheel; upwards is negative.
    pub(crate) fn wheel(&mut self, x: f64, y: f64, by: f64, with_control: bool) {
        let modifiers = if with_control { 2 } else { 0 };
        let event = json!({"type": "mouseWheel", "x": x, "y": y, "deltaX": 0, "deltaY": by, "modifiers": modifiers});
        self.call("Input.dispatchMouseEvent", event);
    }

    /// Types into what has the focus.
    pub(crate) fn text(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
    }

    /// Presses a key and releases it.
    pub(crate) fn key(&mut self, key: &str, code: u32) {
        for kind in ["keyDown", "keyUp"] {
            let event = json!({"type": kind, "key": key, "windowsVirtualKeyCode": code});
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// What the window shows, as a PNG.
    pub(crate) fn screenshot(&mut self) -> Vec<u8> {
        let answer = self.call("Page.captureScreenshot", json!({"format": "png"}));
        from_base64(answer["data"].as_str().unwrap())
    }

    fn send(&mut self, method: &str, params: Value) -> u64 {
        self.next += 1;
        let mut command = json!({"id": self.next, "method": method, "params": params});
        if !self.session.is_empty() {
            command["sessionId"] = json!(self.session);
        }
        let mut bytes = command.to_string().into_bytes();
        bytes.push(0);
        self.commands.write_all(&bytes).expect("Chromium runs");
        self.next
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params);
        loop {
            let mut message = self.message();
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].take();
            }
        }
    }

    /// The next message, within the bound.
    fn message(&mut self) -> Value {
        let message = self.messages.recv_timeout(BOUND);
        let message = message.expect("Chromium answers within a minute");
        match message["method"].as_str() {
            Some("Network.requestWillBeSent") => {
                let url = message["params"]["request"]["url"].as_str();
                self.requests.push(url.unwrap_or_default().to_owned());
            }
            Some("Runtime.exceptionThrown" | "Log.entryAdded" | "Runtime.consoleAPICalled") => {
                self.errors.push(message["params"].clone());
            }
            _ => {}
        }
        message
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits: Vec<_> = text
        .bytes()
        .filter_map(|it| DIGITS.find(char::from(it)))
        .collect();
    let four = digits.chunks(4).flat_map(|four| {
        let bits = four.iter().fold(0, |bits, digit| bits << 6 | digit) << (6 * (4 - four.len()));
        [bits >> 16, bits >> 8, bits]
            .into_iter()
            .take(four.len() - 1)
    });
    four.map(|bits| (bits & 0xff) as u8).collect()
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}
