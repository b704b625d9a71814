// Draws what is in the window. Never changes what is shown.

const canvas = document.getElementById("canvas");
const pen = canvas.getContext("2d");
const picked = { hovered: -1, selected: -1 };
// What the last picture had.
const drawn = { events: 0, messages: 0, texts: 0 };
let colours = {};

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const get = (name) => style.getPropertyValue("--" + name).trim();
  colours = {
    back: get("back"), text: get("text"), quiet: get("quiet"), rule: get("rule"), bar: get("bar"),
    mark: get("mark"), made: get("host"), gone: get("host"), listen: get("host"), dial: get("dial"),
    open: get("open"), data: get("data"), end: get("end"), error: get("error"), fault: get("fault"),
    note: get("note"),
  };
}

let asked = false;
function redraw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => { asked = false; draw(); });
}

function draw() {
  const [width, height] = [scroll.clientWidth, scroll.clientHeight];
  const scale = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    canvas.style.width = width + "px";
    canvas.style.height = height + "px";
  }
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.fillStyle = colours.back;
  pen.fillRect(0, 0, width, height);
  pen.font = "12px system-ui, 'Segoe UI', 'Helvetica Neue', 'DejaVu Sans', sans-serif";
  pen.textBaseline = "middle";
  Object.assign(drawn, { events: 0, messages: 0, texts: 0 });
  drawBands(height);
  drawHosts(height);
  const [first, last] = visibleRows();
  const heads = drawMessages(first, last);
  drawEvents(first, last);
  drawHeads(heads);
  drawTimes(first, last, height);
  drawHead(width);
}

const columnIsVisible = (column) => {
  const left = GUTTER + column * view.column - scroll.scrollLeft;
  return column >= 0 && left < scroll.clientWidth && left + view.column > GUTTER;
};

// Faults in force, behind the host's column.
function drawBands(height) {
  pen.fillStyle = colours.fault;
  for (const band of bands) {
    const column = shown.columnOf[band.host];
    if (!columnIsVisible(column)) continue;
    const top = yOf(rowFrom(band.from)) - view.row / 2;
    const bottom = band.to >= events.length ? yOf(shown.rows.length - 0.5) : yOf(rowFrom(band.to) - 0.5);
    if (bottom < HEAD || top > height) continue;
    const [x, y] = [GUTTER + column * view.column - scroll.scrollLeft, Math.max(top, HEAD)];
    pen.globalAlpha = 0.1;
    pen.fillRect(x + 1, y, view.column - 2, Math.max(1, Math.min(bottom, height) - y));
    pen.globalAlpha = 0.75;
    pen.fillRect(x + 1, y, 3, Math.max(1, Math.min(bottom, height) - y));
  }
  pen.globalAlpha = 1;
}

// A host's line: whole while it exists, thin before and after.
function drawHosts(height) {
  for (const [column, host] of shown.columns.entries()) {
    if (!columnIsVisible(column)) continue;
    const x = Math.round(lineOf(column)) + 0.5;
    pen.strokeStyle = colours.rule;
    line(x, HEAD, x, height, 1);
    pen.strokeStyle = colours.made;
    for (const [from, to] of hosts[host].lives) {
      const top = from < 0 ? HEAD : Math.max(HEAD, yOf(rowFrom(from)));
      const bottom = to >= events.length ? height : Math.min(height, yOf(rowFrom(to)));
      if (top < bottom) line(x, top, x, bottom, 2);
    }
  }
}

function line(x1, y1, x2, y2, width) {
  pen.lineWidth = width;
  pen.beginPath();
  pen.moveTo(x1, y1);
  pen.lineTo(x2, y2);
  pen.stroke();
}

// What is not of the connection that is selected is drawn pale.
function isPale(event) {
  const selected = events[picked.selected];
  if (!selected || selected.conn < 0) return false;
  return event.conn !== selected.conn;
}

function drawMessages(first, last) {
  const isSmall = view.row < 4;
  const alpha = view.row >= 4 ? 0.85 : view.row >= 1 ? 0.35 : 0.12;
  const [taken, heads] = [new Set(), []];
  for (const [cause, effect] of messages) {
    const [from, to] = [shown.rowOf[cause], shown.rowOf[effect]];
    if (from < 0 || to < 0 || to < first || from >= last) continue;
    const [one, other] = [cause, effect].map((it) => shown.columnOf[events[it].host]);
    if (!columnIsVisible(one) && !columnIsVisible(other)) continue;
    const [x1, y1, x2, y2] = [lineOf(one), yOf(from), lineOf(other), yOf(to)];
    if (isSmall) {
      // One of those that would be drawn over each other is enough.
      const place = (Math.round(y1) * 8192 + Math.round(y2)) * 8192 + one * 90 + other;
      if (taken.has(place)) continue;
      taken.add(place);
    }
    const event = events[effect];
    const isPicked = effect === picked.hovered || cause === picked.hovered;
    const isDial = events[cause].kind === "dial";
    pen.strokeStyle = colours[isDial ? "dial" : event.kind];
    pen.globalAlpha = isPale(event) ? 0.12 : alpha;
    const angle = shaft(x1, y1, x2, y2, isPicked ? 2.5 : 1.2);
    if (!isSmall) heads.push([x2, y2, angle, pen.strokeStyle, pen.globalAlpha]);
    drawn.messages++;
  }
  pen.globalAlpha = 1;
  return heads;
}

// The line of an arrow; returns its direction at the end.
function shaft(x1, y1, x2, y2, width) {
  pen.lineWidth = width;
  pen.beginPath();
  pen.moveTo(x1, y1);
  let angle = Math.atan2(y2 - y1, x2 - x1);
  if (x1 === x2) {
    // A host that sends to itself.
    pen.bezierCurveTo(x1 + 30, y1, x2 + 30, y2, x2, y2);
    angle = Math.PI;
  } else {
    pen.lineTo(x2, y2);
  }
  pen.stroke();
  return angle;
}

// The heads of arrows, which texts do not cover.
function drawHeads(heads) {
  for (const [x, y, angle, colour, alpha] of heads) {
    if (x < GUTTER - 20) continue;
    pen.fillStyle = colour;
    pen.globalAlpha = alpha;
    const [tipX, tipY] = [x - 5 * Math.cos(angle), y - 5 * Math.sin(angle)];
    pen.beginPath();
    pen.moveTo(tipX, tipY);
    pen.lineTo(tipX - 9 * Math.cos(angle - 0.35), tipY - 9 * Math.sin(angle - 0.35));
    pen.lineTo(tipX - 9 * Math.cos(angle + 0.35), tipY - 9 * Math.sin(angle + 0.35));
    pen.fill();
  }
  pen.globalAlpha = 1;
}

function drawEvents(first, last) {
  const radius = view.row >= 8 ? 4 : view.row >= 3 ? 2.5 : 1.5;
  const taken = new Set();
  for (let row = first; row < last; row++) {
    const event = events[shown.rows[row]];
    const column = shown.columnOf[event.host];
    if (!columnIsVisible(column)) continue;
    const [x, y] = [lineOf(column), yOf(row)];
    const isMarked = search.isFound[event.index] || event.index === picked.selected;
    if (view.row < 1 && !isMarked) {
      const place = Math.round(y) * 65536 + column;
      if (taken.has(place)) continue;
      taken.add(place);
    }
    drawn.events++;
    pen.globalAlpha = isPale(event) && !isMarked ? 0.2 : 1;
    if (hasTexts()) drawText(event, column, x, y);
    pen.fillStyle = colours[event.kind];
    pen.beginPath();
    pen.arc(x, y, event.index === picked.hovered ? radius + 2 : radius, 0, 7);
    pen.fill();
    if (isMarked) {
      pen.strokeStyle = event.index === picked.selected ? colours.text : colours.note;
      pen.lineWidth = 2;
      pen.beginPath();
      pen.arc(x, y, radius + 3, 0, 7);
      pen.stroke();
    }
  }
  pen.globalAlpha = 1;
}

// The part of a text that fits a width.
const widths = new Map();
function clipped(text, room) {
  const key = `${Math.floor(room)} ${text}`;
  let result = widths.get(key);
  if (result !== undefined) return result;
  result = text;
  if (pen.measureText(result).width > room) {
    const letters = Array.from(result);
    let [low, high] = [0, letters.length];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      const fits = pen.measureText(letters.slice(0, middle).join("") + "…").width <= room;
      if (fits) low = middle; else high = middle - 1;
    }
    result = letters.slice(0, low).join("") + "…";
  }
  if (widths.size > 5000) widths.clear();
  widths.set(key, result);
  return result;
}

function drawText(event, column, x, y) {
  const right = GUTTER + (column + 1) * view.column - scroll.scrollLeft;
  const text = clipped(event.text, right - x - 24);
  const width = pen.measureText(text).width;
  const alpha = pen.globalAlpha;
  const isMarked = search.isFound[event.index] || event.index === picked.selected;
  pen.globalAlpha = isMarked ? 1 : 0.8 * alpha;
  pen.fillStyle = isMarked ? colours.mark : colours.back;
  pen.fillRect(x + 16, y - 7, width + 4, 14);
  pen.globalAlpha = alpha;
  pen.fillStyle = event.kind === "error" || event.kind === "fault" ? colours.error : colours.text;
  pen.fillText(text, x + 18, y);
  drawn.texts++;
}

// At the left: seconds, as far apart as they are readable.
function drawTimes(first, last, height) {
  pen.fillStyle = colours.bar;
  pen.fillRect(0, HEAD, GUTTER, height);
  pen.fillStyle = colours.quiet;
  pen.textAlign = "right";
  const step = Math.max(1, Math.ceil(18 / view.row));
  for (let row = first - first % step; row < last; row += step) {
    const seconds = events[shown.rows[row]].wall / 1e6;
    pen.fillText(seconds.toFixed(6), GUTTER - 8, yOf(row));
  }
  pen.textAlign = "left";
}

function drawHead(width) {
  pen.fillStyle = colours.bar;
  pen.fillRect(0, 0, width, HEAD);
  pen.strokeStyle = colours.rule;
  line(0, HEAD - 0.5, width, HEAD - 0.5, 1);
  pen.font = "bold " + pen.font;
  pen.save();
  pen.beginPath();
  pen.rect(GUTTER, 0, width, HEAD);
  pen.clip();
  pen.fillStyle = colours.text;
  for (const [column, host] of shown.columns.entries()) {
    if (!columnIsVisible(column) || view.column < 24) continue;
    const left = lineOf(column) - (view.column >= LEAST_COLUMN ? 6 : 10);
    pen.fillText(clipped(hosts[host].name, view.column - 12), left, HEAD / 2);
  }
  pen.restore();
  pen.fillStyle = colours.quiet;
  pen.fillText("seconds", 8, HEAD / 2);
}
