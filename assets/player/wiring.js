/* Keyboard, pointer, theme and size: how a visitor reaches the player. */

const KEYS = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1 };

/** What an exact check says of the finished text: consistent, or the first contradiction, its words underlined. */
function verdict(player, result) {
  const line = player.$("verdict"), faults = result && result.faults, key = faults ? JSON.stringify(faults) : "";
  if (player.checked === key) return;
  player.checked = key;
  line.hidden = !faults;
  line.classList.toggle("ib-wrong", Boolean(faults && faults.length));
  const right = player.run.board ? ["Solved", "every row, column and box holds each digit once."] : ["Consistent", "every word agrees with every other."];
  const [verdict, why] = !faults ? [] : !faults.length ? right : [faults.length === 1 ? "1 contradiction" : `${faults.length} contradictions`, faults[0][0]];
  line.replaceChildren(...(faults ? [make("b", "", verdict), ` \u2013 ${why}`] : []));
  const marked = new Set(faults ? faults.flatMap(([, positions]) => positions) : []);
  player.canvas.cells.forEach((cell, i) => cell.el.classList.toggle("ib-fault", marked.has(i)));
}

/** The title line and the prompt of a run. */
function heading(player) {
  const { run, $ } = player, { header, model } = run;
  $("model").textContent = model.name || model.id;
  const badges = [];
  if (header.recorded) badges.push(["recorded", "recorded " + header.recorded]);
  if (run.ar) badges.push(["mode", "left to right (autoregressive)"]);
  if (header.branch) badges.push(["branch", "continued from " + header.branch]);
  if (player.live) badges.push(["now", "live"]);
  $("badges").replaceChildren(...badges.map(([name, text]) => make("span", "ib-badge-" + name, text)));
  $("prompt").querySelector("p").textContent = header.prompt;
  $("prompt").hidden = !player.options.prompt || !header.prompt;
  $("notice").textContent = header.notice || "";
  $("notice").hidden = !header.notice;
}

/** Knobs that were changed while the run was written, up to the step in view. */
function steered(player) {
  const changes = new Map();
  for (const frame of player.run ? player.run.frames.slice(0, player.index + 1) : []) {
    for (const [name, value] of Object.entries(frame.notes)) if (name.startsWith("set_")) changes.set(name.slice(4).replaceAll("_", " "), `${value} from step ${frame.step}`);
  }
  const badges = player.$("badges"), words = [...changes].map(([name, what]) => `${name} ${what}`).join(", ");
  let badge = badges.querySelector(".ib-badge-steered");
  if (!words) return badge?.remove();
  if (!badge) badges.append((badge = make("span", "ib-badge-steered", "")));
  badge.textContent = words;
}

function wire(player) {
  const { root, $ } = player, stop = new AbortController(), on = (target, name, call) => target.addEventListener(name, call, { signal: stop.signal });
  player.unwire = () => (stop.abort(), themes.disconnect(), sizes.disconnect());
  fillSpeeds($("speed"), player.clock.speed);
  on($("speed"), "change", () => (player.clock.speed = Number($("speed").value)));
  on($("clock"), "change", () => ((player.chose = true), player.pace($("clock").value)));
  on($("slider"), "input", () => player.go(Number($("slider").value)));
  const acts = { home: () => player.go(0), back: () => player.step(-1), play: () => player.toggle(), forward: () => player.step(1), end: () => player.go(player.length - 1), full: () => fullScreen(root) };
  on($("transport"), "click", (event) => {
    const button = event.target.closest("[data-do]");
    if (button) acts[button.dataset.do]();
  });
  on(player.host, "ib-frame", () => steered(player));
  on(root, "keydown", (event) => key(player, event));
  if (player.options.globalKeys) on(document, "keydown", (event) => !root.contains(event.target) && !event.target.closest("input, textarea, select, button, a, [contenteditable]") && key(player, event));
  tokens(player, on);
  const theme = () => root.classList.toggle("ib-dark", isDark(player));
  const themes = new MutationObserver(theme), dark = matchMedia("(prefers-color-scheme: dark)");
  themes.observe(document.body, { attributes: true, attributeFilter: ["class"] });
  on(dark, "change", theme);
  theme();
  const sizes = new ResizeObserver(() => {
    if (!player.canvas || !player.frame) return;
    player.canvas.outlined = null;
    player.canvas.outline(player.frame);
    if (!player.inspector.card.hidden) player.inspector.place(player.canvas.cells[player.inspector.position].ink, root);
  });
  sizes.observe($("stage"));
}

/** Gradio says dark with a class on the body; elsewhere the visitor's system decides, unless the page asks for one. */
function isDark(player) {
  if (player.options.theme) return player.options.theme === "dark";
  if (document.body.classList.contains("dark")) return true;
  return !document.querySelector(".gradio-container") && matchMedia("(prefers-color-scheme: dark)").matches;
}

function fullScreen(root) {
  if (document.fullscreenElement) document.exitFullscreen();
  else if (root.requestFullscreen) root.requestFullscreen().catch(() => {});
}

/** Space plays and pauses; arrows, Home, End, PageUp and PageDown move in time; in the canvas, arrows move between tokens. */
function key(player, event) {
  const tag = event.target.tagName, inText = event.target === player.$("text"), name = event.key;
  if (event.defaultPrevented || event.altKey || !player.run || event.target.matches("input:not([type=range]), textarea")) return;
  if (inText && player.hands && player.hands.key(event, player.canvas.active)) return event.preventDefault(), event.stopPropagation();
  if (event.ctrlKey || event.metaKey) return;
  if (tag === "SELECT") return;
  if (name === "Escape" && !player.inspector.card.hidden) player.unask();
  else if (inText && name.startsWith("Arrow")) walk(player, name);
  else if (inText && name === "Enter") player.pick(Math.max(0, player.canvas.active));
  else if (name in KEYS) player.step(KEYS[name]);
  else if (name === "Home") player.go(0);
  else if (name === "End") player.go(player.length - 1);
  else if (name === " " && tag !== "BUTTON") player.toggle();
  else if (name === "f" && player.options.controls) fullScreen(player.root);
  else return;
  event.preventDefault();
  event.stopPropagation();
}

/** Move the focus between tokens. */
function walk(player, name) {
  const { canvas } = player, n = player.frame.ids.length, forwards = canvas.box.dir === "rtl" ? "ArrowLeft" : "ArrowRight";
  let i = canvas.active;
  if (i < 0) i = player.hands ? player.hands.last : 0;
  else if (name === "ArrowUp" || name === "ArrowDown") i = canvas.vertical(i, name === "ArrowUp" ? -1 : 1);
  else i += name === forwards ? 1 : -1;
  player.ask(Math.max(0, Math.min(n - 1, i)), true);
}

/** Hover shows, a click or a tap pins, leaving hides what is not pinned. */
function tokens(player, on) {
  const text = player.$("text"), at = (event) => event.target.closest && event.target.closest(".ib-cell");
  let leaving = 0;
  on(text, "pointerover", (event) => {
    const cell = at(event);
    if (!cell || event.pointerType === "touch" || player.inspector.pinned) return;
    clearTimeout(leaving);
    player.ask(Number(cell.dataset.i), false);
  });
  on(text, "pointerleave", (event) => {
    if (event.pointerType !== "touch" && !player.inspector.pinned) leaving = setTimeout(() => !player.inspector.pinned && player.unask(), 150);
  });
  on(text, "click", (event) => {
    const cell = at(event), i = cell ? Number(cell.dataset.i) : -1;
    if (!cell || (player.inspector.pinned && player.inspector.position === i)) player.unask();
    else player.pick(i);
  });
  on(text, "focus", () => {
    if (text.matches(":focus-visible") && player.frame && player.inspector.card.hidden) player.ask(Math.max(0, player.canvas.active), true);
  });
}
