// What the reader does: scrolling, zoom, filters, search, selection.

const byId = (id) => document.getElementById(id);

function refresh() {
  filter();
  resize();
  byId("empty").hidden = shown.rows.length > 0;
  const count = shown.hosts.filter(Boolean).length;
  byId("host-count").textContent = count === hosts.length ? `${count}` : `${count} of ${hosts.length}`;
  const [some, all] = [shown.rows.length, events.length].map((it) => it.toLocaleString("en"));
  byId("summary").textContent = `${some === all ? all : `${some} of ${all}`} events since ${data.begins}`;
  showFound();
  redraw();
}

function showFound() {
  const [at, all] = [search.at + 1, search.found.length];
  const text = at > 0 ? `${at} of ${all}` : `${all} found`;
  byId("found").textContent = search.text.trim() === "" ? "" : text;
}

// To the next event that was found, or to the one before.
function step(by) {
  const all = search.found.length;
  if (all === 0) return;
  search.at = search.at < 0 ? (by > 0 ? 0 : all - 1) : (search.at + by + all) % all;
  select(search.found[search.at]);
  showFound();
}

function select(index) {
  picked.selected = index;
  const details = byId("details");
  details.hidden = index < 0;
  if (index >= 0) {
    describe(details, events[index]);
    reveal(index);
  }
  redraw();
}

function describe(element, event) {
  const [first, ...more] = described(event);
  const title = document.createElement("b");
  title.textContent = first;
  element.replaceChildren(title, document.createTextNode(more.join("\n")));
  if (element.id !== "details") return;
  element.append(document.createElement("br"));
  const effects = messages.filter(([cause]) => cause === event.index).map(([, effect]) => effect);
  const button = (text, action) => {
    const button = document.createElement("button");
    button.textContent = text;
    button.addEventListener("click", action);
    element.append(button);
  };
  if (event.cause >= 0) button("Go to what led to it", () => select(event.cause));
  if (effects.length > 0) button("Go to what it led to", () => select(effects[0]));
  if (event.conn >= 0) button("Only this connection", () => onlyConn(conns[event.conn]));
  button("Close", () => select(-1));
}

function onlyConn(label) {
  byId("conn").value = shown.conn = label;
  refresh();
  if (picked.selected >= 0) reveal(picked.selected);
}

function hover(x, y) {
  const tip = byId("tip");
  const event = eventAt(x, y);
  picked.hovered = event >= 0 ? event : messageAt(x, y);
  tip.hidden = picked.hovered < 0;
  if (picked.hovered >= 0) {
    describe(tip, events[picked.hovered]);
    const [right, below] = [x + 14 + tip.offsetWidth < scroll.clientWidth, y + 14 + tip.offsetHeight < scroll.clientHeight];
    tip.style.left = `${Math.max(4, right ? x + 14 : x - 14 - tip.offsetWidth)}px`;
    tip.style.top = `${Math.max(4, below ? y + 14 : y - 14 - tip.offsetHeight)}px`;
  }
  redraw();
}

function place(event) {
  const box = scroll.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

function listen() {
  scroll.addEventListener("scroll", redraw);
  scroll.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 250), place(event)[1]);
    redraw();
  }, { passive: false });
  scroll.addEventListener("mousemove", (event) => hover(...place(event)));
  scroll.addEventListener("mouseleave", () => hover(-1000, -1000));
  scroll.addEventListener("click", (event) => {
    const index = eventAt(...place(event));
    picked.selected = index;
    byId("details").hidden = index < 0;
    if (index >= 0) describe(byId("details"), events[index]);
    redraw();
  });
  window.addEventListener("resize", () => { resize(); redraw(); });
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", () => { readColours(); redraw(); });
  byId("conn").addEventListener("input", (event) => { shown.conn = event.target.value; refresh(); });
  byId("search").addEventListener("input", (event) => { find(event.target.value); showFound(); redraw(); });
  byId("search").addEventListener("keydown", (event) => {
    if (event.key === "Enter") step(event.shiftKey ? -1 : 1);
  });
  const click = (id, action) => byId(id).addEventListener("click", () => { action(); redraw(); });
  click("back", () => step(-1));
  click("next", () => step(1));
  click("in", () => zoom(1.5));
  click("out", () => zoom(1 / 1.5));
  click("fit", fit);
  document.addEventListener("keydown", (event) => {
    if (event.target.tagName === "INPUT" || event.ctrlKey || event.metaKey || event.altKey) return;
    const action = {
      "/": () => byId("search").focus(), "+": () => zoom(1.5), "=": () => zoom(1.5),
      "-": () => zoom(1 / 1.5), "0": fit, Escape: () => select(-1),
    }[event.key];
    if (!action) return;
    event.preventDefault();
    action();
    redraw();
  });
}

function hostMenu() {
  const menu = byId("hosts");
  const boxes = hosts.map((host) => {
    const [label, box] = [document.createElement("label"), document.createElement("input")];
    box.type = "checkbox";
    box.checked = true;
    box.addEventListener("change", () => { shown.hosts[host.index] = box.checked; refresh(); });
    label.append(box, " " + host.name);
    label.title = host.process;
    return [label, box];
  });
  for (const [text, value] of [["All", true], ["None", false]]) {
    const button = document.createElement("button");
    button.textContent = text;
    button.addEventListener("click", () => {
      shown.hosts.fill(value);
      for (const [, box] of boxes) box.checked = value;
      refresh();
    });
    menu.append(button, " ");
  }
  menu.append(...boxes.map(([label]) => label));
}

function start() {
  byId("title").textContent = data.network ? `Trace of ${data.network}` : "Trace";
  document.title = byId("title").textContent;
  if (data.dropped > 0) {
    byId("dropped").hidden = false;
    byId("dropped").textContent = `${data.dropped.toLocaleString("en")} events were dropped because a record was full`;
  }
  const some = Array.from(new Set(conns)).slice(0, 500);
  byId("conns").append(...some.map((label) => new Option(label, label)));
  hostMenu();
  readColours();
  listen();
  refresh();
}

start();
