/* Hands on the canvas: select words, erase, pin, retype or replace them, undo, and go on from the step in view; stop a run to do so.
   Edits are kept by position as [start, stop); nothing is changed here but what is drawn over the cells. The page is told by `options.go`. */

const DEEDS = { erase: "erased", pin: "pinned", type: "typed", put: "chosen" };
const ENDED_EARLY = ["cancelled", "deadline", "error"];
const BAR = `
<div class="ib-bar" role="toolbar" aria-label="Change the selected words" hidden>
  <button type="button" data-hand="wider-back" aria-label="Select one more before" title="One more before">\u25c2</button>
  <button type="button" data-hand="wider" aria-label="Select one more after" title="One more after (Shift and right arrow)">\u25b8</button>
  <button type="button" data-hand="erase" title="Undecided again (E)">Erase</button>
  <button type="button" data-hand="pin" title="Never changes (P)">Pin</button>
  <button type="button" data-hand="type" title="Words of your own (T)">Type\u2026</button>
  <button type="button" data-hand="others" title="What else the model considered here (A)">Others</button>
  <form class="ib-bar-type" hidden><input type="text" maxlength="200" aria-label="Words to put here" autocomplete="off" spellcheck="false"><button type="submit">Put</button></form>
  <div class="ib-bar-others" role="group" aria-label="Candidates of this step" hidden></div>
</div>`;
const PLAN = `
<div class="ib-revise" hidden>
  <span class="ib-revise-words" role="status"></span>
  <label><input type="checkbox" class="ib-revise-keep"> keep all other words</label>
  <button type="button" class="ib-revise-go" data-hand="go" title="G"></button>
  <button type="button" class="ib-revise-pause" data-hand="pause" title="Then words can be changed, and it goes on from there" hidden>Stop computing here</button>
  <button type="button" data-hand="undo" title="Ctrl+Z">Undo</button>
  <button type="button" data-hand="redo" title="Ctrl+Shift+Z">Redo</button>
  <button type="button" data-hand="drop">Discard</button>
</div>`;

class Hands {
  constructor(player, { go, halt }) {
    Object.assign(this, { player, go, pause: halt, said: "", edits: [], past: [], future: [], start: -1, stop: -1, drawn: [], last: 0, tuned: false });
    this.bar = player.$("bar");
    this.plan = player.$("revise");
    for (const box of [this.bar, this.plan]) box.addEventListener("click", (event) => this.press(event));
    this.bar.querySelector("form").addEventListener("submit", (event) => (event.preventDefault(), this.typed()));
    this.bar.addEventListener("keydown", (event) => {
      if (event.key === "Escape") (event.preventDefault(), this.fold(), player.$("text").focus());
      event.stopPropagation();
    });
    this.chosen = () => this.fromText();
    document.addEventListener("selectionchange", this.chosen);
  }

  destroy() {
    document.removeEventListener("selectionchange", this.chosen);
  }

  /** Whether the words of this run can be changed: not while it is written, and not on a board or a race's lane. */
  get able() {
    const { run, live } = this.player;
    return Boolean(run && !live && !run.board && run.frames.length);
  }

  /** A selection of text over several words becomes a selection of these words. */
  fromText() {
    const picked = document.getSelection(), text = this.player.$("text");
    if (!this.able || !picked || picked.isCollapsed || !text.contains(picked.anchorNode) || !text.contains(picked.focusNode)) return;
    const at = (node) => Number((node.nodeType === 1 ? node : node.parentElement).closest(".ib-cell")?.dataset.i ?? -1);
    const ends = [at(picked.anchorNode), at(picked.focusNode)].sort((a, b) => a - b);
    if (ends[0] >= 0 && ends[1] > ends[0]) this.select(ends[0], ends[1] + 1);
  }

  /** Select [start, stop); nothing where start is negative. */
  select(start, stop) {
    for (let i = this.start; i >= 0 && i < this.stop; i++) this.player.canvas.cells[i]?.el.classList.remove("ib-selected");
    const cells = this.able ? this.player.canvas.cells : [];
    this.start = Math.max(-1, Math.min(start, cells.length - 1));
    this.stop = Math.min(stop, cells.length);
    if (this.start < 0 || this.stop <= this.start) return this.hide();
    for (let i = this.start; i < this.stop; i++) cells[i].el.classList.add("ib-selected");
    this.fold();
    this.bar.hidden = false;
    this.bar.querySelector('[data-hand="others"]').hidden = this.stop - this.start > 1 || !this.others().length;
    this.bar.querySelector('[data-hand="pin"]').disabled = !this.stands();
    this.place();
  }

  hide() {
    this.start = this.stop = -1;
    this.bar.hidden = true;
  }

  fold() {
    this.bar.querySelector("form").hidden = this.bar.querySelector(".ib-bar-others").hidden = true;
  }

  /** Over the first selected word, inside the canvas. */
  place() {
    const ink = this.player.canvas.cells[this.start].ink, width = this.bar.offsetWidth, room = this.player.$("stage").clientWidth;
    this.bar.style.left = Math.max(0, Math.min(ink.offsetLeft - 6, room - width)) + "px";
    this.bar.style.top = ink.offsetTop - this.bar.offsetHeight - 6 + "px";
  }

  /** Whether a word stands at every selected position. */
  stands() {
    const { frame } = this.player;
    for (let i = this.start; i < this.stop; i++) if (isOpen(frame.states[i]) || frame.states[i] === AFTER_END) return false;
    return true;
  }

  others() {
    const { player } = this, facts = player.inspector.facts(player.run, player.canvas.shapes, player.index, this.start);
    return facts ? facts.candidates : [];
  }

  // ---------------------------------------------------------------- deeds
  press(event) {
    const button = event.target.closest("[data-hand], [data-put]");
    if (!button) return;
    event.stopPropagation();
    if (button.dataset.put) return this.change("put", { id: Number(button.dataset.put), text: button.dataset.word });
    this.act(button.dataset.hand);
  }

  act(hand) {
    if (hand === "wider") this.select(this.start, this.stop + 1);
    else if (hand === "wider-back") this.select(Math.max(0, this.start - 1), this.stop);
    else if (hand === "erase") this.change("erase");
    else if (hand === "pin" && this.stands()) this.change("pin");
    else if (hand === "type") this.ask();
    else if (hand === "others") this.offer();
    else if (hand === "undo") this.turn(this.past, this.future);
    else if (hand === "redo") this.turn(this.future, this.past);
    else if (hand === "drop") this.clear();
    else if (hand === "go") this.send();
    else if (hand === "pause") this.pause();
  }

  ask() {
    this.fold();
    const form = this.bar.querySelector("form"), field = form.querySelector("input");
    form.hidden = false;
    field.value = "";
    this.place();
    field.focus();
  }

  typed() {
    const text = this.bar.querySelector("input").value.trim();
    if (text) this.change("type", { text });
    this.player.$("text").focus();
  }

  offer() {
    this.fold();
    const box = this.bar.querySelector(".ib-bar-others");
    box.replaceChildren(...this.others().map(({ id, text, p }) => {
      const button = make("button", "", `${text.trim() || text} ${p.toFixed(2)}`);
      button.type = "button";
      Object.assign(button.dataset, { put: id, word: text });
      return button;
    }));
    box.hidden = false;
    this.place();
    box.querySelector("button")?.focus();
  }

  /** Note an edit of what is selected; what it lies over is replaced. */
  change(doing, more = {}) {
    if (this.start < 0) return;
    this.past.push(this.edits);
    this.future = [];
    const { start, stop } = this;
    this.edits = [...this.edits.filter((e) => e.at[1] <= start || e.at[0] >= stop), { at: [start, stop], do: doing, ...more }].sort((a, b) => a.at[0] - b.at[0]);
    this.step = this.step ?? this.player.index;
    this.last = stop; // where the arrows begin again
    document.getSelection()?.removeAllRanges();
    this.select(-1, -1);
    this.player.unask();
    this.draw();
  }

  turn(from, to) {
    if (!from.length) return;
    to.push(this.edits);
    this.edits = from.pop();
    this.draw();
  }

  clear() {
    Object.assign(this, { edits: [], past: [], future: [], step: undefined, tuned: false });
    this.select(-1, -1);
    this.draw();
  }

  /** Draw the edits over the cells, and say what they come to. */
  draw() {
    if (!this.player.canvas) return;
    for (const undo of this.drawn) undo();
    this.drawn = [];
    for (const edit of this.edits) this.overlay(edit);
    const counts = Object.keys(DEEDS).map((name) => [this.edits.filter((e) => e.do === name).reduce((sum, e) => sum + e.at[1] - e.at[0], 0), DEEDS[name]]).filter(([n]) => n);
    this.said = counts.map(([n, word]) => `${n} ${word}`).join(", ");
    for (const [name, has] of [["undo", this.past], ["redo", this.future]]) this.plan.querySelector(`[data-hand="${name}"]`).disabled = !has.length;
    this.plans();
  }

  /** Whether this run was stopped before its end, so that it can go on as it is. */
  get stopped() {
    return this.able && Boolean(this.player.document) && ENDED_EARLY.includes(this.player.run.result?.stopped);
  }

  /** Knobs were moved by hand, {name: value}: where they differ from this run's, it can go on with them from an earlier step. */
  tune(model, knobs) {
    const { run } = this.player, own = run && run.model.id === model ? run.header.settings : {};
    this.tuned = Object.keys(own).some((name) => name !== "new_tokens" && knobs[name] != null && String(knobs[name]) !== String(own[name]));
    this.plans();
  }

  /** Whether there is something to go on with: edits, a run that was stopped, or other knobs at a step before the last. */
  get goes() {
    return Boolean(this.edits.length) || this.stopped || (this.able && this.tuned && Boolean(this.player.document) && this.player.index < this.player.length - 1);
  }

  /** What can be done now: stop a run that is looked at while it is written, go on with one that was stopped or changed. */
  plans() {
    const { player, plan } = this, part = (name) => plan.querySelector(name), edited = Boolean(this.edits.length || this.past.length || this.future.length);
    const paused = Boolean(this.pause && player.live && !player.follow && !player.waiting && !player.clock.playing), open = edited || paused || this.goes;
    plan.hidden = !open;
    if (!open) return;
    part('[data-hand="pause"]').hidden = !paused;
    part('[data-hand="go"]').hidden = paused;
    part('[data-hand="go"]').disabled = !this.goes;
    for (const name of ["undo", "redo", "drop"]) part(`[data-hand="${name}"]`).hidden = !edited || paused;
    part("label").hidden = !this.edits.length || paused;
    const words = paused ? "It is still being written." : edited ? this.said : this.stopped && !this.tuned ? "Stopped: change words, or go on as it is." : "Knobs changed.";
    if (part(".ib-revise-words").textContent !== words) part(".ib-revise-words").textContent = words;
    part(".ib-revise-go").textContent = `Go on from step ${player.run?.frames[this.step ?? player.index]?.step ?? 0}`;
  }

  overlay({ at: [start, stop], do: doing, text }) {
    for (let i = start; i < stop; i++) {
      const cell = this.player.canvas.cells[i];
      if (!cell) continue;
      cell.el.dataset.h = doing;
      cell.el.setAttribute("aria-description", DEEDS[doing]);
      this.drawn.push(() => (delete cell.el.dataset.h, cell.el.removeAttribute("aria-description")));
      if (i > start || !text) continue;
      const chip = make("span", "ib-typed", text.trim());
      cell.ink.before(chip);
      this.drawn.push(() => chip.remove());
    }
  }

  /** Keys on the canvas; true where one meant something here. */
  key(event, active) {
    if (!this.able) return false;
    const { key, shiftKey, ctrlKey, metaKey } = event, undo = (ctrlKey || metaKey) && key.toLowerCase() === "z";
    if (undo && (this.past.length || this.future.length)) this.act(shiftKey ? "redo" : "undo");
    else if (ctrlKey || metaKey) return false;
    else if (shiftKey && (key === "ArrowRight" || key === "ArrowLeft")) this.stretch(key === "ArrowRight" ? 1 : -1, active);
    else if ((key === "g" || key === "G") && this.goes) this.send();
    else if (key === "Escape" && this.start >= 0) this.select(-1, -1);
    else if ("eptaEPTA".includes(key) && key.length === 1 && (this.start >= 0 || active >= 0)) {
      if (this.start < 0) this.select(active, active + 1);
      this.act({ e: "erase", p: "pin", t: "type", a: "others" }[key.toLowerCase()]);
    } else return false;
    return true;
  }

  stretch(way, active) {
    if (this.start < 0) this.select(Math.max(0, active), Math.max(0, active) + 1);
    else if (way > 0) this.select(this.start, this.stop + 1);
    else if (this.stop - this.start > 1) this.select(this.start, this.stop - 1);
    else this.select(Math.max(0, this.start - 1), this.stop);
  }

  send() {
    if (!this.goes) return;
    const edits = this.edits.map(({ text, ...edit }) => (edit.do === "type" ? { ...edit, text } : edit));
    this.go({ step: this.step ?? this.player.index, edits, keep: this.plan.querySelector(".ib-revise-keep").checked, words: this.said || (this.tuned ? "other knobs" : "") });
  }
}
