/* A trace document, or the same pieces as they come, becomes frames as typed arrays. The format is told in model/trace_json.py. */

const STATES = ["prompt", "pinned", "mask", "noise", "committed", "settled", "taken_back", "after_end"];
const LETTERS = "PFmncste";
const [PROMPT, PINNED, MASK, NOISE, COMMITTED, SETTLED, TAKEN_BACK, AFTER_END] = STATES.keys();
const TOP = 3;
const isOpen = (state) => state === MASK || state === NOISE || state === TAKEN_BACK;

const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const bit = (bits, i) => (bits[i >> 3] >> (i & 7)) & 1;
const utf8 = new TextEncoder();

/** One run: header, pieces (id -> bytes), decoded frames, result. Feed it with `addPieces` and `addFrame`, or build it with `fromDocument`. */
class Run {
  constructor(header, reasons, id) {
    this.id = id || "";
    this.header = header;
    this.model = header.model;
    this.uniform = this.model.family === "uniform";
    this.board = this.model.view === "board";
    this.ar = header.mode === "ar" || this.model.family === "autoregressive";
    this.ends = new Set(this.model.eos_ids);
    this.reasons = reasons || {};
    this.pieces = new Map();
    this.frames = [];
    this.times = []; // seconds of every frame
    this.result = null;
    this.done = false;
    this.hasCandidates = false;
    this.seen = new Set(); // states that occur
  }

  static fromDocument(doc, id) {
    if (doc.format !== "text-diffusion-trace" || doc.version !== 1) throw new Error("this is not a trace of version 1");
    if (doc.states !== LETTERS) throw new Error("the trace names other states");
    const run = new Run(doc.header, doc.reasons, id);
    run.addPieces(doc.vocab);
    run.addPieces(doc.extra_vocab);
    doc.frames.forEach((data, i) => run.addFrame(data, doc.candidates ? doc.candidates[i] : undefined));
    run.result = doc.result;
    run.done = true;
    return run;
  }

  /** Return why a document cannot be shown, '' where it can. */
  static refusal(doc) {
    const positions = (doc?.frames || []).reduce?.((most, frame) => Math.max(most, frame?.l || 0), 0), frames = doc?.frames?.length;
    if (!Array.isArray(doc?.frames) || !frames) return "it has no steps";
    if (frames > 20_000 || frames * positions > 20_000_000) return "it has too many steps and positions";
    try {
      const { model, mode, prompt, settings } = doc.header;
      if (typeof model.id !== "string" || typeof mode !== "string" || typeof prompt !== "string" || typeof settings !== "object" || !Array.isArray(model.eos_ids)) return "its header is not a trace's";
      Run.fromDocument(doc, "check");
    } catch (error) {
      return error.constructor === Error ? error.message : "it is damaged"; // what the browser says of a wrong type helps nobody
    }
    return "";
  }

  addPieces(table) {
    for (const [id, piece] of Object.entries(table || {})) {
      this.pieces.set(Number(id), typeof piece === "string" ? utf8.encode(piece) : Uint8Array.from(piece));
    }
  }

  /** Append one frame; `guess` is its candidates: null where they are as before, undefined where the run has none. */
  addFrame(data, guess) {
    const before = this.frames[this.frames.length - 1];
    const length = data.l ?? (before ? before.ids.length : 0);
    if (!(length > 0)) throw new Error("a frame has no positions");
    const frame = this.age(before, length);
    (data.at || []).forEach((at, i) => {
      frame.ids[at] = data.id[i];
      frame.states[at] = LETTERS.indexOf(data.st[i]);
    });
    if (data.hp !== undefined) this.heat(frame, before, data);
    frame.index = this.frames.length;
    frame.step = data.n ?? before.step + 1;
    frame.block = data.b ?? before.block;
    frame.forwards = data.f ?? before.forwards + 1;
    [frame.start, frame.stop] = data.w ?? (before ? [before.start, before.stop] : [0, length]);
    frame.seconds = data.t;
    frame.forwardSeconds = data.u;
    frame.notes = data.x || {};
    frame.why = new Map();
    for (const [rule, bound, places, values] of data.why || []) {
      places.forEach((at, i) => frame.why.set(at, { rule, value: values[i], bound }));
    }
    frame.guesses = guess === undefined ? (before ? before.guesses : null) : this.candidates(before, guess, length);
    this.summarise(frame, before);
    this.frames.push(frame);
    this.times.push(frame.seconds);
    return frame;
  }

  /** The frame before with its one-step states aged, as writable arrays of `length` positions. */
  age(before, length) {
    const empty = this.uniform ? NOISE : MASK;
    const frame = { ids: new Int32Array(length).fill(-1), states: new Uint8Array(length).fill(empty),
      confidence: new Uint8Array(length), entropy: new Uint8Array(length) };
    if (!before) return frame;
    const n = Math.min(length, before.ids.length);
    for (const name of ["ids", "states", "confidence", "entropy"]) frame[name].set(before[name].subarray(0, n));
    for (let i = 0; i < n; i++) {
      if (frame.states[i] === COMMITTED) frame.states[i] = SETTLED;
      else if (frame.states[i] === TAKEN_BACK) {
        frame.states[i] = empty;
        if (empty === MASK) frame.ids[i] = -1;
      }
    }
    return frame;
  }

  heat(frame, before, data) {
    const length = frame.ids.length, places = [];
    const bits = data.hp === "*" ? null : bytesOf(data.hp);
    for (let i = 0; i < length; i++) {
      const usual = !before || i >= before.ids.length || isOpen(before.states[i]);
      if (bits ? bit(bits, i) : usual) places.push(i);
    }
    const values = bytesOf(data.hv);
    places.forEach((at, i) => {
      frame.confidence[at] = values[i];
      frame.entropy[at] = values[places.length + i];
    });
  }

  candidates(before, guess, length) {
    this.hasCandidates = true;
    if (guess === null && before && before.guesses && before.ids.length === length) return before.guesses;
    const out = { ids: new Int32Array(length * TOP).fill(-1), p: new Uint8Array(length * TOP) };
    if (guess === null) return out;
    const bits = bytesOf(guess.at), p = bytesOf(guess.p);
    for (let i = 0, k = 0; i < length; i++) {
      if (!bit(bits, i)) continue;
      out.ids.set(guess.ids.slice(k, k + TOP), i * TOP);
      out.p.set(p.subarray(k, k + TOP), i * TOP);
      k += TOP;
    }
    return out;
  }

  /** What the strips and the numbers show of a frame; `lost` maps a position to the token it had when it was taken back. */
  summarise(frame, before) {
    frame.open = frame.committed = frame.takenBack = 0;
    frame.lost = before ? before.lost : new Map();
    let sum = 0, count = 0;
    for (let i = 0; i < frame.states.length; i++) {
      const state = frame.states[i];
      this.seen.add(state);
      if (state === COMMITTED) frame.committed++;
      if (state === TAKEN_BACK) {
        frame.takenBack++;
        if (before && before.ids[i] >= 0 && !isOpen(before.states[i])) frame.lost = new Map(frame.lost).set(i, before.ids[i]);
      }
      if (isOpen(state)) frame.open++;
      if (this.ar ? state === COMMITTED : isOpen(state)) {
        count++;
        sum += this.nats(frame.entropy[i]);
      }
    }
    frame.meanEntropy = count && frame.forwards ? sum / count : null; // of undecided positions; left to right, of the token just written
    let planned = null;
    for (const { rule, bound } of frame.why.values()) if (rule === "schedule") planned = bound;
    frame.planned = planned;
  }

  /** One byte of entropy in nats. */
  nats(packed) {
    return (packed / 255) ** 2 * Math.log(Math.max(2, this.model.vocab_size));
  }

  /** How many of the positions [start, stop) a frame leaves undecided. */
  openBetween(frame, start, stop) {
    return frame.states.subarray(start, stop).filter(isOpen).length;
  }

  /** Why a position was decided or taken back in a frame, as a sentence; '' where nothing was recorded. */
  reason(frame, position) {
    const why = frame.why.get(position);
    if (!why) return "";
    const template = Object.hasOwn(this.reasons, why.rule) ? this.reasons[why.rule] : why.rule + " {v}, {b}";
    return template.replace("{v}", number(why.value)).replace("{b}", number(why.bound));
  }

  /** Position x frame as rows of 'confidence', 'entropy' (nats) or 'commit step'; null where there is nothing: behind the end, given words,
   *  blocks that no step has looked at yet. */
  grid(of) {
    const last = this.frames[this.frames.length - 1], rows = Array.from(last.ids, () => []), since = [];
    for (const frame of this.frames) {
      rows.forEach((row, i) => {
        const state = frame.states[i], open = state === undefined || isOpen(state);
        if (state === COMMITTED) since[i] = frame.step;
        else if (open) since[i] = undefined;
        const nothing = state === undefined || state === AFTER_END || state === PINNED || (open && (this.ar || i >= frame.stop)) || !frame.forwards;
        row.push(nothing ? null : of === "confidence" ? frame.confidence[i] / 255 : of === "entropy" ? this.nats(frame.entropy[i]) : since[i] ?? null);
      });
    }
    return rows;
  }

  /** Decided tokens up to and including the first end token. */
  answerIds(frame) {
    const out = [];
    for (let i = 0; i < frame.ids.length; i++) {
      if (frame.states[i] === AFTER_END) break;
      if (isOpen(frame.states[i]) || frame.ids[i] < 0) continue;
      out.push(frame.ids[i]);
      if (this.ends.has(frame.ids[i])) break;
    }
    return out;
  }

  /** How many of the answer's tokens a pass wrote: neither pinned nor given, nor on the canvas before the first pass and unchanged. */
  written(frame) {
    const first = this.frames[0], began = (i) => !first.forwards && !isOpen(first.states[i]) && first.ids[i] === frame.ids[i];
    let count = 0;
    for (let i = 0; i < frame.ids.length; i++) {
      if (frame.states[i] === AFTER_END) break;
      if (isOpen(frame.states[i]) || frame.ids[i] < 0) continue;
      if (frame.states[i] !== PROMPT && frame.states[i] !== PINNED && !(i < first.ids.length && began(i))) count++;
      if (this.ends.has(frame.ids[i])) break;
    }
    return count;
  }

  /** The decided text up to the first end token; `hole` stands for each undecided position. */
  text(frame, hole = "") {
    const out = [], gap = utf8.encode(hole);
    for (let i = 0; i < frame.ids.length; i++) {
      if (isOpen(frame.states[i])) out.push(...gap);
      else if (this.ends.has(frame.ids[i]) || frame.states[i] === AFTER_END) break;
      else out.push(...(this.pieces.get(frame.ids[i]) || []));
    }
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(out));
  }
}

const number = (x) => String(Number(Number(x).toPrecision(3)));
