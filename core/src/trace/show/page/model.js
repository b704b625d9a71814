// The trace, and which part of it is shown. Never draws.

const data = JSON.parse(document.getElementById("data").textContent);
const kinds = ["made", "gone", "listen", "dial", "open", "data", "end", "error", "fault", "note"];
const hosts = data.hosts.map(([name, process], index) => ({ index, name, process, events: [] }));
const conns = data.conns;
const events = data.events.map(([host, kind, wall, cause, conn, number, text], index) => (
  { index, host, kind: kinds[kind], wall, cause, conn, number, text, low: text.toLowerCase() }
));
// The events of each host, and the messages: pairs of a cause and its effect. What a fault did is no message.
const messages = [];
for (const event of events) {
  hosts[event.host].events.push(event.index);
  if (event.cause >= 0 && events[event.cause].kind !== "fault") messages.push([event.cause, event.index]);
}
// From which event to which (not included) rules are in force at a host.
const bands = [];
{
  const open = new Map();
  for (const [index, ...rules] of data.faults) {
    events[index].text = [events[index].text, ...rules].join("; ");
    events[index].low = events[index].text.toLowerCase();
    const host = events[index].host;
    const band = open.get(host);
    if (band) band.to = index;
    open.delete(host);
    if (rules.length === 0) continue;
    const next = { host, from: index, to: events.length, rules };
    bands.push(next);
    open.set(host, next);
  }
  for (const event of events) {
    if (event.kind !== "gone") continue;
    for (const band of bands) {
      if (band.host === event.host && band.from < event.index && band.to > event.index) band.to = event.index;
    }
  }
}

// From which event to which (not included) each host exists. One that was closed or crashed may be made again.
for (const host of hosts) {
  host.lives = [];
  let from = events[host.events[0]].kind === "made" ? null : -1;
  for (const index of host.events) {
    const { kind } = events[index];
    if (kind === "made" && from === null) from = index;
    if (kind !== "gone" || from === null) continue;
    host.lives.push([from, index]);
    from = null;
  }
  if (from !== null) host.lives.push([from, events.length]);
}

const shown = {
  hosts: hosts.map(() => true),
  conn: "",
  // The indices of the events that are shown: row n is the nth. And the row of each event, or -1.
  rows: [],
  rowOf: new Int32Array(events.length),
  // The hosts that are shown, from left to right, and the column of each host, or -1.
  columns: [],
  columnOf: hosts.map(() => -1),
};
const search = { text: "", found: [], isFound: new Uint8Array(events.length), at: -1 };

// Computes what is shown from the filters.
function filter() {
  shown.columns = hosts.filter((host) => shown.hosts[host.index]).map((host) => host.index);
  shown.columnOf = hosts.map((host) => shown.columns.indexOf(host.index));
  const wanted = shown.conn.trim().toLowerCase();
  const isWanted = conns.map((label) => label.toLowerCase().includes(wanted));
  const isAny = isWanted.includes(true);
  shown.rows = [];
  for (const event of events) {
    // Faults stay, to be seen beside what they did.
    const fits = wanted === "" || (event.conn >= 0 ? isWanted[event.conn] : isAny && event.kind === "fault");
    const isShown = fits && shown.hosts[event.host];
    shown.rowOf[event.index] = isShown ? shown.rows.push(event.index) - 1 : -1;
  }
  find(search.text);
}

// Finds the shown events that contain a text.
function find(text) {
  search.text = text;
  const low = text.trim().toLowerCase();
  search.found = low === "" ? [] : shown.rows.filter((index) => events[index].low.includes(low));
  search.isFound.fill(0);
  for (const index of search.found) search.isFound[index] = 1;
  search.at = -1;
}

// The first row whose event is not before this one.
function rowFrom(index) {
  let [low, high] = [0, shown.rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (shown.rows[middle] < index) low = middle + 1; else high = middle;
  }
  return low;
}

// The rules in force at a host when an event happened.
function rulesAt(host, index) {
  const band = bands.find((it) => it.host === host && it.from <= index && index < it.to);
  return band ? band.rules : [];
}

// What is said of an event, line by line; the first is its own.
function described(event) {
  const host = hosts[event.host];
  const lines = [event.text, `event ${event.index + 1}; ${event.number} of ${host.name}, recorded by ${host.process}`];
  lines.push(`${(event.wall / 1e6).toFixed(6)} s by its machine's clock`);
  if (event.conn >= 0) lines.push(`connection ${conns[event.conn]}`);
  if (event.cause >= 0) lines.push(`after: ${events[event.cause].text}`);
  const rules = rulesAt(event.host, event.index);
  if (rules.length > 0) lines.push("faults in force:", ...rules.slice(0, 10).map((rule) => "  " + rule));
  if (rules.length > 10) lines.push(`  and ${rules.length - 10} more`);
  return lines;
}
