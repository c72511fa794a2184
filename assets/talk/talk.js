/* Talk mode. The page holds its playlist: [{title, notes, lanes: [{label, trace, seconds, forwards, counts, tokens, phase}]}]; one lane is a
   player that fills the room, several are a stage on one clock. Everything is a key, so that a clicker, the presenter's window and a keyboard
   do the same. Nothing is asked of a server, but by `n`, which runs a prompt where there is one. */

const SMALLEST = 24, LARGEST = 130, ROOM_SECONDS = 8, // what a race takes at least, for a room to follow it
  SPEEDS_OF_TALK = [0.25, 0.5, 1, 2, 4, 8], VIEWS = ["canvas", "numbers", "map"];
const HELP = [["PageDown, Enter", "next run"], ["PageUp, Backspace", "previous run"], ["Space", "play, pause"], ["\u2190 \u2192", "one step"], ["Home, End", "first, last step"], ["+ \u2212", "faster, slower"],
  ["v", "canvas, numbers, map; a race's clock"], ["1 \u2026", "go to a run by its number"], ["b or .", "black"], ["l", "laser pointer"], ["t", "dark, light"], ["f", "full screen"], ["p", "presenter's window"],
  ["n", "type a prompt and run it"], ["?", "this list"], ["Escape", "close"]];

class Talk {
  constructor(items, knobs) {
    Object.assign(this, { items, knobs, at: -1, view: "canvas", speed: 1, black: false, digits: "", began: Date.now() });
    this.$ = (id) => document.getElementById(id);
    this.channel = new BroadcastChannel("inkblot-talk");
    this.channel.addEventListener("message", ({ data }) => (data.kind === "key" ? this.key(data.key) : data.kind === "hello" && this.tell()));
    document.addEventListener("keydown", (event) => this.pressed(event), true);
    addEventListener("resize", () => this.fit());
    document.addEventListener("pointermove", (event) => Object.assign(this.$("dot").style, { left: event.clientX + "px", top: event.clientY + "px" }));
    this.$("room").addEventListener("ib-frame", (event) => this.moved(event.target.__player));
    this.$("room").addEventListener("ib-end", () => this.tell());
    this.visit();
    this.theme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    this.go(Math.max(0, (Number(location.hash.slice(1)) || 1) - 1));
  }

  get item() {
    return this.items[this.at];
  }

  // ---------------------------------------------------------------- what is on stage
  /** Show run `at` from its first step. */
  go(at) {
    at = Math.max(0, Math.min(this.items.length - 1, at));
    this.leave();
    this.at = at;
    const box = this.$("run"), { lanes } = this.item;
    if (lanes.length > 1) {
      box.replaceChildren(this.$("stage").content.cloneNode(true));
      mountStage(box);
      this.stage = box.querySelector(".rs-stage").__stage;
      this.stage.receive({ race: "talk" + at, lanes: lanes.map((lane) => ({ ...lane, share: 0, words: "" })), done: true, play: false });
      for (const lane of this.stage.lanes) lane.player?.root.classList.toggle("ib-dark", this.dark);
      this.stage.go(0);
      this.paces();
    } else {
      this.player = mountPlayer(box, { controls: false, legend: false, title: false, inspector: false, even: true, theme: this.dark ? "dark" : "light" });
      this.player.receive({ run: "talk" + at, trace: lanes[0].trace, done: true, play: false });
      this.player.clock.speed = this.speed;
      this.player.seek(0);
    }
    history.replaceState(null, "", "#" + (at + 1));
    this.show(this.view);
  }

  leave() {
    this.stage?.pause();
    for (const lane of this.stage?.lanes || []) lane.player?.destroy();
    this.player?.destroy();
    this.stage = this.player = null;
    this.$("run").replaceChildren();
  }

  /** canvas, numbers or map of one run; several always show their canvases. */
  show(view) {
    this.view = view;
    document.body.dataset.view = this.stage ? "canvas" : view;
    this.$("map").hidden = document.body.dataset.view !== "map";
    this.fit();
    this.moved();
  }

  /** The largest type with which everything fits; a board as large as the room. */
  fit() {
    if (!this.item) return;
    const room = this.$("room"), style = getComputedStyle(room), height = room.clientHeight - parseFloat(style.paddingTop), box = this.$("run");
    const board = this.player?.run?.board || this.stage?.lanes.some((lane) => lane.player?.run.board);
    const size = (px) => (this.stage ? box.style.setProperty("--talk-size", px + "px") : this.player.root.style.setProperty("--ib-size", px + "px"));
    const over = () => (this.stage ? this.stage.root.scrollHeight : this.player.$("paper").scrollHeight) > height;
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize), lanes = this.item.lanes.length;
    const side = Math.min(height - (this.stage ? 5.5 * rem : 6), this.stage ? (0.94 * innerWidth - (lanes - 1) * rem) / lanes : 0.62 * innerWidth);
    for (const text of box.querySelectorAll(".ib-board .ib-text")) text.style.width = side + "px";
    if (this.player && !this.player.run) return;
    const here = this.players().map((player) => player.index);
    for (const player of this.players()) player.show(player.length - 1); // with the verdict, which comes at the end
    let [low, high] = [SMALLEST, board ? SMALLEST + 10 : LARGEST];
    size(high);
    if (over() && !board) {
      while (high - low > 1) {
        const middle = (low + high) / 2;
        size(middle);
        [low, high] = over() ? [low, middle] : [middle, high];
      }
      size(Math.floor(low));
    }
    this.players().forEach((player, i) => player.show(Math.max(0, here[i])));
    for (const player of this.players()) player.canvas && ((player.canvas.outlined = null), player.canvas.outline(player.frame), this.readable(player));
    if (!this.$("map").hidden) this.map();
  }

  players() {
    return this.stage ? this.stage.lanes.map((lane) => lane.player).filter(Boolean) : this.player?.run ? [this.player] : [];
  }

  /** Guesses that a narrow place makes too small to read from the last row are not shown. */
  readable(player) {
    if (player.run.board) return;
    const size = parseFloat(getComputedStyle(player.$("text")).fontSize);
    for (const cell of player.canvas.cells) cell.top.classList.toggle("talk-small", Boolean(cell.over) && (parseFloat(cell.top.style.fontSize) || 1) * size < SMALLEST);
  }

  /** A step was drawn. */
  moved(player = this.player) {
    if (player?.run && player.frame) this.readable(player);
    if (!this.$("map").hidden) this.map();
    this.tell();
  }

  /** Every position at every step by its confidence, the step in view marked. */
  map() {
    const { run, index } = this.player, canvas = this.$("map").querySelector("canvas"), rows = run.grid("confidence");
    Object.assign(canvas, { width: run.frames.length, height: rows.length });
    const pen = canvas.getContext("2d"), style = getComputedStyle(this.player.root), accent = style.getPropertyValue("--ib-accent"), track = style.getPropertyValue("--ib-track");
    rows.forEach((row, i) => row.forEach((p, k) => {
      if (p === null) return;
      pen.globalAlpha = 1;
      pen.fillStyle = track;
      pen.fillRect(k, i, 1, 1);
      pen.globalAlpha = p;
      pen.fillStyle = accent;
      pen.fillRect(k, i, 1, 1);
    }));
    pen.globalAlpha = 0.35;
    pen.fillStyle = style.getPropertyValue("--ib-back");
    pen.fillRect(index, 0, 1, rows.length);
  }

  /** The line below, and the presenter's window. */
  tell() {
    if (!this.item) return;
    const words = this.words(), next = this.items[this.at + 1];
    this.$("line").querySelector("b").textContent = `${this.at + 1}  ${this.item.title}`;
    this.$("line").querySelector("output").textContent = words;
    this.$("line").style.setProperty("--share", this.stage ? this.stage.at / (this.stage.duration() || 1) : this.player?.length > 1 ? this.player.index / (this.player.length - 1) : 1);
    this.channel.postMessage({ kind: "state", at: this.at, count: this.items.length, title: this.item.title, notes: this.item.notes, next: next?.title || "", words, black: this.black, began: this.began });
  }

  words() {
    const { stage } = this;
    if (stage && stage.clock === "seconds") return `${seconds(stage.at)} of ${seconds(stage.duration())}${stage.speed < 0.9 ? `, slowed down ${Math.round(1 / stage.speed)} times` : ""}`;
    if (stage) return `${Math.floor(stage.at)} of ${stage.duration()} passes`;
    const frame = this.player?.frame;
    if (!frame) return "";
    const pace = this.speed === 1 ? "" : `  ${this.speed}\u00d7`;
    return `${frame.forwards} of ${this.player.run.frames[this.player.length - 1].forwards} passes, ${seconds(frame.seconds)}${pace}`;
  }

  // ---------------------------------------------------------------- keys
  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.tagName === "INPUT") {
      if (event.key === "Escape") this.$("ask").hidden = true;
      if (event.key === "Enter") this.run(event.target.value);
      return event.stopPropagation();
    }
    if (this.key(event.key)) (event.preventDefault(), event.stopPropagation());
  }

  /** Do what a key says; return whether it said anything. */
  key(name) {
    const { player, stage } = this, step = stage ? (stage.clock === "seconds" ? stage.duration() / 40 : 1) : 1;
    const move = (by) => (stage ? (stage.pause(), stage.go(stage.at + by * step)) : player.step(by));
    const deeds = {
      PageDown: () => this.go(this.at + 1), PageUp: () => this.go(this.at - 1), Enter: () => this.go(this.at + 1), Backspace: () => this.go(this.at - 1),
      " ": () => (stage || player).toggle(), ArrowRight: () => move(1), ArrowLeft: () => move(-1), ArrowDown: () => move(1), ArrowUp: () => move(-1),
      Home: () => (stage ? (stage.pause(), stage.go(0)) : player.seek(0)), End: () => (stage ? (stage.pause(), stage.go(stage.duration())) : player.seek(player.length - 1)),
      "+": () => this.pace(1), "=": () => this.pace(1), "-": () => this.pace(-1),
      v: () => (stage ? (stage.setClock(stage.clock === "seconds" ? "forwards" : "seconds"), this.paces()) : this.show(VIEWS[(VIEWS.indexOf(this.view) + 1) % VIEWS.length])),
      b: () => this.blackout(!this.black), ".": () => this.blackout(!this.black), l: () => this.laser(), t: () => (this.theme(this.dark ? "light" : "dark"), this.again()),
      f: () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen?.().catch(() => {})),
      p: () => this.presenter(), n: () => this.asks(), "?": () => this.help(), Escape: () => ((this.$("help").hidden = this.$("ask").hidden = true), this.blackout(false)),
    };
    if (/^\d$/.test(name)) this.number(name);
    else if (Object.hasOwn(deeds, name)) deeds[name]();
    else return false;
    this.tell();
    return true;
  }

  /** Digits within a second are one number: at once where no further digit could follow. */
  number(digit) {
    this.digits += digit;
    clearTimeout(this.typing);
    const jump = () => {
      const to = Number(this.digits);
      this.digits = "";
      if (to >= 1 && to <= this.items.length) this.go(to - 1);
    };
    if (Number(this.digits) * 10 > this.items.length) jump();
    else this.typing = setTimeout(jump, 900);
  }

  pace(by) {
    this.speed = SPEEDS_OF_TALK[Math.max(0, Math.min(SPEEDS_OF_TALK.length - 1, SPEEDS_OF_TALK.indexOf(this.speed) + by))];
    this.paces();
  }

  /** A race in seconds is slowed down until a room can follow it; the line below says how much. */
  paces() {
    const { stage } = this;
    if (stage) stage.speed = this.speed * (stage.clock === "seconds" ? Math.min(1, stage.duration() / ROOM_SECONDS) : 1);
    else this.player.clock.speed = this.speed;
  }

  blackout(black) {
    this.black = black;
    this.$("black").hidden = !black;
  }

  laser() {
    this.$("dot").hidden = !this.$("dot").hidden;
  }

  get dark() {
    return document.documentElement.dataset.theme === "dark";
  }

  theme(name) {
    document.documentElement.dataset.theme = name;
  }

  /** The same run at the same step, mounted anew. */
  again() {
    const at = this.stage ? this.stage.at : this.player.index;
    this.go(this.at);
    if (this.stage) this.stage.go(at);
    else this.player.seek(at);
  }

  help() {
    const help = this.$("help"), make = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
    help.hidden = !help.hidden;
    const keys = document.createElement("dl"), list = document.createElement("ol");
    for (const [name, what] of HELP) keys.append(make("dt", name), make("dd", what));
    list.append(...this.items.map((item) => make("li", item.title)));
    help.replaceChildren(keys, list);
  }

  presenter() {
    const view = window.open("", "inkblot-presenter", "popup,width=900,height=700");
    if (view) presenter(view, new view.BroadcastChannel("inkblot-talk"));
  }

  // ---------------------------------------------------------------- live
  asks() {
    const here = location.protocol.startsWith("http"), [input, said] = [this.$("ask").querySelector("input"), this.$("ask").querySelector("p")];
    this.$("ask").hidden = false;
    input.disabled = !here;
    input.value = "";
    said.textContent = here ? `Enter runs it with ${this.item.lanes[0].trace.header.model.name}; it joins the playlist.` : "This page came from a disk: there is no model behind it. Start the talk from the playground to run one.";
    if (here) input.focus();
  }

  /** Add a finished run behind the last one. */
  add(trace, title = trace.header.prompt) {
    this.items.push({ title: title.replace(/\s+/g, " ").slice(0, 80), notes: "", lanes: [{ label: trace.header.model.name, trace }] });
    this.tell();
  }

  /** Opened from the playground, a talk brings along what was run there: the new tab has a copy of what its opener keeps (runs.js). */
  visit() {
    try {
      for (const run of JSON.parse(sessionStorage.getItem("inkblot-runs")) || []) this.add(JSON.parse(sessionStorage.getItem("inkblot-runs:" + run.id)), run.name || run.prompt);
    } catch {
      // none, or none that can be read
    }
  }

  /** Run a prompt with the model and the settings of the run in view, and show it as it is written. */
  async run(prompt) {
    const { model, settings, mode } = this.item.lanes[0].trace.header, said = this.$("ask").querySelector("p"), values = { prompt, model: model.id, mode, system: "", pinned: "", ...settings, image: "" };
    if (!prompt.trim()) return;
    said.textContent = "It is being written.";
    try {
      const asked = await fetch("gradio_api/call/denoise", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ data: this.knobs.map((name) => values[name] ?? null) }) });
      if (!asked.ok) throw new Error("no run");
      const { event_id: id } = await asked.json(), stream = await (await fetch("gradio_api/call/denoise/" + id)).text();
      const told = stream.split("\n").filter((line) => line.startsWith("data: ")).map((line) => JSON.parse(line.slice(6)));
      const message = told.reverse().map((data) => Array.isArray(data) && typeof data[0] === "string" && JSON.parse(data[0])).find((one) => one && one.trace);
      if (!message) throw new Error("no run");
      this.add(typeof message.trace === "string" ? JSON.parse(message.trace) : message.trace);
      this.$("ask").hidden = true;
      document.activeElement.blur();
      this.go(this.items.length - 1);
      this.player.play();
    } catch (error) {
      said.textContent = "It could not be run: the playground does not answer, or refuses these settings.";
    }
  }
}

const seconds = (s) => (s < 1 ? Math.round(s * 1000) + " ms" : s.toFixed(2) + " s");
