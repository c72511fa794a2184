/* The canvas: one cell a position, laid out by the newest text known, drawn by the frame in view. Only what changed is touched. */

const SLOT = 2; // width in em of a position whose token nobody knows yet
const NARROWEST = 0.58; // how small, in em, a text that is not the final one may get to fit its place
const DOT = { kind: "after", text: "", lead: "", core: "", tail: "" };

const CALLED = { mask: "undecided", noise: "undecided", taken_back: "taken back", unreached: "not reached yet", after_end: "after the end", none: "not there yet" };

const MARKS = /\p{M}/u; // may tower over the line: clipped
if (window.CSS && CSS.registerProperty) {
  try {
    CSS.registerProperty({ name: "--p", syntax: "<number>", inherits: false, initialValue: "0" }); // spares every child a new style
  } catch {
    // another player on the page was first
  }
}

class Canvas {
  /** box: the element that holds the text (role listbox); svg: laid over it for the outline of the block under work. */
  constructor(box, svg, run) {
    Object.assign(this, { box, svg, run, cells: [], active: -1, outlined: null, floor: 0 });
    this.shapes = new Shapes(run);
    this.widths = new Map();
    this.pen = document.createElement("canvas").getContext("2d");
    this.pen.font = "100px " + getComputedStyle(box).fontFamily;
    box.textContent = "";
    svg.textContent = "";
    box.style.minHeight = "";
  }

  cell(i) {
    const el = make("span", "ib-cell"), cell = { el, gap: make("span", "ib-gap"), ink: make("span", "ib-ink"), base: make("span", "ib-base"), top: make("span", "ib-over"), shape: undefined, key: "" };
    el.id = this.box.id + "-" + i;
    el.dataset.i = i;
    el.setAttribute("role", "option");
    el.setAttribute("aria-selected", "false");
    cell.ink.append(cell.base, cell.top);
    el.append(cell.gap, cell.ink);
    this.box.append(el);
    return cell;
  }

  /** Lay every position out by `frame`, the newest one: where it is decided its own text, elsewhere a slot of stable width. */
  layout(frame) {
    const shapes = this.shapes.frame(frame);
    let before = "", letters = 0;
    for (let i = 0; i < frame.ids.length; i++) {
      const cell = this.cells[i] || (this.cells[i] = this.cell(i));
      const shape = frame.states[i] === AFTER_END ? DOT : shapes[i];
      if (cell.shape !== shape) this.rebuild(cell, shape, i);
      const free = !shape || shape === DOT || shape.kind === "end" || cell.gap.textContent !== "" || before === " ";
      const wrap = free || mayBreak(before, shape.core) || letters > 28;
      if (cell.wrap !== wrap) cell.gap.classList.toggle("ib-wrap", (cell.wrap = wrap));
      letters = wrap ? 0 : letters + cell.length;
      before = !shape ? "" : shape.tail || (shape.kind === "space" ? " " : shape.core);
    }
    if (shapes.some((s) => s)) {
      const text = shapes.map((s) => (s ? s.text : "")).join("");
      this.box.dir = RIGHT_TO_LEFT.test((FIRST_LETTER.exec(text) || [""])[0]) ? "rtl" : "ltr";
      this.box.classList.toggle("ib-bidi", (this.bidi = RIGHT_TO_LEFT.test(text)));
    }
    this.outlined = null;
  }

  rebuild(cell, shape, i) {
    const newline = shape && shape.kind === "space" && shape.core === "";
    cell.shape = shape;
    cell.key = "";
    cell.over = null; // a text over it has to fit anew
    cell.length = shape ? shape.core.length : 3;
    cell.ink.dataset.k = shape ? shape.kind : "slot";
    cell.ink.classList.toggle("ib-tall", Boolean(shape) && MARKS.test(shape.core));
    gapInto(cell.gap, shape ? (i || shape.lead !== " " ? shape.lead : "") : i ? " " : "");
    if (newline) cell.base.replaceChildren(make("i", "ib-return"));
    else inkInto(cell.base, shape ? shape.core : "");
    const tail = shape ? shape.tail : "";
    if (tail && !cell.tail) cell.el.append((cell.tail = make("span", "ib-gap")));
    if (cell.tail) gapInto(cell.tail, tail);
    if (newline) cell.tail.querySelector(".ib-return").remove();
    cell.width = !shape ? SLOT : newline ? 0.9 : shape === DOT ? 0.5 : shape.kind === "end" ? 0.7 : shape.kind === "joined" ? 0.12 : this.width(shape.core);
  }

  /** Draw one frame; touch only cells that look different from what they show. */
  draw(frame) {
    const shapes = this.shapes.frame(frame);
    for (let i = 0; i < this.cells.length; i++) {
      const cell = this.cells[i], view = this.view(cell, i, frame, shapes[i]);
      const key = view.state + view.over + "\u0000" + view.ghost + view.p;
      if (key === cell.key) continue;
      cell.key = key;
      if (cell.state !== view.state) cell.el.dataset.s = cell.state = view.state;
      if (cell.ghost !== view.ghost) cell.ink.dataset.o = cell.ghost = view.ghost;
      if (cell.p !== view.p) cell.ink.style.setProperty("--p", (cell.p = view.p));
      this.name(cell, view, i);
      if (cell.over !== view.over) {
        cell.top.textContent = cell.over = view.over;
        const size = view.ghost === "other" || view.ghost === "lost" ? 1 : 0.86;
        cell.top.style.fontSize = view.over ? Math.max(NARROWEST, Math.min(size, this.room(cell) / this.width(view.over))).toFixed(2) + "em" : "";
      }
    }
  }

  /** What a screen reader calls a position that shows no letters; the one the inspector shows keeps the inspector's words. */
  name(cell, view, i) {
    const { shape } = cell, ended = view.ghost === "end" || (view.ghost === "" && shape && shape.kind === "end");
    const letters = view.over || (view.ghost === "" && shape && shape.kind !== "end" ? shape.core : "");
    cell.called = letters.trim() ? "" : ended ? "end of the text" : CALLED[view.state.replace("_later", "")] || "white space";
    if (i !== this.active) this.call(cell);
  }

  call({ el, called }) {
    if (called) el.setAttribute("aria-label", called);
    else el.removeAttribute("aria-label");
  }

  /** How position i looks: state, probability, and the text over its block where that is not the text it is laid out for.
   *  ghost: '' (the laid-out text shows), guess, noise, lost, end, other or hid (nothing). */
  view(cell, i, frame, shape) {
    if (i >= frame.ids.length) return { state: "none", p: "0", ghost: "hid", over: "" };
    const code = frame.states[i], p = String(Math.round(frame.confidence[i] / 12.75) / 20);
    if (code === AFTER_END) return { state: "after_end", p: "0", ghost: cell.shape === DOT ? "" : "other", over: cell.shape === DOT ? "" : "\u00b7" };
    if (!isOpen(code)) {
      if (shape === cell.shape) return { state: STATES[code], p, ghost: "", over: "" };
      if (shape.kind === "end") return { state: STATES[code], p, ghost: "end", over: "" };
      return { state: STATES[code], p, ghost: "other", over: this.fitting(cell, oneLine(shape) || " ") };
    }
    if (this.run.ar) return { state: "unreached", p: "0", ghost: "hid", over: "" };
    const later = i >= frame.stop && code !== TAKEN_BACK ? "_later" : "";
    if (code === TAKEN_BACK) {
      const lost = frame.lost.get(i) ?? frame.ids[i];
      const was = lost >= 0 ? this.shapes.alone(lost) : null;
      return was === cell.shape ? { state: "taken_back", p, ghost: "", over: "" } : { state: "taken_back", p, ghost: "lost", over: this.fitting(cell, oneLine(was).trim() || "\u00d7") };
    }
    const guess = frame.guesses ? frame.guesses.ids[i * TOP] : -1;
    if (guess >= 0) return { state: STATES[code] + later, p, ...this.ghost(cell, "guess", guess) };
    if (code === NOISE && frame.ids[i] >= 0) return { state: "noise" + later, p, ...this.ghost(cell, "noise", frame.ids[i]) };
    return { state: STATES[code] + later, p, ghost: "hid", over: "" };
  }

  /** A guess inside its block; nothing where it could not be read there. */
  ghost(cell, ghost, token) {
    const over = oneLine(this.shapes.alone(token)).trim();
    return this.room(cell) < NARROWEST * this.width(over) ? { ghost: "hid", over: "" } : { ghost, over };
  }

  /** A word in the place of another, its end left out where the place is too narrow for it. */
  fitting(cell, text) {
    const fits = (t) => this.room(cell) >= NARROWEST * this.width(t);
    if (fits(text)) return text;
    const letters = [...text];
    while (letters.length && !fits(letters.join("") + "\u2026")) letters.pop();
    return letters.length ? letters.join("") + "\u2026" : " ";
  }

  /** How wide, in em, a text over a cell may be. Letters of Arabic join those of the next token: measured where they stand. */
  room(cell) {
    const width = this.bidi && cell.shape ? cell.ink.getBoundingClientRect().width / parseFloat(getComputedStyle(cell.ink).fontSize) : cell.width;
    return 0.98 * width - 0.08;
  }

  /** Width of a text on one line in em of the canvas's font. */
  width(text) {
    if (!this.widths.has(text)) this.widths.set(text, this.pen.measureText(text).width / 100 || 0.3);
    return this.widths.get(text);
  }

  /** Outline the block under work; nothing once everything is decided. */
  outline(frame) {
    const key = frame.open && !this.run.ar ? frame.start + "-" + frame.stop : "";
    if (key === this.outlined) return;
    this.outlined = key;
    this.svg.textContent = "";
    if (!key) return;
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", this.region(frame.start, Math.min(frame.stop, this.cells.length)));
    this.svg.append(path);
  }

  /** The path around the lines of cells [start, stop), as a text selection would be. */
  region(start, stop) {
    const lines = [];
    for (let i = start; i < stop; i++) {
      const { offsetLeft: x0, offsetTop: top, offsetWidth, offsetHeight } = this.cells[i].ink, x1 = x0 + offsetWidth;
      const line = lines.find((l) => Math.abs(l.top - top) < offsetHeight / 2);
      if (line) Object.assign(line, { x0: Math.min(line.x0, x0), x1: Math.max(line.x1, x1) });
      else lines.push({ top, bottom: top + offsetHeight, x0, x1 });
    }
    if (!lines.length) return "";
    const first = lines[0], last = lines[lines.length - 1], gap = 5, inset = -3;
    const left = Math.min(...lines.map((l) => l.x0)) - gap, right = Math.max(...lines.map((l) => l.x1)) + gap;
    const [a, c] = this.box.dir === "rtl" ? [left, right] : [first.x0 - gap, last.x1 + gap];
    const [top, bottom, under, over] = [first.top + inset, last.bottom - inset, first.bottom - inset, last.top + inset];
    if (lines.length === 1) return `M${a} ${top}H${first.x1 + gap}V${bottom}H${a}Z`;
    if (lines.length === 2 && c < a) return `M${a} ${top}H${right}V${under}H${a}ZM${left} ${over}H${c}V${bottom}H${left}Z`;
    return `M${a} ${top}H${right}V${over}H${c}V${bottom}H${left}V${under}H${a}Z`;
  }

  /** While text comes live its height never shrinks, so that what is below stays calm. */
  hold() {
    const height = this.box.offsetHeight;
    if (height > this.floor) this.box.style.minHeight = (this.floor = height) + "px";
  }

  release() {
    this.floor = 0;
    this.box.style.minHeight = "";
  }

  /** Mark the position that the inspector shows (-1: none); `label` is what a screen reader says of it. */
  mark(i, label) {
    const old = this.cells[this.active], cell = this.cells[i];
    if (old) (old.el.classList.remove("ib-active"), old.el.setAttribute("aria-selected", "false"), this.call(old));
    this.active = cell ? i : -1;
    if (!cell) return this.box.removeAttribute("aria-activedescendant");
    cell.el.classList.add("ib-active");
    cell.el.setAttribute("aria-selected", "true");
    cell.el.setAttribute("aria-label", label);
    this.box.setAttribute("aria-activedescendant", cell.el.id);
  }

  /** The nearest position one line up (-1) or down (+1) of position i. */
  vertical(i, way) {
    const here = this.cells[i].ink.getBoundingClientRect(), x = (here.left + here.right) / 2;
    let best = i, nearest = Infinity, line = null;
    for (let k = i + way; this.cells[k]; k += way) {
      const r = this.cells[k].ink.getBoundingClientRect();
      if (Math.abs(r.top - here.top) < r.height / 2) continue;
      line ??= r.top;
      if (Math.abs(r.top - line) > r.height / 2) break;
      const far = Math.abs((r.left + r.right) / 2 - x);
      if (far < nearest) [best, nearest] = [k, far];
    }
    return best;
  }
}
