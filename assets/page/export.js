/* Take a run away, and bring one back: the run in view as one HTML page, as JSON, text or Markdown, all made in the browser; a trace file
   from disk is shown in the player, without a server. The page's own player is fetched once from '/player.html', a page with a place for a trace. */

window.inkblotExport = (() => {
  const PLACE = "__INKBLOT_TRACE__", MOST = 8_000_000;
  const player = () => document.querySelector("#player .ib-host")?.__player;

  function say(words) {
    const status = document.querySelector("#save-status");
    if (status) status.textContent = words;
  }

  /** A file name that says model, prompt and seed. */
  function named(doc, end) {
    const { model, prompt, settings } = doc.header, short = (text) => String(text).normalize("NFKD").replace(/[^\w]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 40);
    return ["inkblot", short(model.id), short(prompt).toLowerCase(), `seed-${settings?.seed ?? 0}`].filter(Boolean).join("_") + "." + end;
  }

  function save(text, name, type) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
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
    text: async (doc) => save(doc.result?.text ?? "", named(doc, "txt"), "text/plain"),
    markdown: async (doc) => save(markdown(doc), named(doc, "md"), "text/markdown"),
  };

  /** The run as a few lines for notes or a slide. */
  function markdown({ header, result }) {
    const quote = (text) => String(text).split("\n").map((line) => "> " + line).join("\n");
    const facts = result ? `${result.tokens} tokens, ${result.forwards} forward passes, ${result.seconds} s` : "unfinished";
    const where = [header.hardware || header.device, header.dtype].filter(Boolean).join(", ");
    return `**${header.model.name}**, ${header.mode === "ar" ? "left to right" : "denoised"}: ${facts} (${where}).\n\nPrompt: ${header.prompt}\n\n${quote(result?.text ?? "")}\n`;
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
  /** Show a trace file; what was shown stays where it is none. */
  async function open(file) {
    if (!file) return;
    if (file.size > MOST) return say(`A trace may have at most ${MOST / 1e6} MB; this file has ${(file.size / 1e6).toFixed(1)}.`);
    let doc;
    try {
      doc = JSON.parse(await file.text());
    } catch {
      return say(`${file.name} is no trace: it is not JSON.`);
    }
    const wrong = player().accepts(doc);
    if (wrong) return say(`${file.name} cannot be shown: ${wrong}.`);
    player().receive({ run: "file-" + Date.now(), trace: doc, done: true, play: true });
    say(`${file.name} is shown.`);
  }

  function choose() {
    const field = document.createElement("input");
    Object.assign(field, { type: "file", accept: ".json,application/json" });
    field.addEventListener("change", () => open(field.files[0]));
    field.click();
  }

  document.addEventListener("dragover", (event) => {
    if (event.target.closest?.("#player") && event.dataTransfer?.types.includes("Files")) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    if (!event.target.closest?.("#player") || !event.dataTransfer?.files.length) return;
    event.preventDefault();
    open(event.dataTransfer.files[0]);
  });
  return { run, open, choose };
})();
