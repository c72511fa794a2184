/* mountPlayer(element, options): one player for live runs, recordings, races and exported files.

   options: trace (a document) or message (a wire message), autoplay, loop, even (even steps instead of the run's own seconds), speed,
   theme ('light' or 'dark'), globalKeys (keys work wherever the focus is, outside of fields), controls, strips, numbers, legend, prompt, title, inspector (false hides each), pick (called with a chosen token), go (called with edits to go on with; without it words cannot be changed), halt (stops a live run).
   The player: load(document), receive(message), seek(index), step(by), play(), pause(), seekSeconds(s), seekForwards(n), durationSeconds,
   durationForwards, index, length, frame, run, destroy(). Events on the element: ib-frame, ib-play, ib-pause, ib-end, ib-pick. */

let players = 0;

const LAYOUT = `
<div class="ib-player" role="region" aria-label="Text as it is denoised" tabindex="-1">
  <header class="ib-title"><span class="ib-model"></span><span class="ib-badges"></span></header>
  <div class="ib-paper">
    <div class="ib-prompt"><span class="ib-prompt-word">Prompt</span><p dir="auto"></p></div>
    <p class="ib-notice" role="status" hidden></p>
    <div class="ib-stage"><svg class="ib-outline" aria-hidden="true"></svg><div class="ib-text" role="listbox" tabindex="0" aria-orientation="horizontal" aria-label="Canvas"></div>${BAR}</div>
    <p class="ib-verdict" hidden></p>
    <p class="ib-empty">The canvas is empty.</p>${PLAN}
  </div>
  <div class="ib-transport">
    <div class="ib-buttons">
      <button type="button" class="ib-b" data-do="home" aria-label="First step" title="First step (Home)"><svg viewBox="0 0 16 16"><path d="M3 3v10M13 3 6 8l7 5z"/></svg></button>
      <button type="button" class="ib-b" data-do="back" aria-label="Step back" title="Step back (left arrow)"><svg viewBox="0 0 16 16"><path d="M11.5 3 4.5 8l7 5z"/></svg></button>
      <button type="button" class="ib-b ib-play" data-do="play" aria-label="Play" title="Play or pause (space)"><svg viewBox="0 0 16 16"><path class="ib-i-play" d="M4 2.5v11L13.5 8z"/><path class="ib-i-pause" d="M4 3h2.6v10H4zM9.4 3H12v10H9.4z"/></svg></button>
      <button type="button" class="ib-b" data-do="forward" aria-label="Step forward" title="Step forward (right arrow)"><svg viewBox="0 0 16 16"><path d="m4.5 3 7 5-7 5z"/></svg></button>
      <button type="button" class="ib-b" data-do="end" aria-label="Last step" title="Last step (End)"><svg viewBox="0 0 16 16"><path d="M13 3v10M3 3l7 5-7 5z"/></svg></button>
    </div>
    <div class="ib-pace">
      <select class="ib-speed" aria-label="Speed"></select>
      <select class="ib-clock" aria-label="Clock" title="As it comes: every frame as soon as it is there. Real time: in the run's own seconds. Even steps: every step the same time."><option value="live">as it comes</option><option value="real">real time</option><option value="even">even steps</option></select>
      <button type="button" class="ib-b" data-do="full" aria-label="Full screen" title="Full screen (f)"><svg viewBox="0 0 16 16"><path d="M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4"/></svg></button>
    </div>
  </div>
  <div class="ib-timeline">
    <output class="ib-caption ib-step" aria-live="off"></output>
    <input type="range" class="ib-slider" min="0" max="0" value="0" step="1" aria-label="Step">
    <div class="ib-strips"></div>
  </div>
  <dl class="ib-numbers"></dl>
  <ul class="ib-legend" aria-label="What the marks mean"></ul>
  <div class="ib-card" role="note" aria-label="The chosen token" hidden></div>
  <p class="ib-sr" aria-live="polite"></p>
</div>`;

class Player {
  constructor(host, options) {
    this.host = host;
    this.options = { controls: true, strips: true, numbers: true, legend: true, prompt: true, title: true, inspector: true, ...options };
    host.innerHTML = LAYOUT; // our own constant text: nothing of a run ever passes through here
    this.root = host.querySelector(".ib-player");
    this.$ = (name) => this.root.querySelector(".ib-" + name);
    this.id = "ib" + ++players;
    this.$("text").id = this.id;
    for (const [option, name] of [["controls", "transport"], ["controls", "slider"], ["strips", "strips"], ["numbers", "numbers"], ["legend", "legend"], ["prompt", "prompt"], ["title", "title"]]) {
      this.$(name).hidden = !this.options[option];
    }
    this.clock = new Clock({ times: () => (this.run ? this.run.times : []), show: (k) => this.show(k), changed: () => this.playing(), ended: () => this.ended() });
    this.clock.speed = this.options.speed || 1;
    this.pace(this.options.even ? "even" : "live");
    this.strips = new Strips(this.$("strips"), (k) => this.go(k));
    this.numbers = new Numbers(this.$("numbers"), this.id);
    this.inspector = new Inspector(this.$("card"));
    this.hands = this.options.go ? new Hands(this, this.options) : null;
    this.quiet = matchMedia("(prefers-reduced-motion: reduce)");
    this.index = -1;
    wire(this);
    this.follow = true;
    this.root.classList.add("ib-blank");
    host.__player = this.root.__player = this;
    if (this.options.trace) this.load(this.options.trace);
    else if (this.options.message) this.receive(this.options.message);
  }

  // ---------------------------------------------------------------- runs
  /** Show a whole trace document. */
  load(document) {
    this.receive({ run: "document", trace: document, done: true, play: this.options.autoplay });
  }

  /** Return why a document cannot be shown, '' where it can. */
  accepts(doc) {
    return Run.refusal(doc);
  }

  /** Take a wire message: pieces of a live run, or a whole one. A new run id resets everything. */
  receive(message) {
    try {
      if (message.trace) this.whole(message);
      else this.pieces(message);
    } catch (error) {
      this.empty("This run cannot be shown: " + error.message + ".");
      console.warn(error);
    }
  }

  whole({ run: id, trace, play }) {
    const doc = typeof trace === "string" ? JSON.parse(trace) : trace;
    const run = Run.fromDocument(doc, id), same = this.run && this.run.id === id && this.run.header && this.live;
    if (!run.frames.length) return this.empty("This run has no steps.");
    this.document = doc;
    const index = this.index, following = this.follow;
    this.live = false;
    this.reset(run, same);
    this.newest(run.frames[run.frames.length - 1]);
    const still = this.quiet.matches || !play;
    if (same && this.waiting) this.goOn();
    else if (same && !following) this.show(Math.min(index, this.length - 1));
    else this.show(same || still ? this.length - 1 : 0);
    if (!same && !still) this.play();
  }

  pieces(message) {
    if (!message.run) return message.done && this.halt();
    const fresh = !this.run || this.run.id !== message.run;
    if (fresh && !message.header) return; // its beginning was missed: the last message brings everything
    if (fresh) {
      this.live = true;
      this.document = null; // until the last message brings it
      this.reset(new Run(message.header, message.reasons, message.run), false);
      this.waiting = this.paced !== "live" && !this.quiet.matches;
      this.follow = !this.waiting;
    }
    const run = this.run;
    if (run.done || (message.from || 0) > run.frames.length) return;
    run.addPieces(message.vocab);
    const skip = run.frames.length - (message.from || 0);
    (message.frames || []).forEach((data, i) => {
      if (i >= skip) run.addFrame(data, message.candidates ? message.candidates[i] : undefined);
    });
    if (message.result) run.result = message.result;
    if (message.done) (run.done = true), (this.live = false);
    if (run.frames.length) this.soon();
  }

  /** The run was stopped: nothing more will come, what came stays. */
  halt() {
    if (!this.run || !this.live) return;
    this.run.done = true;
    this.run.halted = true;
    this.live = false;
    this.newest(this.run.frames[this.length - 1]);
    this.show(Math.max(0, this.index));
  }

  /** Draw what has come in at most once a screen frame. */
  soon() {
    if (this.due) return;
    this.due = requestAnimationFrame(() => {
      this.due = 0;
      this.newest(this.run.frames[this.length - 1]);
      if (this.waiting) this.goOn();
      else if (this.follow && !this.clock.playing) this.show(this.length - 1);
      else this.position();
    });
  }

  /** Show frames by a clock: 'live', 'real' or 'even'. */
  pace(clock) {
    this.paced = this.$("clock").value = clock;
    this.clock.setEven(clock === "even");
  }

  /** A run that goes on was shown as far as it had come: play what has come since. */
  goOn() {
    if (this.index < 0) this.show(0);
    if (this.index >= this.length - 1) return;
    this.waiting = false;
    this.clock.play();
  }

  reset(run, same) {
    if (this.due) cancelAnimationFrame(this.due);
    this.due = 0;
    this.run = run;
    if (!same) {
      this.clock.pause();
      this.inspector.hide();
      this.follow = true;
      this.waiting = false;
      const whole = run.model.canvas && run.model.family === "masked"; // a few steps over all of the canvas
      if (!this.chose) this.pace(whole || this.options.even ? "even" : "live");
      this.clock.gap = Math.min(SLOW, Math.max(EVEN, LASTS / (run.frames.length || (whole && !run.ar ? 1 : Infinity))));
    }
    this.index = -1;
    if (same) this.canvas.run = this.canvas.shapes.run = run;
    else this.canvas = new (run.board ? Board : Canvas)(this.$("text"), this.$("outline"), run);
    this.root.classList.remove("ib-blank");
    this.root.classList.toggle("ib-ar", run.ar);
    this.root.classList.toggle("ib-uniform", run.uniform);
    this.root.classList.toggle("ib-board", run.board);
    heading(this);
    if (this.hands && !same) this.hands.clear();
  }

  empty(sentence) {
    this.clock.pause();
    this.inspector.hide();
    this.run = null;
    this.$("empty").textContent = sentence;
    this.root.classList.add("ib-blank");
  }

  /** The newest frame settles where every position stands, and what the strips and the legend show. */
  newest(frame) {
    this.canvas.layout(frame);
    if (this.frame) this.canvas.draw(this.frame); // the step in view, in its new places
    if (this.live) this.canvas.hold();
    else this.canvas.release();
    if (this.options.strips) this.strips.update(this.run, this.last);
    if (this.options.legend) (this.legend ||= new Legend(this.$("legend"))).update(this.run);
    this.$("text").setAttribute("aria-label", this.run.board ? "Board, 9 rows of 9 cells. Arrow keys move between cells." : `Canvas, ${frame.ids.length} positions. Arrow keys move between tokens.`);
    this.root.classList.toggle("ib-live", Boolean(this.live));
  }

  // ---------------------------------------------------------------- time
  get length() {
    return this.run ? this.run.frames.length : 0;
  }

  /** The last frame on the timeline: while a run goes on, the one it is planned to end with. */
  get last() {
    const { steps, rule, new_tokens: tokens } = this.run.header.settings;
    const planned = !this.live ? 0 : this.run.ar ? tokens : rule === "schedule" && !this.run.uniform ? steps : 0;
    return Math.max(1, this.length - 1, planned || 0);
  }

  get frame() {
    return this.run ? this.run.frames[this.index] : null;
  }

  get durationSeconds() {
    return this.length ? this.run.frames[this.length - 1].seconds : 0;
  }

  get durationForwards() {
    return this.length ? this.run.frames[this.length - 1].forwards : 0;
  }

  /** Draw frame k, whatever drives the clock. */
  show(k) {
    const frame = this.run && this.run.frames[k];
    if (!frame) return;
    this.index = k;
    if (!this.clock.playing) this.clock.set(k);
    this.canvas.draw(frame);
    this.canvas.outline(frame);
    verdict(this, k === this.length - 1 && !this.live ? this.run.result : null);
    if (this.options.numbers) this.numbers.update(this.run, frame);
    if (!this.inspector.card.hidden) this.ask(this.inspector.position);
    this.position();
    this.emit("frame", { index: k, step: frame.step, seconds: frame.seconds, forwards: frame.forwards, length: this.length });
  }

  /** Slider, step label and playhead. */
  position() {
    const frame = this.frame, slider = this.$("slider"), last = this.run.frames[this.length - 1];
    if (!frame) return;
    slider.max = this.last;
    slider.value = this.index;
    slider.style.setProperty("--at", this.index / this.last);
    const where = `${frame.step} of ${this.live ? "\u2026" : last.step}`;
    slider.setAttribute("aria-valuetext", "step " + where);
    this.$("step").replaceChildren("Step ", make("b", "", where), make("span", "ib-time", seconds(frame.seconds)));
    if (this.options.strips) this.strips.mark(frame);
    this.root.classList.toggle("ib-behind", Boolean(this.live) && !this.follow);
    this.hands?.plans();
    clearTimeout(this.speech);
    if (!this.clock.playing && !(this.live && this.follow)) this.speech = setTimeout(() => this.speak(), 500);
  }

  /** The visitor goes to frame k. */
  go(k) {
    if (!this.length) return;
    k = Math.max(0, Math.min(this.length - 1, k));
    this.clock.pause();
    this.waiting = false;
    this.follow = Boolean(this.live) && k === this.length - 1;
    if (k !== this.index) this.show(k);
    else this.position();
  }

  seek(k) {
    this.go(Math.round(k));
  }

  step(by) {
    this.go(this.index + by);
  }

  /** Show the newest frame that stood at `s` seconds of computing. */
  seekSeconds(s) {
    this.latest((frame) => frame.seconds <= s + 1e-9);
  }

  /** Show the newest frame that stood after n forward passes. */
  seekForwards(n) {
    this.latest((frame) => frame.forwards <= n);
  }

  latest(reached) {
    let k = 0;
    while (k + 1 < this.length && reached(this.run.frames[k + 1])) k++;
    if (k !== this.index) this.go(k);
  }

  play() {
    this.follow = false;
    this.clock.set(Math.max(0, this.index));
    this.clock.play();
  }

  pause() {
    this.follow = this.waiting = false;
    this.clock.pause();
    if (this.run) this.position();
  }

  toggle() {
    if (this.clock.playing || (this.live && this.follow)) this.pause();
    else this.play();
  }

  playing() {
    const on = this.clock.playing;
    this.root.classList.toggle("ib-playing", on);
    this.root.classList.toggle("ib-fast", on && this.clock.rate > 20); // no time to fade
    this.$("play").setAttribute("aria-label", on ? "Pause" : "Play");
    this.emit(on ? "play" : "pause", {});
  }

  ended() {
    if (this.live && this.paced !== "live" && !this.follow) this.waiting = true;
    else if (this.live) this.follow = true;
    else if (this.options.loop && this.run.header.recorded && !this.quiet.matches) this.again = setTimeout(() => this.index === this.length - 1 && this.play(), 2500);
    this.position();
    this.emit("end", {});
  }

  /** Tell a screen reader where the run stands, once it stands still. */
  speak() {
    const frame = this.frame;
    if (!frame || this.clock.playing) return;
    const end = this.index === this.length - 1 && !this.live;
    if (this.run.board) {
      this.$("sr").textContent = `${end ? "Final board" : `Step ${frame.step}`}: ${frame.ids.length - frame.open} of ${frame.ids.length} cells decided.`;
      return;
    }
    const text = this.run.text(frame, "\u2026").replace(/\u2026{2,}/g, "\u2026");
    this.$("sr").textContent = `${end ? "Final text" : `Step ${frame.step}`}: ${text}`;
  }

  // ---------------------------------------------------------------- tokens
  /** Show the inspector for position i (-1: hide it). */
  ask(i, pin) {
    if (!this.options.inspector || !this.run || i < 0 || !this.canvas.cells[i]) return this.unask();
    const facts = this.inspector.show(this.run, this.canvas.shapes, this.index, i);
    if (!facts) return this.unask();
    if (pin !== undefined) this.inspector.pinned = pin;
    this.canvas.mark(i, spoken(facts, this.run));
    if (pin && this.hands) this.hands.select(i, i + 1);
    this.inspector.place(this.canvas.cells[i].ink, this.root);
    return facts;
  }

  unask() {
    if (this.hands && this.inspector.pinned) this.hands.select(-1, -1);
    this.inspector.hide();
    if (this.canvas) this.canvas.mark(-1);
    return null;
  }

  pick(i) {
    const facts = this.ask(i, true);
    if (!facts) return;
    const detail = { position: i, id: facts.id, index: this.index, step: this.frame.step, run: this.run.id };
    this.emit("pick", detail);
    if (this.options.pick) this.options.pick(detail);
  }

  emit(name, detail) {
    this.host.dispatchEvent(new CustomEvent("ib-" + name, { detail, bubbles: true }));
  }

  destroy() {
    this.clock.pause();
    clearTimeout(this.speech);
    clearTimeout(this.again);
    if (this.due) cancelAnimationFrame(this.due);
    this.unwire();
    if (this.hands) this.hands.destroy();
    this.host.textContent = "";
    delete this.host.__player;
  }
}

function mountPlayer(host, options = {}) {
  if (host.__player) host.__player.destroy();
  return new Player(host, options);
}
