/* The run in numbers, by their right names, each with a sentence on what it means; and the legend of the states that occur. */

const TERMS = {
  forwards: ["Forward passes", "How often the network ran so far: prefill, encoder, guidance and store passes all count."],
  perForward: ["Tokens per forward", "Tokens written, up to and including the end token, divided by forward passes. What was given or pinned does not count. Left to right it is 1 at most."],
  rate: ["Tokens/s", "Tokens written, up to and including the end token, divided by the seconds of computing. Drawing and waiting do not count."],
  spent: ["Spent after the end", "Positions that were decided behind the end of the text: computed, but not part of the answer."],
  first: ["First frame", "Seconds of computing until the first forward pass could be shown."],
  why: ["Ended", "When the run ended, and why there."],
};

/** The numbers of a run as of a frame; at the end they are the result's own. */
function measure(run, frame) {
  const last = frame.index === run.frames.length - 1, result = last && run.result;
  const tokens = result ? result.tokens - (result.given || 0) : run.written(frame);
  const forwards = result ? result.forwards : frame.forwards, seconds = result ? result.seconds : frame.seconds;
  const first = run.result ? run.result.first_frame_seconds : (run.frames.find((f) => f.forwards) || { seconds: null }).seconds;
  let spent = 0;
  for (let i = 0; i < frame.ids.length; i++) if (frame.states[i] === AFTER_END && frame.ids[i] >= 0) spent++;
  return { tokens, forwards, seconds, first, spent: result ? result.after_end : spent, perForward: forwards ? tokens / forwards : null,
    rate: seconds > 0 ? tokens / seconds : null, why: run.result ? (last ? "" : `in step ${run.frames[run.frames.length - 1].step}: `) + run.result.why : run.halted ? "you stopped it" : run.done ? "not recorded" : "not yet" };
}

class Numbers {
  constructor(box, prefix) {
    this.values = {};
    for (const [key, [name, meaning]] of Object.entries(TERMS)) {
      const item = make("div", "ib-number ib-number-" + key), term = make("dt"), button = make("button", "ib-term", name), tip = make("span", "ib-tip", meaning);
      button.type = "button";
      tip.id = `${prefix}-${key}`;
      tip.setAttribute("role", "tooltip");
      button.setAttribute("aria-describedby", tip.id);
      term.append(button, tip);
      this.values[key] = make("dd");
      item.append(term, this.values[key]);
      box.append(item);
    }
  }

  update(run, frame) {
    const m = measure(run, frame), { device, dtype, hardware } = run.header, where = [hardware || device, dtype].filter(Boolean).join(", ");
    this.set("forwards", m.forwards);
    this.set("perForward", m.perForward === null ? "\u2013" : m.perForward.toFixed(2), `${m.tokens} tokens`);
    this.set("rate", m.rate === null ? "\u2013" : m.rate >= 100 ? Math.round(m.rate) : m.rate.toFixed(1), where);
    this.set("spent", m.spent, m.spent === 1 ? "position" : "positions");
    this.set("first", m.first === null ? "\u2013" : seconds(m.first));
    this.set("why", m.why);
  }

  set(key, value, note) {
    const text = String(value) + "\u0000" + (note || "");
    const dd = this.values[key];
    if (dd.ibText === text) return;
    dd.ibText = text;
    dd.replaceChildren(make("b", "", String(value)));
    if (note) dd.append(" ", make("small", "", note));
  }
}

const seconds = (s) => (s < 1 ? Math.round(s * 1000) + " ms" : s < 10 ? s.toFixed(2) + " s" : s.toFixed(1) + " s");

/** What each state is called on this model's page; noise never reads mask. */
function stateName(state, run) {
  const names = { prompt: "given text", pinned: "pinned", mask: "mask, undecided", noise: "noise, undecided", committed: "committed in this step", settled: "settled",
    taken_back: "taken back in this step", after_end: "after the end" };
  if (run.uniform) Object.assign(names, { committed: "accepted in this step", taken_back: "un-accepted in this step" });
  if (run.ar) Object.assign(names, { committed: "written in this step" });
  if (run.board) Object.assign(names, { pinned: "given", mask: "empty: the likeliest digits, pencilled in" });
  return names[state];
}

class Legend {
  constructor(box) {
    this.box = box;
    this.shown = "";
  }

  /** List the states that occur. */
  update(run) {
    const seen = new Set(run.seen);
    if (run.ar) (seen.delete(MASK), seen.delete(NOISE));
    const codes = [...seen].sort(), key = codes.join();
    if (key === this.shown) return;
    this.shown = key;
    this.box.replaceChildren();
    for (const code of codes) this.add(STATES[code], stateName(STATES[code], run), code === AFTER_END ? "" : run.board ? "5" : "word", run.board);
    this.add("gauge", "line: probability", run.board ? "5" : "word", run.board);
    if (run.board) this.add("clash", "clashes with another", "5", true);
    if (seen.has(AFTER_END)) this.add("end", "end of the text", "");
  }

  add(state, name, word, board) {
    const item = make("li"), cell = make("span", "ib-cell ib-sample"), ink = make("span", "ib-ink"), base = make("span", "ib-base", state === "mask" || state === "noise" ? "\u00a0\u00a0\u00a0\u00a0\u00a0" : word || "\u00a0");
    cell.dataset.s = state === "gauge" ? "settled" : state;
    ink.dataset.k = state === "after_end" ? "after" : state === "end" ? "end" : "text";
    ink.dataset.o = "";
    ink.style.setProperty("--p", state === "gauge" ? "0.5" : state === "mask" || state === "noise" ? "0.4" : "1");
    cell.setAttribute("aria-hidden", "true");
    if (state === "clash") (cell.dataset.s = "settled"), cell.classList.add("ib-clash");
    ink.append(base);
    if (board && state === "mask") {
      base.textContent = "";
      for (const [digit, p] of [["1", 0.7], ["6", 0.2]]) pencil(ink.appendChild(make("i", "ib-mark")), [digit, p]);
    }
    cell.append(ink);
    item.append(cell, make("span", "", name));
    this.box.append(item);
  }
}
