/* The canvas as a board: cells in a square, given ones framed, what the model considers as pencil marks in their usual places, clashes
   marked at every step. For models whose record says view "board"; 81 positions, row by row, a digit each. */

const SIDE = 9, BOX = 3;
const DIGIT = /^[1-9]$/;
const FAINTEST = 13; // of 255: candidates less likely than this are not pencilled in

/** The cells of each row, column and box. */
const UNITS = Array.from({ length: 3 * SIDE }, (_, u) => Array.from({ length: SIDE }, (_, k) => {
  const n = u % SIDE, column = BOX * (n % BOX) + (k % BOX), row = BOX * Math.floor(n / BOX) + Math.floor(k / BOX);
  return u < SIDE ? SIDE * n + k : u < 2 * SIDE ? SIDE * k + n : SIDE * row + column;
}));

/** Where a position is, in words. */
function place(run, i) {
  return run.board ? `row ${Math.floor(i / SIDE) + 1}, column ${(i % SIDE) + 1}` : `position ${i}`;
}

/** Decided positions whose token stands a second time in their row, column or box. */
function clashes(frame) {
  const out = new Set();
  for (const unit of UNITS) {
    const where = new Map();
    for (const i of unit) {
      if (i >= frame.ids.length || frame.ids[i] < 0 || isOpen(frame.states[i])) continue;
      const other = where.get(frame.ids[i]);
      if (other !== undefined) out.add(i).add(other);
      where.set(frame.ids[i], i);
    }
  }
  return out;
}

/** Write a candidate into its mark, in the place it has in every cell. */
function pencil(mark, [digit, p] = ["", 0]) {
  mark.textContent = digit;
  mark.dataset.d = digit;
  mark.style.setProperty("--q", p);
}

class Board extends Canvas {
  cell(i) {
    const cell = super.cell(i);
    cell.ink.dataset.k = "text";
    cell.marks = Array.from({ length: TOP }, () => cell.ink.appendChild(make("i", "ib-mark")));
    for (const mark of cell.marks) mark.setAttribute("aria-hidden", "true");
    return cell;
  }

  layout(frame) {
    for (let i = 0; i < frame.ids.length; i++) this.cells[i] ||= this.cell(i);
    this.box.dir = "ltr";
  }

  outline() {} // the block under work is the whole board

  draw(frame) {
    const wrong = clashes(frame);
    this.cells.forEach((cell, i) => {
      const look = this.look(frame, i), key = [look.state, look.digit, look.p, wrong.has(i), ...look.marks.flat()].join();
      if (key === cell.key) return;
      cell.key = key;
      cell.el.dataset.s = cell.state = look.state;
      cell.el.classList.toggle("ib-clash", wrong.has(i));
      cell.ink.style.setProperty("--p", look.p);
      cell.base.textContent = look.digit;
      cell.marks.forEach((mark, k) => pencil(mark, look.marks[k]));
      this.describe(cell, look, i, wrong.has(i));
    });
  }

  /** How a cell looks: its state, its digit, and its candidates as [digit, probability] where it has none. */
  look(frame, i) {
    const code = frame.states[i], p = String(Math.round(frame.confidence[i] / 12.75) / 20), none = { state: "unreached", digit: "", p: "0", marks: [] };
    if (code === undefined || code === AFTER_END) return none;
    if (!isOpen(code)) return { state: STATES[code], digit: oneLine(this.shapes.alone(frame.ids[i])), p, marks: [] };
    if (code === TAKEN_BACK) return { state: "taken_back", digit: oneLine(this.shapes.alone(frame.lost.get(i) ?? frame.ids[i])), p, marks: [] };
    if (this.run.ar) return none;
    const marks = [];
    for (let k = i * TOP; frame.guesses && k < (i + 1) * TOP; k++) {
      const digit = frame.guesses.ids[k] < 0 ? "" : oneLine(this.shapes.alone(frame.guesses.ids[k])).trim();
      if (DIGIT.test(digit) && frame.guesses.p[k] >= FAINTEST) marks.push([digit, Math.round(frame.guesses.p[k] / 12.75) / 20]);
    }
    return { state: STATES[code], digit: "", p, marks };
  }

  /** What a screen reader says of a cell that is not asked for. */
  describe(cell, { state, digit, marks }, i, wrong) {
    const now = state === "taken_back" ? `${digit}, taken back` : digit ? digit + (state === "pinned" ? ", given" : "") : marks.length ? "perhaps " + marks.map(([d]) => d).join(" or ") : "empty";
    cell.called = `${place(this.run, i)}: ${now}${wrong ? ", clashes" : ""}`;
    if (i !== this.active) this.call(cell);
  }

  /** The position one row up (-1) or down (+1). */
  vertical(i, way) {
    const to = i + way * SIDE;
    return to >= 0 && to < this.cells.length ? to : i;
  }
}
