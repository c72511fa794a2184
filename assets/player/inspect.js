/* Ask any token: what it is, how sure the model was, which rule decided it when, and what else it considered over the steps. */

const BESIDE = 304; // pixels that a card beside a board wants

class Inspector {
  constructor(card) {
    this.card = card;
    this.position = -1;
    this.pinned = false;
  }

  /** Everything the card says about a position in a frame; numbers as the frame has them. */
  facts(run, shapes, index, i) {
    const frame = run.frames[index];
    if (!frame || i < 0 || i >= frame.ids.length) return null;
    const state = frame.states[i], open = isOpen(state), id = state === TAKEN_BACK ? frame.lost.get(i) ?? frame.ids[i] : frame.ids[i];
    const events = [];
    for (const f of run.frames) {
      if (i >= f.ids.length) continue;
      const kind = f.states[i] === COMMITTED ? "committed" : f.states[i] === TAKEN_BACK ? "taken_back" : "";
      if (kind) events.push({ kind, index: f.index, step: f.step, id: kind === "committed" ? f.ids[i] : f.lost.get(i) ?? f.ids[i], p: f.confidence[i] / 255, entropy: run.nats(f.entropy[i]), reason: run.reason(f, i) });
    }
    const decided = events.filter((e) => e.kind === "committed" && e.index <= index).pop() || null;
    let seen = index;
    while (run.hasCandidates && seen > 0 && !(run.frames[seen].guesses && run.frames[seen].guesses.ids[i * TOP] >= 0)) seen--;
    const guesses = run.frames[seen].guesses, candidates = [];
    for (let k = i * TOP; guesses && k < (i + 1) * TOP; k++) {
      if (guesses.ids[k] >= 0) candidates.push({ id: guesses.ids[k], text: oneLine(shapes.alone(guesses.ids[k])), p: guesses.p[k] / 255 });
    }
    const guessing = open && candidates.length > 0 && seen === index;
    const shown = guessing ? candidates[0].id : id;
    return { position: i, state: STATES[state], id: shown, text: shown >= 0 ? oneLine(shapes.alone(shown)) : "", guessing, p: frame.confidence[i] / 255, entropy: run.nats(frame.entropy[i]),
      events, decided, candidates, candidatesStep: run.frames[seen].step, candidatesNow: seen === index, known: frame.forwards > 0 || !open, course: this.course(run, shapes, i) };
  }

  /** The position's favourite over the steps, equal neighbours together: [{from, to, text, p, open}]. */
  course(run, shapes, i) {
    const out = [];
    for (const f of run.frames) {
      if (i >= f.ids.length || f.states[i] === AFTER_END) continue;
      const open = isOpen(f.states[i]), id = open ? (f.guesses ? f.guesses.ids[i * TOP] : -1) : f.ids[i];
      const last = out[out.length - 1];
      if (id < 0) continue;
      if (last && last.id === id && last.open === open) Object.assign(last, { to: f.step, p: f.confidence[i] / 255 });
      else out.push({ from: f.step, to: f.step, id, open, p: f.confidence[i] / 255, text: oneLine(shapes.alone(id)) });
    }
    return out;
  }

  show(run, shapes, index, i) {
    const facts = this.facts(run, shapes, index, i);
    if (!facts) return this.hide();
    this.position = i;
    const head = make("p", "ib-card-head"), word = make("span", "ib-card-token");
    tokenInto(word, facts.text);
    const label = facts.guessing ? "today\u2019s guess" : facts.id >= 0 ? "token" : "";
    head.append(word, make("span", "ib-card-id", run.board ? [label === "token" ? "" : label, place(run, i)].filter(Boolean).join(", ") : `${label}${facts.id >= 0 ? " " + facts.id + ", " : ""}${place(run, i)}`));
    const state = make("p", "ib-card-state", sentence(facts, run));
    const about = make("div", "ib-card-about"), lost = facts.events.filter((e) => e.kind === "taken_back");
    about.append(head, state, this.numbers(facts), this.spark(run, i, index));
    for (const e of lost.slice(-2)) about.append(make("p", "ib-card-back", `Step ${e.step}: \u201c${oneLine(shapes.alone(e.id))}\u201d ${e.reason || "taken back"}`));
    if (lost.length > 2) about.append(make("p", "ib-card-back", `and ${lost.length - 2} times before`));
    this.card.replaceChildren(about, this.table(facts));
    this.card.hidden = false;
    return facts;
  }

  numbers(facts) {
    const list = make("dl", "ib-card-numbers");
    const add = (name, value) => list.append(make("dt", "", name), make("dd", "", value));
    const at = facts.decided && facts.state !== "mask" && facts.state !== "noise" ? facts.decided : facts;
    if (facts.known && facts.state !== "after_end") {
      add("probability", at.p.toFixed(2));
      add("entropy", at.entropy.toFixed(2) + " nats");
    }
    return list;
  }

  /** Probability over the steps, with the playhead. */
  spark(run, i, index) {
    const n = Math.max(1, run.frames.length - 1), at = (f) => `${f.index} ${1 - f.confidence[i] / 255}`;
    const svg = svgMake("svg", { class: "ib-spark", viewBox: `0 -0.06 ${n} 1.12`, preserveAspectRatio: "none", role: "img", "aria-label": "probability over the steps" });
    const frames = run.frames.filter((f) => i < f.ids.length && f.states[i] !== AFTER_END);
    const when = frames.filter((f) => f.states[i] === COMMITTED).map((f) => `M${f.index} 0V1`).join("");
    paths(svg, { line: frames.map((f, k) => (k ? "L" : "M") + at(f)).join(""), decided: when, now: `M${index} -0.06V1.06` });
    return svg;
  }

  table(facts) {
    const box = make("div", "ib-card-tables");
    if (facts.candidates.length) {
      const title = facts.candidatesNow ? "Candidates now" : `Candidates at step ${facts.candidatesStep}, when last open`;
      box.append(rows(title, facts.candidates.map((c) => [c.text, c.p.toFixed(2), c.p])));
    }
    const course = facts.course.slice(-6);
    if (course.length > 1) {
      const steps = (c) => (c.from === c.to ? `${c.from}` : `${c.from}\u2013${c.to}`);
      box.append(rows("Favourite over the steps", course.map((c) => [c.text, `${steps(c)}${c.open ? "" : " \u2713"}`, c.p])));
    }
    return box;
  }

  /** Dock the card under the text and the buttons, over the strips; beside a board where there is room. It covers no word that is in view
   *  unless the view is too low for both: then it keeps clear of the one that was asked. */
  place(cell, root) {
    const r = root.getBoundingClientRect(), c = cell.getBoundingClientRect(), card = this.card;
    const board = cell.closest(".ib-board .ib-text"), side = board && board.getBoundingClientRect();
    const beside = side && side.left - r.left > 0.7 * BESIDE;
    card.classList.toggle("ib-beside", Boolean(beside));
    const w = card.offsetWidth, h = card.offsetHeight;
    if (beside) { // away from the cell, so that most of the board stays in sight
      const left = c.left + c.right < side.left + side.right;
      card.style.left = (left ? Math.min(side.right - r.left + 12, r.width - w - 4) : Math.max(4, side.left - r.left - w - 12)) + "px";
      card.style.top = Math.max(side.top, Math.min(c.top, side.bottom - h)) - r.top + "px";
      return;
    }
    const edge = (name, at) => [root.querySelector(name)].filter((e) => e && e.offsetHeight).map((e) => e.getBoundingClientRect()[at])[0];
    const dock = edge(".ib-strips", "top") ?? edge(".ib-transport", "bottom") ?? edge(".ib-paper", "bottom") ?? c.bottom;
    const top = Math.max(Math.min(dock, window.innerHeight - h - 4), Math.min(c.bottom + 4, dock));
    card.style.left = "0";
    card.style.top = top - r.top + "px";
  }

  hide() {
    this.card.hidden = true;
    this.position = -1;
    this.pinned = false;
    return null;
  }
}

/** One sentence on where a position stands. */
function sentence(facts, run) {
  const { state, decided } = facts, step = decided ? decided.step : 0, why = decided && decided.reason ? `: ${decided.reason}` : "";
  const verb = run.ar ? "Written" : run.uniform ? "Accepted" : "Committed";
  if (state === "committed" || state === "settled") return decided ? `${verb} in step ${step}${why}.` : "Decided.";
  if (state === "taken_back") return run.uniform ? "Un-accepted in this step." : "Taken back in this step.";
  if (state === "pinned") return run.board ? "Given in the puzzle." : "Pinned: it was given and may not change.";
  if (state === "prompt") return "Part of the given text.";
  if (state === "after_end") return "Behind the end of the text: computed, but not part of it.";
  if (state === "noise") return "Noise: the model holds a random token here until it accepts one.";
  return run.ar ? "Not reached yet." : run.board ? "Empty: not decided yet." : "Mask: not decided yet.";
}

/** The card in words, for a screen reader. */
function spoken(facts, run) {
  const numbers = facts.known && facts.state !== "after_end" ? ` Probability ${facts.p.toFixed(2)}, entropy ${facts.entropy.toFixed(2)} nats.` : "";
  const others = facts.guessing ? ` Candidates: ${facts.candidates.map((c) => `${c.text} ${c.p.toFixed(2)}`).join(", ")}.` : "";
  return `${place(run, facts.position).replace(/^./, (c) => c.toUpperCase())}: ${facts.text || "nothing"}${facts.guessing ? ", a guess" : ""}. ${sentence(facts, run)}${numbers}${others}`;
}

/** A small table of [text, note, share in 0..1]. */
function rows(title, lines) {
  const table = make("table", "ib-rows");
  table.append(make("caption", "", title));
  for (const [text, note, share] of lines) {
    const row = make("tr"), word = make("th"), bar = make("td", "ib-rows-bar");
    word.scope = "row";
    tokenInto(word, text);
    bar.style.setProperty("--p", share.toFixed(2));
    row.append(word, bar, make("td", "ib-rows-note", note));
    table.append(row);
  }
  return table;
}

/** A token in a list: the spaces around it faintly marked. */
function tokenInto(element, text) {
  const [, before, core, after] = /^( *)([^]*?)( *)$/.exec(text || "\u2013");
  const space = (n) => (n ? [make("i", "ib-space", "\u2423".repeat(n))] : []);
  element.replaceChildren(...space(before.length), core, ...space(after.length));
}
