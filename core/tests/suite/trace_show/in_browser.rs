//! The page of a trace in a real Chromium: what it draws, and what a reader can do there.
//!
//! Owns its checks. Never draws by itself. `tests/run.sh` runs these, since they need Chromium; with
//! `TRACE_SCREENSHOTS=folder`, they leave pictures there.

use std::path::PathBuf;

use serde_json::{Value, json};
use virtnet_core::trace::{EventKind, Trace};

use crate::trace_show::browser::Browser;
use crate::trace_show::synthetic::{HOSTILE, Net, busy, hostile, partition, small};

/// A page in a browser.
struct Page {
    browser: Browser,
    _folder: tempfile::TempDir,
}

impl Page {
    fn open(trace: &Trace) -> Page {
        Page::open_in(trace, 1400, 900)
    }

    fn open_in(trace: &Trace, width: u32, height: u32) -> Page {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("trace.html");
        std::fs::write(&file, trace.html().to_string()).unwrap();
        let mut browser = Browser::start(folder.path(), width, height);
        browser.open(&file);
        browser.drawn();
        let mut page = Page {
            browser,
            _folder: folder,
        };
        let shown = page.browser.eval("data.events.length");
        assert_eq!(shown, trace.events().len());
        page
    }

    fn picture(&mut self, name: &str) {
        self.browser.drawn();
        let Some(folder) = std::env::var_os("TRACE_SCREENSHOTS") else {
            return;
        };
        let file = PathBuf::from(folder).join(format!("{name}.png"));
        std::fs::write(file, self.browser.screenshot()).unwrap();
    }

    fn eval(&mut self, expression: &str) -> Value {
        self.browser.eval(expression)
    }

    fn text(&mut self, id: &str) -> String {
        let text = self.eval(&format!("byId('{id}').innerText"));
        text.as_str().unwrap().to_owned()
    }

    /// The place of an event in the window.
    fn place(&mut self, event: usize) -> (f64, f64) {
        let place = self.eval(&format!(
            "(() => {{ const box = scroll.getBoundingClientRect(), it = events[{event}]; \
               return [box.left + lineOf(shown.columnOf[it.host]), box.top + yOf(shown.rowOf[it.index])]; }})()"
        ));
        (place[0].as_f64().unwrap(), place[1].as_f64().unwrap())
    }

    fn type_into(&mut self, id: &str, text: &str) {
        self.eval(&format!("byId('{id}').focus(); byId('{id}').select()"));
        if text.is_empty() {
            self.browser.key("Delete", 46);
        } else {
            self.browser.text(text);
        }
        self.browser.drawn();
    }

    fn click(&mut self, selector: &str) {
        let selector = json!(selector);
        let place = self.eval(&format!(
            "(() => {{ const box = document.querySelector({selector}).getBoundingClientRect(); \
               return [box.left + box.width / 2, box.top + box.height / 2]; }})()"
        ));
        let [x, y] = [0, 1].map(|it| place[it].as_f64().unwrap());
        self.browser.mouse(x, y, true);
        self.browser.drawn();
    }

    /// It asked for nothing but itself, and nothing went wrong.
    fn is_clean(&mut self) {
        let requests = &self.browser.requests;
        assert_eq!(requests.len(), 1, "{requests:?}");
        assert!(requests[0].starts_with("file://"), "{requests:?}");
        assert_eq!(self.browser.errors, Vec::<Value>::new());
    }
}

#[test]
#[ignore = "needs Chromium"]
fn a_small_trace() {
    let mut page = Page::open(&small().trace());
    let drawn = page.browser.drawn();
    assert_eq!(drawn, json!({"events": 14, "messages": 4, "texts": 14}));
    assert_eq!(page.text("title"), "Trace of net");
    assert_eq!(
        page.text("summary"),
        "14 events since 2026-01-01T00:00:00.000250Z",
    );
    page.picture("small");
    // Both ends' events are of one connection.
    assert_eq!(page.eval("conns"), json!(["β:1 -> α:2"]));

    // To hover over an event shows it.
    let (x, y) = page.place(9);
    page.browser.mouse(x, y, false);
    let tip = "α:2 <- β:1 received end after 5 bytes\n\
               event 10; 5 of α, recorded by process of α\n\
               0.002250 s by its machine's clock\n\
               connection β:1 -> α:2\n\
               after: β:1 -> α:2 sent end after 5 bytes";
    assert_eq!(page.text("tip"), tip);
    // And over a message, what it led to; over a host in faults, these.
    let ((x1, y1), (x2, y2)) = (page.place(3), page.place(4));
    page.browser.mouse((x1 + x2) / 2.0, (y1 + y2) / 2.0, false);
    assert!(page.text("tip").starts_with("α:2 <- β:1 accepted\n"));
    let (x, y) = page.place(13);
    page.browser.mouse(x, y, false);
    assert!(page.text("tip").ends_with("faults in force:\n  cut α -> β"));
    let (x, _) = page.place(0);
    page.browser.mouse(x, 880.0, false);
    assert_eq!(page.eval("byId('tip').hidden"), true);

    // A click pins it, and leads to its cause.
    let (x, y) = page.place(9);
    page.browser.mouse(x, y, true);
    page.picture("small-selected");
    page.click("#details button");
    assert!(page.text("details").starts_with("β:1 -> α:2 sent end"));
    page.is_clean();
}

/// From when rules are in force until they are healed, at each host by its own events.
#[test]
#[ignore = "needs Chromium"]
fn faults_are_bands() {
    let mut page = Page::open_in(&partition().trace(), 1120, 850);
    let bands = "bands.map((band) => [hosts[band.host].name, ...[band.from, band.to].map((it) => events[it].text)])";
    let expected = ["α", "β", "γ"].map(|host| {
        let begin = format!("{host} faults 1: 1 rules; cut α -> β");
        [host.to_owned(), begin, format!("{host} faults 2: 0 rules")]
    });
    assert_eq!(page.eval(bands), json!(expected));
    page.picture("partition");
    page.is_clean();
    assert_eq!(
        page.eval("hosts.map((host) => host.lives)"),
        json!([[[0, 32]], [[1, 32]], [[2, 32]]])
    );
    // The colour of a band is behind the columns while rules are in force, and not after it.
    let colour = |page: &mut Page, event: usize| {
        let (x, y) = page.place(event);
        let at = format!("({x} - 14, {y} - byId('scroll').getBoundingClientRect().top, 1, 1)");
        page.eval(&format!("Array.from(pen.getImageData{at}.data)"))
    };
    let trace = partition().trace();
    let index = |line: &str| {
        let mut events = trace.events().iter();
        events.rposition(|it| it.event.to_string() == line).unwrap()
    };
    let lines = ["β:2 -> α:1 failed: timed out", "α:2 <- β:1 accepted"];
    let [during, after] = lines.map(|line| colour(&mut page, index(line)));
    assert_ne!(during, json!([255, 255, 255, 255]));
    assert_eq!(after, json!([255, 255, 255, 255]));
}

/// A host's line is thick while it exists; a crash ends it, and the name may be made again.
#[test]
#[ignore = "needs Chromium"]
fn hosts_live_from_made_to_gone() {
    let mut net = Net::new(&["α", "β"]);
    let listener = net.listen(0);
    let pair = net.connect(1, 0, &listener);
    net.crash(&pair, 1);
    net.event(0, EventKind::HostMade);
    net.event(1, EventKind::HostClosed);
    let mut page = Page::open(&net.trace());
    // α was made first, crashed after its connection, and was made again.
    assert_eq!(page.eval("hosts[0].lives"), json!([[0, 6], [9, 11]]));
    assert_eq!(page.eval("hosts[1].lives"), json!([[1, 10]]));
    page.picture("crash");
    page.is_clean();
}

#[test]
#[ignore = "needs Chromium"]
fn filters_and_search() {
    let trace = busy(1000, 5, 7).trace();
    let mut page = Page::open(&trace);
    page.picture("1000");
    let drawn = page.browser.drawn();
    let rows = drawn["events"].as_u64().unwrap();
    assert!(
        (20..60).contains(&rows),
        "as many as the window has: {rows}"
    );

    // By host.
    page.click("#host-menu summary");
    page.click("#hosts label:nth-of-type(2)");
    page.click("#host-menu summary");
    let without = trace.events().iter().filter(|it| *it.event.host != *"β");
    assert_eq!(page.eval("shown.rows.length"), without.count());
    assert_eq!(page.text("host-count"), "4 of 5");
    page.click("#host-menu summary");
    page.click("#hosts button");
    page.click("#host-menu summary");
    assert_eq!(page.eval("shown.rows.length"), trace.events().len());

    // By connection: all events shown are of such a connection, or of faults.
    page.type_into("conn", "β:2 -> ");
    let shown = "shown.rows.map((it) => events[it]).filter((it) => it.kind !== 'fault')";
    let others = format!("{shown}.filter((it) => !conns[it.conn].includes('β:2 -> ')).length");
    assert_eq!(page.eval(&others), 0);
    let count = page.eval(&format!("{shown}.length")).as_u64().unwrap();
    assert!(count > 5, "{count}");
    page.picture("1000-connection");
    page.type_into("conn", "nothing has this");
    assert_eq!(page.eval("byId('empty').hidden"), false);
    page.type_into("conn", "");

    // Search: `/`, text, Enter, Shift+Enter by the button.
    let cut = "connection cut";
    let lines = trace.events().iter().map(|it| it.event.to_string());
    let found: Vec<_> = (0..).zip(lines).filter(|it| it.1.contains(cut)).collect();
    let all = found.len();
    assert!(all > 2);
    page.type_into("search", "Connection CUT");
    assert_eq!(page.text("found"), format!("{all} found"));
    for _ in 0..2 {
        page.browser.key("Enter", 13);
    }
    assert_eq!(page.text("found"), format!("2 of {all}"));
    assert!(page.text("details").starts_with(&found[1].1));
    page.picture("1000-search");
    let (_, y) = page.place(found[1].0);
    assert!((100.0..800.0).contains(&y), "it is in the window: {y}");
    page.click("#back");
    page.click("#back");
    assert_eq!(page.text("found"), format!("{all} of {all}"));
    page.is_clean();
}

#[test]
#[ignore = "needs Chromium"]
fn a_big_trace_draws_what_is_visible() {
    let trace = busy(20_000, 8, 11).trace();
    let mut page = Page::open(&trace);
    let drawn = page.browser.drawn();
    assert!(drawn["events"].as_u64().unwrap() < 60, "{drawn}");
    page.picture("20000");
    // The wheel scrolls; with Control, it zooms, and what is below the mouse stays there.
    page.browser.wheel(700.0, 400.0, 2000.0, false);
    page.eval("new Promise((done) => { const wait = () => scroll.scrollTop > 0 ? done() : setTimeout(wait, 20); wait(); })");
    page.eval("scroll.scrollTop = 100000");
    page.browser.drawn();
    let at =
        "(scroll.scrollTop + 400 - byId('scroll').getBoundingClientRect().top - HEAD) / view.row";
    let before = page.eval(at).as_f64().unwrap();
    page.browser.wheel(700.0, 400.0, 400.0, true);
    page.eval("new Promise((done) => { const wait = () => view.row < 20 ? done() : setTimeout(wait, 20); wait(); })");
    let after = page.eval(at).as_f64().unwrap();
    assert!((before - after).abs() < 1.0, "{before} {after}");
    page.picture("20000-zoomed-out");
    page.click("#fit");
    let drawn = page.browser.drawn();
    assert_eq!(
        page.eval("scroll.scrollHeight > scroll.clientHeight"),
        false
    );
    assert_eq!(page.eval("scroll.scrollWidth > scroll.clientWidth"), false);
    let events = drawn["events"].as_u64().unwrap();
    assert!(events < 8 * 900, "no more than there are pixels: {events}");
    page.picture("20000-fit");
    // The last event can be reached, and what it says.
    page.eval("select(events.length - 1)");
    page.browser.drawn();
    let last = trace.events().last().unwrap().event.to_string();
    assert!(page.text("details").starts_with(&last));
    page.eval("document.activeElement.blur()");
    page.browser.key("Escape", 27);
    assert_eq!(page.eval("byId('details').hidden"), true);
    let (x, y) = page.place(trace.events().len() - 1);
    page.browser.mouse(x, y, false);
    assert!(page.text("tip").starts_with(&last));
    page.is_clean();
}

/// What is invisible, or would turn the direction of text, is shown as its number.
fn escaped(text: &str) -> String {
    let mut escaped = text.replace('\n', "\\n");
    for char in ['\u{0}', '\u{1b}', '\u{2028}', '\u{202e}'] {
        escaped = escaped.replace(char, &char.escape_unicode().to_string());
    }
    escaped
}

#[test]
#[ignore = "needs Chromium"]
fn names_are_text_whatever_they_contain() {
    let trace = hostile().trace();
    let mut page = Page::open(&trace);
    let names = page.eval("hosts.map((host) => host.name)");
    let mut expected = HOSTILE.map(escaped);
    expected.sort_unstable();
    assert_eq!(names, json!(expected));
    for index in 0..trace.events().len() {
        page.eval(&format!("select({index})"));
        let text = page.eval("byId('details').querySelector('b').textContent");
        assert_eq!(text, escaped(&trace.events()[index].event.to_string()));
    }
    page.picture("hostile");
    assert_eq!(page.eval("window.broken"), Value::Null);
    assert_eq!(page.eval("document.querySelectorAll('script').length"), 2);
    assert_eq!(page.eval("document.querySelectorAll('img').length"), 0);
    page.is_clean();
}
