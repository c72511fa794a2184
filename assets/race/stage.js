/* mountStage(element): two to four runs beside each other, all on one clock.

   While lanes are timed only their bars move: drawing text would take time from what is being measured. A message (JSON text) is
   {race, lanes: [{label, phase, share, words, [trace, seconds, forwards, counts, tokens]}], done, play}; with the last one the lanes
   hold whole runs and are replayed together, in seconds of computing or in forward passes. It stands behind the parts of the player (`assets.PARTS`), in one scope with them. */

const PASSES_PER_SECOND = 8; // how fast the clock of forward passes runs at speed 1
const CLOCKS = {
  seconds: { name: "Seconds", told: "Each lane runs as fast as it was measured, alone.", unit: "s", rate: 1, seek: "seekSeconds", duration: "durationSeconds" },
  forwards: { name: "Forward passes", told: "Every lane makes one forward pass a tick. This is not speed: a pass over a block takes longer than a pass over one token.", unit: "passes", rate: PASSES_PER_SECOND, seek: "seekForwards", duration: "durationForwards" },
};
const BARE = { controls: false, strips: false, numbers: false, legend: false, prompt: false, title: false };
const PLACES = ["1st", "2nd", "3rd", "4th"];

function node(tag, name, text) {
  const made = document.createElement(tag);
  made.className = name;
  if (text !== undefined) made.textContent = text; // labels and texts are never parsed as HTML
  return made;
}

class Lane {
  constructor(data) {
    this.root = node("section", "rs-lane");
    this.name = node("h3", "rs-name");
    this.state = node("output", "rs-state");
    this.bar = node("div", "rs-bar");
    this.bar.append(node("i", ""));
    this.host = node("div", "rs-player");
    const head = node("header", "rs-head");
    head.append(this.name, this.state);
    this.root.append(head, this.bar, this.host);
    this.update(data);
  }

  update(data) {
    this.data = data;
    this.name.textContent = data.label;
    this.root.dataset.phase = data.phase;
    this.root.setAttribute("aria-label", data.label);
    if (data.trace && !this.player) {
      this.player = mountPlayer(this.host, BARE);
      this.player.load(data.trace);
    }
    if (!this.player) this.show(data.words, data.share);
  }

  show(words, share) {
    this.state.textContent = words;
    this.bar.style.setProperty("--share", share || 0);
  }

  /** Stand at `at` on a clock; `place` is 0 for the first to end. */
  seek(at, clock, place) {
    if (!this.player) return;
    this.player[CLOCKS[clock].seek](at);
    const { counts, tokens, phase } = this.data, times = this.data[clock], end = times[times.length - 1] || 0;
    let k = 0;
    while (k + 1 < times.length && times[k + 1] <= at + 1e-9) k++;
    const over = at >= end - 1e-9, shown = clock === "seconds" ? end.toFixed(2) + " s" : end + " passes";
    const whole = phase === "written";
    this.root.classList.toggle("rs-over", over && whole);
    this.root.classList.toggle("rs-first", over && whole && place === 0);
    this.show(over ? (whole ? `${PLACES[place] || ""} \u00b7 ${tokens} tokens \u00b7 ${shown}` : `stopped at ${counts[k]} tokens`) : `${counts[k]} of ${tokens} tokens`, tokens ? counts[k] / tokens : 0);
  }
}

class Stage {
  constructor(root) {
    this.root = root;
    this.lanes = [];
    this.clock = "seconds";
    Object.assign(this, { at: 0, speed: 1, race: "", ticker: new Ticker((seconds) => this.pass(seconds)) });
    this.grid = root.querySelector(".rs-lanes");
    this.transport = root.querySelector(".rs-transport");
    this.$ = (name) => root.querySelector(".rs-" + name);
    this.quiet = matchMedia("(prefers-reduced-motion: reduce)");
    fillSpeeds(this.$("speed"), 1);
    this.$("play").addEventListener("click", () => this.toggle());
    this.$("again").addEventListener("click", () => (this.go(0), this.play()));
    this.$("full").addEventListener("click", () => this.full());
    this.$("slider").addEventListener("input", () => this.go(Number(this.$("slider").value)));
    this.$("speed").addEventListener("change", () => (this.speed = Number(this.$("speed").value)));
    for (const button of root.querySelectorAll("[data-clock]")) button.addEventListener("click", () => this.setClock(button.dataset.clock));
    root.addEventListener("keydown", (event) => this.key(event), true);
    root.__stage = this;
  }

  /** Take a message. */
  receive(message) {
    if (message.race !== this.race || message.lanes.length !== this.lanes.length) {
      this.pause();
      for (const lane of this.lanes) if (lane.player) lane.player.destroy();
      this.race = message.race;
      this.lanes = message.lanes.map((data) => new Lane(data));
      this.grid.replaceChildren(...this.lanes.map((lane) => lane.root));
      this.grid.style.setProperty("--lanes", this.lanes.length);
    } else message.lanes.forEach((data, i) => this.lanes[i].update(data));
    this.root.classList.toggle("rs-empty", !this.lanes.length);
    this.ready = message.done && this.lanes.some((lane) => lane.player);
    this.transport.hidden = !this.ready;
    if (this.ready) this.begin(message.play);
  }

  /** All lanes are there: start together, by themselves, unless the visitor's system asks for calm. */
  begin(play) {
    this.clock = "seconds";
    const lasts = this.duration();
    const pace = (lower) => SPEEDS[SPEEDS.indexOf(this.speed) + (lower ? -1 : 1)];
    this.speed = 1;
    while (lasts / this.speed > 15 && pace(false)) this.speed = pace(false);
    while (lasts / this.speed < 3 && pace(true)) this.speed = pace(true);
    this.$("speed").value = this.speed;
    this.named();
    this.go(play && !this.quiet.matches ? 0 : lasts);
    if (play && !this.quiet.matches) this.play();
  }

  duration() {
    return Math.max(0, ...this.lanes.filter((lane) => lane.player).map((lane) => lane.player[CLOCKS[this.clock].duration]));
  }

  /** Places by the clock in use; lanes that did not reach their end have none. */
  places() {
    const ends = this.lanes.map((lane) => (lane.player && lane.data.phase === "written" ? lane.player[CLOCKS[this.clock].duration] : Infinity));
    return ends.map((end) => ends.filter((other) => other < end).length);
  }

  setClock(name) {
    const share = this.duration() ? this.at / this.duration() : 0;
    this.clock = name;
    this.named();
    this.go(share * this.duration());
  }

  named() {
    for (const button of this.root.querySelectorAll("[data-clock]")) button.setAttribute("aria-pressed", String(button.dataset.clock === this.clock));
    this.$("told").textContent = CLOCKS[this.clock].told;
    this.$("slider").step = this.clock === "seconds" ? 0.001 : 1;
    this.$("slider").max = this.duration();
    this.$("slider").setAttribute("aria-label", CLOCKS[this.clock].name);
  }

  /** Show every lane at `at` on the clock. */
  go(at) {
    const end = this.duration(), places = this.places();
    this.at = Math.max(0, Math.min(end, at));
    this.lanes.forEach((lane, i) => lane.seek(this.at, this.clock, places[i]));
    const shown = this.clock === "seconds" ? `${this.at.toFixed(2)} of ${end.toFixed(2)} s` : `${Math.floor(this.at)} of ${end} passes`;
    this.$("time").textContent = shown;
    this.$("slider").value = this.at;
    this.$("slider").style.setProperty("--at", end ? this.at / end : 0);
    this.$("slider").setAttribute("aria-valuetext", shown);
  }

  play() {
    if (this.playing || !this.ready) return;
    if (this.at >= this.duration() - 1e-9) this.go(0);
    this.ticker.start();
    this.pressed();
  }

  pause() {
    this.ticker.stop();
    this.pressed();
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  pressed() {
    this.root.classList.toggle("rs-playing", this.playing);
    this.$("play").setAttribute("aria-label", this.playing ? "Pause" : "Play");
  }

  get playing() {
    return this.ticker.playing;
  }

  pass(seconds) {
    this.go(this.at + seconds * this.speed * CLOCKS[this.clock].rate);
    if (this.at >= this.duration() - 1e-9 || !this.root.isConnected) this.pause();
  }

  full() {
    if (document.fullscreenElement) document.exitFullscreen();
    else if (this.root.requestFullscreen) this.root.requestFullscreen().catch(() => {});
  }

  /** One keyboard for all lanes; inside a lane's text the arrows go on moving between tokens. */
  key(event) {
    if (!this.ready || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input:not([type=range]), textarea")) return;
    const tag = event.target.tagName, name = event.key, step = this.clock === "seconds" ? this.duration() / 60 : 1;
    if (tag === "SELECT" || (tag === "BUTTON" && name === " ")) return;
    if (event.target.closest(".ib-text") && name.startsWith("Arrow")) return;
    const moves = { ArrowRight: step, PageDown: step, ArrowUp: step, ArrowLeft: -step, PageUp: -step, ArrowDown: -step };
    if (name in moves) this.pause(), this.go(this.at + moves[name]);
    else if (name === "Home") this.pause(), this.go(0);
    else if (name === "End") this.pause(), this.go(this.duration());
    else if (name === " ") this.toggle();
    else if (name === "f") this.full();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

function mountStage(element) {
  const stage = new Stage(element.querySelector(".rs-stage"));
  let taken = "";
  return (text) => {
    if (!text || text === taken) return; // Gradio says a generator's last value twice
    taken = text;
    let message;
    try {
      message = JSON.parse(text);
    } catch (error) {
      return;
    }
    stage.receive(message);
  };
}
