// Where things are on the screen. Never draws, never changes what is shown.

const HEAD = 30; // The height of the hosts' names.
const GUTTER = 84; // The width of the times.
const NORMAL_ROW = 22;
const MOST_ROW = 60;
const LEAST_COLUMN = 130;

const scroll = document.getElementById("scroll");
const space = document.getElementById("space");
const view = { row: NORMAL_ROW, column: LEAST_COLUMN, narrow: false };

// Fits the scrolled area to what is shown.
function resize() {
  const width = scroll.clientWidth - GUTTER;
  const columns = Math.max(1, shown.columns.length);
  const least = view.narrow ? 8 : LEAST_COLUMN;
  view.column = Math.max(least, width / columns);
  view.row = Math.min(MOST_ROW, Math.max(view.row, fitRow()));
  space.style.width = `${Math.floor(GUTTER + columns * view.column)}px`;
  space.style.height = `${Math.floor(HEAD + view.row * (shown.rows.length + 1))}px`;
}

// The height of a row at which all fit, but no more than normal.
function fitRow() {
  const height = scroll.clientHeight - HEAD - 2;
  return Math.min(NORMAL_ROW, height / (shown.rows.length + 1));
}

// Changes the height of a row, and keeps what is at this height of the window where it is.
function zoom(factor, at = HEAD + (scroll.clientHeight - HEAD) / 2) {
  const row = (scroll.scrollTop + at - HEAD) / view.row;
  view.row = Math.min(MOST_ROW, Math.max(fitRow(), view.row * factor));
  if (factor > 1) view.narrow = false;
  resize();
  scroll.scrollTop = row * view.row - at + HEAD;
}

function fit() {
  view.narrow = true;
  view.row = 0;
  resize();
  scroll.scrollTop = 0;
  scroll.scrollLeft = 0;
}

// The middle of a row or column, in the window.
const yOf = (row) => HEAD + (row + 1) * view.row - scroll.scrollTop;
const xOf = (column) => GUTTER + (column + 0.5) * view.column - scroll.scrollLeft;
// A host's line is left in its column, so that texts fit beside it.
const lineOf = (column) => (view.column >= LEAST_COLUMN
  ? GUTTER + column * view.column + Math.min(24, view.column / 4) - scroll.scrollLeft
  : xOf(column));

const hasTexts = () => view.row >= 13 && view.column >= 80;

// The rows that are in the window: the first, and the one after the last.
function visibleRows() {
  const first = Math.floor(scroll.scrollTop / view.row) - 1;
  const last = Math.ceil((scroll.scrollTop + scroll.clientHeight) / view.row) + 1;
  return [Math.max(0, first), Math.min(shown.rows.length, last)];
}

// Scrolls until an event is in the middle.
function reveal(index) {
  const row = shown.rowOf[index];
  if (row < 0) return;
  if (view.row < 13) { view.row = NORMAL_ROW; view.narrow = false; resize(); }
  scroll.scrollTop = (row + 1) * view.row - (scroll.clientHeight - HEAD) / 2;
  const x = lineOf(shown.columnOf[events[index].host]);
  if (x < GUTTER || x > scroll.clientWidth - 60) scroll.scrollLeft += x - scroll.clientWidth / 2;
}

// The event at a place in the window, or -1.
function eventAt(x, y) {
  if (y < HEAD) return -1;
  const [near, far] = [Math.round((y - HEAD + scroll.scrollTop) / view.row) - 1, 8 / view.row];
  let [best, distance] = [-1, Infinity];
  const [first, last] = [Math.max(0, Math.floor(near - far)), Math.ceil(near + far)];
  for (let row = first; row <= Math.min(last, shown.rows.length - 1); row++) {
    const event = events[shown.rows[row]];
    const dx = x - lineOf(shown.columnOf[event.host]);
    const dy = Math.abs(y - yOf(row));
    const onText = hasTexts() && dx > 0 && dx < view.column - 30 && dy < view.row / 2;
    if (!onText && (Math.abs(dx) > 9 || dy > 9)) continue;
    const total = onText ? dy : Math.hypot(dx, dy);
    if (total < distance) [best, distance] = [event.index, total];
  }
  return best;
}

// The message at a place in the window, as its effect, or -1.
function messageAt(x, y) {
  const [first, last] = visibleRows();
  for (const [cause, effect] of messages) {
    const [from, to] = [shown.rowOf[cause], shown.rowOf[effect]];
    if (from < 0 || to < 0 || to < first || from >= last) continue;
    const [x1, x2] = [cause, effect].map((it) => lineOf(shown.columnOf[events[it].host]));
    const [y1, y2] = [yOf(from), yOf(to)];
    const length = (x2 - x1) ** 2 + (y2 - y1) ** 2;
    const along = ((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / length;
    if (along < 0 || along > 1) continue;
    if (Math.hypot(x - x1 - along * (x2 - x1), y - y1 - along * (y2 - y1)) < 4) return effect;
  }
  return -1;
}
