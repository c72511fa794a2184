/* How it works: a minute on the recorded run, in a dialog with a player of its own, so that a visitor's own run stays as it is beneath.
   The words come from playground/tour.py; here is what the player does meanwhile. Escape or Skip leaves, arrows turn the pages. */

window.inkblotTour = (() => {
  const LAYOUT = `<div class="ink-tour-stage"></div>
<div class="ink-tour-words"><div class="ink-tour-bar" aria-hidden="true"><i></i></div>
<h2 id="ink-tour-title" tabindex="-1"></h2><p class="ink-tour-text" aria-live="polite"></p>
<div class="ink-tour-turn"><span class="ink-tour-count"></span><button type="button" data-turn="play"></button>
<button type="button" data-turn="back">Back</button><button type="button" data-turn="next" autofocus>Next</button><button type="button" data-turn="skip">Skip</button></div></div>`;
  const HANDS = ["who", "many", "when"]; // runs in which a word was changed by hand
  const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
  const letters = (text) => /^\s?\p{L}{3,}$/u.test(text);

  /** What the scenes tell of a run; a fact that does not occur in it is missing. */
  function facts(player) {
    const run = player.run, last = run.frames[run.frames.length - 1], tokens = run.result.tokens;
    const known = { places: last.ids.length, forwards: run.result.forwards, tokens, rate: run.result.tokens_per_forward.toFixed(2) };
    Object.assign(known, beside(run), run.result.faults ? { small: Math.round(run.model.parameters / 1e6) } : { millions: Math.round(run.model.parameters / 1e6) });
    let most = 1, surest = 0.4;
    for (let i = 0; i < tokens; i++) {
      const at = player.inspector.facts(run, player.canvas.shapes, run.frames.length - 1, i), decided = at.decided;
      if (!decided || !letters(at.text)) continue;
      for (const event of at.events.filter(({ kind }) => kind === "committed")) {
        const frame = run.frames[event.index], word = player.canvas.shapes.alone(event.id).text;
        if (!run.openBetween(frame, frame.start, i) || event.p <= surest || !letters(word)) continue;
        surest = event.p;
        Object.assign(known, { first: { index: event.index, position: i }, word: word.trim(), step: event.step, probability: event.p.toFixed(2) });
      }
      const back = run.header.settings.remasking === "verify" && at.events.find((event) => event.kind === "taken_back");
      const taken = back ? player.canvas.shapes.alone(back.id).text : "";
      if (!known.check && letters(taken)) Object.assign(known, { check: { index: back.index, position: i }, taken: taken.trim(), taken_step: back.step });
      const undone = run.header.settings.remasking === "recheck" && at.events.find((event) => event.kind === "taken_back");
      if (!known.doubt && undone && undone.id !== decided.id && undone.index < decided.index) {
        const from = at.events.filter((event) => event.kind === "committed" && event.index < undone.index).pop(), was = player.canvas.shapes.alone(undone.id).text;
        if (from && letters(was)) Object.assign(known, { doubt: { from: from.index, index: undone.index, to: decided.index, position: i }, doubted: was.trim(), doubted_from: from.step, doubted_step: undone.step, instead: at.text.trim() });
      }
      const earlier = at.course.filter((guess) => guess.open && letters(guess.text) && guess.text.trim() !== at.text.trim());
      const before = earlier[earlier.length - 1];
      if (before && at.course.length > most) {
        most = at.course.length;
        const index = run.frames.findIndex((f) => f.step === before.from);
        Object.assign(known, { change: { from: index, to: decided.index, position: i }, before: before.text.trim(), before_step: before.from, after: at.text.trim(), after_step: decided.step });
      }
    }
    return known;
  }

  /** What the runs beside this one tell, where they are of the same model. */
  function beside(run) {
    const { hasty, twin } = window.INKBLOT.tourRuns || {}, same = (other) => other && other.header.model.id === run.model.id;
    const faults = (same(hasty) && hasty.result.faults) || [], fault = faults.find(([, positions]) => positions.length > 1) || faults[0]; // two words that disagree tell most
    const hands = {};
    for (const name of HANDS) {
      const other = (window.INKBLOT.tourRuns || {})[name], after = other && other.result.faults;
      if (!same(other) || !after) continue;
      Object.assign(hands, { [name]: other.header.notice, [name + "_after"]: after.length ? `the checker still finds ${after.length}.` : "the checker finds nothing wrong any more." });
    }
    const told = same(twin) ? { twin_passes: twin.result.forwards } : { drawn: "the same text" };
    Object.assign(told, hands);
    return fault ? { ...told, hasty_passes: hasty.result.forwards, fault: fault[0] } : told;
  }

  /** The run's text as a left-to-right model would bring it, one token a frame: a drawing, no run, so it claims no probability. */
  function typed(recording, run) {
    const last = run.frames[run.frames.length - 1], length = last.ids.length;
    const frames = [{ l: length, n: 0, b: 0, f: 0, w: [0, length], t: 0, u: 0 }];
    run.answerIds(last).forEach((id, k) => frames.push({ at: [k], id: [id], st: "c", t: (k + 1) / 10, u: 0.1 }));
    const { format, version, states, vocab, extra_vocab } = recording;
    return { format, version, states, vocab, extra_vocab, reasons: {}, frames, result: null, header: { ...recording.header, mode: "ar", recorded: "" } };
  }

  class Tour {
    constructor(recording) {
      this.recording = recording;
      this.before = document.activeElement;
      this.dialog = document.createElement("dialog");
      this.dialog.className = "ink-tour";
      this.dialog.setAttribute("aria-labelledby", "ink-tour-title");
      this.dialog.innerHTML = LAYOUT; // our own constant text
      document.querySelector("#player .ib-host").parentElement.append(this.dialog); // there the player's style sheet reaches it
      this.player = globalThis.mountPlayer(this.$("stage"), { trace: recording, controls: false, strips: false, numbers: false, legend: false, prompt: true });
      this.facts = facts(this.player);
      this.scenes = window.INKBLOT.tour.filter((scene) => [...scene.text.matchAll(/\{(\w+)\}/g)].every(([, name]) => name in this.facts));
      this.running = !still();
      this.timers = [];
      this.dialog.addEventListener("click", (event) => this.turn(event.target.dataset.turn));
      this.dialog.addEventListener("close", () => this.end());
      this.dialog.addEventListener("keydown", (event) => {
        event.stopPropagation(); // the page's own keys rest meanwhile
        if (event.key === "ArrowRight" || event.key === "PageDown") this.turn("next");
        else if (event.key === "ArrowLeft" || event.key === "PageUp") this.turn("back");
      });
      this.dialog.showModal();
      this.show(0);
    }

    $(name) {
      return this.dialog.querySelector(".ink-tour-" + name);
    }

    turn(way) {
      const done = way === "next" && this.at === this.scenes.length - 1;
      if (done && this.scenes[this.at].name === "yours") this.before = document.querySelector("#run"); // a control to try
      if (way === "skip" || done) this.dialog.close();
      else if (way === "next") this.show(this.at + 1);
      else if (way === "back") this.show(Math.max(0, this.at - 1));
      else if (way === "play") (this.running = !this.running), this.show(this.at);
    }

    show(at) {
      this.at = at;
      this.timers.forEach(clearTimeout);
      this.timers = [];
      const { name, title, text, seconds } = this.scenes[at], last = at === this.scenes.length - 1;
      this.dialog.querySelector("h2").textContent = title;
      this.$("text").textContent = text.replace(/\{(\w+)\}/g, (_, fact) => this.facts[fact]);
      this.$("count").textContent = `${at + 1} of ${this.scenes.length}`;
      const button = (way) => this.dialog.querySelector(`[data-turn=${way}]`);
      button("play").textContent = this.running ? "Pause" : "Play";
      button("back").disabled = at === 0;
      button("next").textContent = last ? "Done" : "Next";
      button("skip").hidden = last;
      if (!this.dialog.contains(document.activeElement) || document.activeElement.disabled || document.activeElement.hidden) button("next").focus();
      this.bar(at, seconds);
      this[name](this.player, seconds);
      if (this.running && !last) this.after(seconds, () => this.show(at + 1));
    }

    /** The share of the tour that has passed, moving on while it runs. */
    bar(at, seconds) {
      const total = this.scenes.length, mark = this.$("bar").firstElementChild;
      mark.style.transition = "none";
      mark.style.width = `${(100 * at) / total}%`;
      if (!this.running) return void (mark.style.width = `${(100 * (at + 1)) / total}%`);
      mark.getBoundingClientRect();
      mark.style.transition = `width ${seconds}s linear`;
      mark.style.width = `${(100 * (at + 1)) / total}%`;
    }

    after(seconds, call) {
      this.timers.push(setTimeout(call, 1000 * seconds));
    }

    /** Stand at frame k of the recorded run, with nothing asked. */
    stand(player, k) {
      if (this.lent) player.load(this.recording);
      this.lent = false;
      player.unask();
      player.seek(k);
    }

    /** Go to frame k and ask about a position there: at once where nothing may move by itself. */
    then(player, seconds, k, position) {
      const go = () => (player.seek(k), player.ask(position, true));
      if (this.running) this.after(seconds, go);
      else go();
    }

    /** Play from frame k to the end within about so many seconds. */
    play(player, k, seconds) {
      player.seek(k);
      player.clock.speed = (player.durationSeconds - player.frame.seconds) / seconds || 1;
      if (this.running) player.play();
      else player.seek(player.length - 1);
    }

    empty(player) {
      this.stand(player, 0);
    }

    step(player) {
      this.stand(player, this.running ? 0 : 2);
      if (this.running) [1, 2].forEach((k) => this.after(2 * k, () => player.seek(k)));
    }

    first(player) {
      const { index, position } = this.facts.first;
      this.stand(player, Math.max(0, index - 1));
      this.then(player, 2.5, index, position);
    }

    change(player) {
      const { from, to, position } = this.facts.change;
      this.stand(player, from);
      player.ask(position, true);
      this.then(player, 5, to, position);
    }

    check(player) {
      const { index, position } = this.facts.check;
      this.stand(player, index - 1);
      this.then(player, 3, index, position);
    }

    doubt(player) {
      const { from, index, to, position } = this.facts.doubt;
      this.stand(player, from);
      player.ask(position, true);
      this.then(player, 2.5, index, position);
      if (this.running) this.then(player, 5, to, position);
    }

    whole(player, seconds) {
      this.stand(player, 0);
      this.play(player, 0, seconds - 2);
    }

    typed(player, seconds) {
      this.stand(player, 0);
      this.lend(player, typed(this.recording, player.run), seconds - 1);
    }

    hasty(player, seconds) {
      this.lend(player, window.INKBLOT.tourRuns.hasty, Math.min(3, seconds - 1));
    }

    twin(player, seconds) {
      this.lend(player, window.INKBLOT.tourRuns.twin, seconds - 1);
    }

    who(player, seconds) {
      this.changed(player, "who", seconds);
    }

    many(player, seconds) {
      this.changed(player, "many", seconds);
    }

    when(player, seconds) {
      this.changed(player, "when", seconds);
    }

    /** The canvas with a word changed and others erased, for a while; then what is written into it. */
    changed(player, name, seconds) {
      this.lend(player, window.INKBLOT.tourRuns[name], 2);
      if (this.running) player.seek(0), this.after(seconds / 2, () => this.play(player, 0, 2));
    }

    /** Play another run than the recorded one. */
    lend(player, document, seconds) {
      player.unask();
      player.load(document);
      this.lent = true;
      this.play(player, 0, seconds);
    }

    yours(player) {
      this.stand(player, Infinity);
    }

    honest(player) {
      this.stand(player, Infinity);
    }

    end() {
      this.timers.forEach(clearTimeout);
      this.player.destroy();
      this.dialog.remove();
      if (this.before) this.before.focus();
    }
  }

  document.addEventListener("click", (event) => {
    const player = document.querySelector("#player .ib-host")?.__player, recording = player && player.recording;
    if (recording && event.target.closest && event.target.closest("[data-open=tour]")) new Tour(recording);
  });
})();
