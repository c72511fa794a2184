/* Take a run away, and bring one back: the run in view as one HTML page, as GIF, video, picture, JSON, text or Markdown, all made in the
   browser; a trace file from disk is shown in the player, without a server. A race's lanes come as one GIF, video or picture.
   The page's own player is fetched once from '/player.html', a page with a place for a trace; the GIF encoder from '/gifenc.js'. */

window.inkblotExport = (() => {
  const PLACE = "__INKBLOT_TRACE__", MOST = 8_000_000, MOST_FILES = 24;
  const RACE_LASTS = 8; // seconds a race takes in a GIF or video
  const player = () => document.querySelector("#player .ib-host")?.__player;
  const race = () => document.querySelector("#race-stage .rs-stage")?.__stage;
  let ending = false, busy = false;

  function say(words, where = "save") {
    const status = document.querySelector(`#${where}-status`);
    if (status) status.textContent = words;
  }

  /** A file name that says model, prompt and seed. */
  function named(doc, end, after = "", before = "") {
    const { model, prompt, settings } = doc.header, short = (text) => String(text).normalize("NFKD").replace(/[^\w]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 40).replace(/-+$/, "");
    return ["inkblot", before, short(model.id), short(prompt).toLowerCase(), `seed-${settings?.seed ?? 0}`, after].filter(Boolean).join("_") + "." + end;
  }

  function save(content, name, type) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  const inert = (json) => json.replaceAll("<", "\\u003c").replaceAll("\u2028", "\\u2028").replaceAll("\u2029", "\\u2029");

  let page = null;
  async function template() {
    page ??= await fetch("player.html").then((answer) => (answer.ok ? answer.text() : Promise.reject(new Error(String(answer.status)))));
    return page;
  }

  const KINDS = {
    html: async (doc) => save((await template()).replace(PLACE, () => inert(JSON.stringify(doc))), named(doc, "html"), "text/html"),
    json: async (doc) => save(JSON.stringify(doc), named(doc, "json"), "application/json"),
    text: async (doc) => save(written(doc), named(doc, "txt"), "text/plain"),
    markdown: async (doc) => save(markdown(doc), named(doc, "md"), "text/markdown"),
  };

  /** The run as a few lines for notes or a slide. */
  function markdown({ header, result }) {
    const quote = (text) => String(text).split("\n").map((line) => "> " + line).join("\n");
    const facts = result ? `${result.tokens} tokens, ${result.forwards} forward passes, ${result.seconds} s` : "unfinished";
    const where = [header.hardware || header.device, header.dtype].filter(Boolean).join(", ");
    return `**${header.model.name}**, ${header.mode === "ar" ? "left to right" : "denoised"}: ${facts} (${where}).\n\nPrompt: ${header.prompt}\n\n${quote(written({ result }))}\n`;
  }

  /** The text of the run in view; a run without a result has what stands in its last step. */
  const written = (doc) => doc.result?.text ?? player().run.text(player().run.frames[player().length - 1]);

  // ---------------------------------------------------------------- pictures and films
  /** The run in view, or the race's lanes: their traces, names, frames in view and the frames' times on the visitor's clock. */
  function shown(where) {
    if (where === "save") {
      const one = player();
      return one?.document && { docs: [one.document], host: one.host, labels: [], at: [one.index], root: one.root, times: [one.run.times.map((_, k) => one.clock.due(k) / one.clock.speed)] };
    }
    const stage = race(), lanes = stage?.lanes.filter((lane) => lane.player?.document) || [];
    if (!stage?.ready || !lanes.length) return null;
    const [first] = lanes, unit = RACE_LASTS / (stage.duration() || 1);
    return { docs: lanes.map((lane) => lane.player.document), host: first.host, labels: lanes.map((lane) => lane.data.label), at: lanes.map((lane) => lane.player.index),
      root: first.player.root, times: lanes.map((lane) => lane.data[stage.clock].map((t) => t * unit)) };
  }

  /** Now and then let the page breathe and say how far it is, and end where the visitor says so. */
  function working(where, words) {
    let last = 0;
    return async (share) => {
      if (performance.now() - last > 150) {
        say(`${words}: ${Math.round(100 * share)} %`, where);
        await new Promise((go) => setTimeout(go));
        last = performance.now();
      }
      if (ending) throw new Error("ended");
    };
  }

  /** Save frames in view as 'png' or 'svg', whole runs as 'gif' or 'video'. */
  async function film(kind, where = "save") {
    const what = shown(where);
    if (busy) return;
    if (!what) return say(where === "save" ? "There is no finished run to save yet." : "There is no finished race to save yet.", where);
    const bar = document.querySelector(`#${where}-status`).closest(".ink-save");
    [busy, ending] = [true, false];
    bar.classList.add("ink-busy");
    let picture = null;
    try {
      picture = new inkblotPicture.Picture(what.docs, what.host.parentElement, { theme: what.root.classList.contains("ib-dark") ? "dark" : "light", labels: what.labels });
      const still = kind === "png" || kind === "svg", step = working(where, kind === "gif" ? "GIF" : "Video, in its own time");
      const blob = still ? await inkblotFilm[kind](picture, what.at) : await inkblotFilm[kind](picture, inkblotFilm.plan(what.times, kind === "gif" ? inkblotFilm.room(picture) : undefined), step);
      const end = { "video/webm": "webm", "video/mp4": "mp4" }[blob.type] || kind;
      save(blob, named(what.docs[0], end, still && `step-${picture.lanes[0].frames[what.at[0]].step}`, where === "race-save" && "race"));
      say(`Saved, ${blob.size > 1e6 ? (blob.size / 1e6).toFixed(1) + " MB" : Math.ceil(blob.size / 1000) + " kB"}.`, where);
    } catch (error) {
      say(ending ? "Nothing was saved." : `It could not be saved: ${error.message}.`, where);
    } finally {
      picture?.destroy();
      busy = false;
      bar.classList.remove("ink-busy");
    }
  }

  const cancel = () => (ending = true);

  /** Save lanes as one page: talk mode with nothing but these, on one clock. */
  async function beside(lanes, before, where) {
    try {
      const answer = await fetch("talk");
      if (!answer.ok) throw new Error(String(answer.status));
      const doc = lanes[0].trace, items = inert(JSON.stringify([{ title: doc.header.prompt.slice(0, 80), notes: "", lanes }]));
      const page = (await answer.text()).replace(/(<script type="application\/json" id="talk">)[^]*?(<\/script>)/, (_, opens, closes) => opens + items + closes);
      save(page, named(doc, "html", "", before), "text/html");
      say("Saved. In it, ? lists the keys.", where);
    } catch {
      say("It could not be saved: the page's server does not answer.", where);
    }
  }

  /** Save a race as one page. */
  function racePage() {
    const lanes = race()?.lanes.filter((lane) => lane.player?.document).map(({ data }) => data);
    if (!shown("race-save")) return say("There is no finished race to save yet.", "race-save");
    return beside(lanes.map((lane) => ({ ...lane, trace: typeof lane.trace === "string" ? JSON.parse(lane.trace) : lane.trace })), "race", "race-save");
  }

  /** A run as a lane: its trace, and where it stood after each frame. */
  function laneOf(label, trace) {
    const one = mountPlayer(document.createElement("div"), { trace, controls: false }), { frames } = one.run, tokens = trace.result?.tokens ?? frames.at(-1).states.length;
    const standing = ({ states }) => states.subarray(0, tokens).reduce((sum, state) => sum + ![1, 2, 3, 6, 7].includes(state), 0); // as playground/web/views/plots.py counts
    const lane = { label, phase: "written", tokens, trace, seconds: frames.map((frame) => frame.seconds), forwards: frames.map((frame) => frame.forwards), counts: frames.map(standing) };
    one.destroy();
    return lane;
  }

  /** Save several runs of this visit, [name, trace document] each, as one page. */
  const branches = (some) => beside(some.map(([label, trace]) => laneOf(label, trace)), "branches", "save");

  /** Copy what shows the run in view on somebody's page, and save the script it needs. */
  async function embed() {
    const doc = player()?.document;
    if (!doc) return say("There is no finished run to embed yet.");
    const file = named(doc, "json"), code = `<script src="inkblot-player.js"><\/script>\n<inkblot-player src="${file}"></inkblot-player>`;
    try {
      const answer = await fetch("inkblot-player.js");
      if (!answer.ok) throw new Error(String(answer.status));
      save(await answer.text(), "inkblot-player.js", "text/javascript");
    } catch {
      return say("It could not be made: the page's server does not answer.");
    }
    const copied = await navigator.clipboard.writeText(code).then(() => true, () => false);
    say(copied ? `The code is copied. Put inkblot-player.js, just saved, and ${file} beside your page.` : code);
  }

  /** Save the run in view. */
  async function run(kind) {
    const doc = player()?.document;
    if (!doc) return say("There is no finished run to save yet.");
    try {
      await KINDS[kind](doc);
      say("Saved.");
    } catch (error) {
      say("It could not be saved: the page's server does not answer.");
    }
  }

  // ---------------------------------------------------------------- files
  /** Return a file's trace document, or the sentence why it has none. */
  async function read(file) {
    if (file.size > MOST) return `A trace may have at most ${MOST / 1e6} MB; ${file.name} has ${(file.size / 1e6).toFixed(1)}.`;
    try {
      const doc = inkblotForeign.read(await file.text()), wrong = player().accepts(doc);
      return wrong ? `${file.name} cannot be shown: ${wrong}.` : doc;
    } catch (error) {
      return `${file.name} cannot be shown: ${error.constructor === Error ? error.message : "it is damaged"}.`;
    }
  }

  const show = (doc, run) => player().receive({ run, trace: doc, done: true, play: true });

  /** Show the first trace of these files; the others stand in the list of runs. What was shown stays where there is none. */
  async function open(files) {
    let shown = "", said = "", kept = 0;
    for (const [i, file] of [...files].entries()) {
      const doc = await read(file), run = `file-${Date.now()}-${i}`;
      if (typeof doc === "string") said ||= doc;
      else if (shown) (window.inkblotRuns.add(run, doc), kept++);
      else (show(doc, run), (shown = file.name));
    }
    say(shown ? `${shown} is shown.${kept ? ` ${kept} more ${kept > 1 ? "stand" : "stands"} in the list of runs.` : ""}${said ? " " + said : ""}` : said);
  }

  function choose() {
    const field = document.createElement("input");
    Object.assign(field, { type: "file", multiple: true, accept: ".json,.jsonl,application/json" });
    field.addEventListener("change", () => open(field.files));
    field.click();
  }

  /** Show a recording that ships. */
  async function recorded(name) {
    if (!name) return;
    try {
      const answer = await fetch("recorded/" + encodeURIComponent(name));
      if (!answer.ok) throw new Error(String(answer.status));
      show(await answer.json(), "recorded-" + name + Date.now());
      say("");
    } catch {
      say("It cannot be shown: the page's server does not answer.");
    }
  }

  /** The files of a drop; of a dropped folder those in it, by name. */
  async function dropped(transfer) {
    const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean), folder = entries.find((entry) => entry.isDirectory);
    if (!folder) return [...transfer.files];
    const inside = await new Promise((done) => folder.createReader().readEntries(done, () => done([])));
    const files = inside.filter((entry) => entry.isFile && /\.jsonl?$/.test(entry.name)).sort((a, b) => (a.name < b.name ? -1 : 1)).slice(0, MOST_FILES);
    return Promise.all(files.map((entry) => new Promise((done, failed) => entry.file(done, failed))));
  }

  document.addEventListener("dragover", (event) => {
    if (event.target.closest?.("#player") && event.dataTransfer?.types.includes("Files")) event.preventDefault();
  });
  document.addEventListener("drop", async (event) => {
    if (!event.target.closest?.("#player") || !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    const files = await dropped(event.dataTransfer);
    if (files.length) open(files.slice(0, MOST_FILES));
    else say("There is no trace in that folder.");
  });
  return { run, film, cancel, racePage, branches, embed, open, choose, recorded };
})();
