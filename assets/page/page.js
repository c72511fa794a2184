/* The page's own script: what applies is shown, presets set knobs, Ctrl+Enter runs, Esc stops, a run is copied as a command.
   window.inkblot is called by Gradio events with the values of controls; INKBLOT holds what playground/controls.py tells. */

window.inkblot = (() => {
  const data = window.INKBLOT, names = Object.keys(data.fields);

  /** What does not apply is hidden by a style sheet, so that it holds for blocks that Gradio mounts later (a folded accordion's). */
  const sheet = document.head.appendChild(document.createElement("style"));
  let hidden = new Set();

  /** What is known of a model; one that the page has not heard of is taken for a masked one. */
  const known = (model) => data.models[model] || { family: "masked", modes: data.modes, presets: {}, defaults: {}, start: {} };

  /** Remember an own checkpoint. */
  function learn(told) {
    const { id, ...spec } = JSON.parse(told);
    data.models[id] = spec;
  }

  /** Return [prompt, way of writing, preset, ...knobs] as a model that was just chosen starts; the seed stays, and so does what was typed:
   *  only an example, which suits other models, gives way to one of its own. */
  function choose(model, prompt, mode, preset, ...values) {
    const spec = known(model), all = data.prompts, own = all[spec.examples] || all.chat;
    const example = !prompt.trim() || Object.values(all).some((texts) => texts.includes(prompt));
    return [example && !own.includes(prompt) ? own[0] : prompt, spec.modes.includes(mode) ? mode : spec.modes[0], data.preset in spec.presets ? data.preset : preset, ...names.map((name, i) => (name === "seed" ? values[i] : spec.start[name] ?? values[i]))];
  }

  /** Show the knobs that apply to the model, the way of writing and the rules, grey those that nothing reads now, and mark the chosen schedule's curve. */
  function sync(model, mode, rule, remasking, schedule, temperature) {
    const spec = known(model), ar = mode === "ar";
    const family = ar ? "autoregressive" : spec.family;
    const applies = (name) => {
      const field = data.fields[name], fits = family !== "masked" || (field.rules.includes(rule) && field.remasking.includes(remasking));
      return field.families.includes(family) && fits && (name !== "guidance" || spec.guidance) && !(spec.canvas && (name === "new_tokens" || name === "block_length"));
    };
    hidden = new Set(names.filter((name) => !applies(name)));
    const gone = [...hidden].map((name) => "#knob-" + name);
    if (hidden.has("schedule")) gone.push("#curves");
    if (ar) gone.push("#pinned");
    if (spec.modes.length < 2) gone.push("#mode");
    if (!Object.keys(spec.presets).length) gone.push("#preset");
    else for (const name of data.presetNames) if (!(name in spec.presets)) gone.push(`#preset label:has(input[value="${name}"])`);
    for (const kind of Object.keys(data.prompts)) if (kind !== (spec.examples || "chat")) gone.push("#examples-" + kind);
    if (!spec.vision) gone.push("#image");
    if (spec.fills === false) gone.push("#fill");
    if (spec.examples !== "worlds") gone.push("#change");
    const idle = temperature > 0 ? [] : names.filter((name) => data.fields[name].sampling).map((name) => "#knob-" + name);
    const grey = idle.length ? `:is(${idle}) input[type=range] { opacity: 0.4; filter: grayscale(1); } :is(${idle})::after { content: "Not read at temperature 0: the likeliest token is taken."; font-size: 0.8rem; color: var(--body-text-color-subdued); }` : "";
    const said = data.presetNames.map((name) => `body:has(#preset input[value="${name}"]:checked) #preset-line p[data-model="${CSS.escape(model)}"][data-preset="${name}"]`);
    const purpose = ar ? "" : `:is(${said.join(", ")}) { display: block !important; }`;
    sheet.textContent = `${grey} ${gone.join(", ")} { display: none !important; } :is(#model-line, #fill-reach) p[data-model="${CSS.escape(model)}"] { display: block !important; } ${purpose} #curves polyline[data-schedule="${CSS.escape(schedule)}"] { stroke: var(--color-accent); stroke-width: 2.5; }`;
  }

  /** Return the knobs' values after a preset: its own, and the present ones for the rest. */
  function preset(name, model, ...values) {
    return told(model, names.map((knob, i) => known(model).presets[name]?.[knob] ?? values[i]));
  }

  /** The player is told of knobs that were moved: the run in view may go on with them. */
  function told(model, values) {
    const hands = document.querySelector("#player .ib-host")?.__player?.hands;
    if (hands) hands.tune(model, Object.fromEntries(names.map((name, i) => [name, values[i]])));
    return values;
  }

  /** Return the preset that the knobs are set to, 'custom' where they are none of the model's. */
  function named(model, ...values) {
    told(model, values);
    const presets = Object.entries(known(model).presets), at = (knob) => values[names.indexOf(knob)];
    const found = presets.find(([, set]) => Object.entries(set).every(([knob, value]) => at(knob) === value));
    return found ? found[0] : "custom";
  }

  /** Return a text with holes that suits a model. */
  const holes = (model) => data.holes[known(model).examples] || data.holes.chat;

  /** Change one word of the run in view; what hangs on it is written anew. */
  function change(button) {
    const player = document.querySelector("#player .ib-host")?.__player;
    player?.options.go({ change: button.dataset.change, words: `${button.dataset.change} changed` });
  }

  /** A knob that was moved while a run is written changes it from the next step on; quick moves are told together. */
  const moved = {};
  let telling = 0;
  function steer(name, value) {
    const player = document.querySelector("#player .ib-host")?.__player;
    if (!player?.live || typeof value !== "number") return;
    moved[name] = value;
    clearTimeout(telling);
    telling = setTimeout(() => {
      const values = { ...moved };
      for (const key of Object.keys(moved)) delete moved[key];
      if (player.live) player.options.steer(values);
    }, 120);
  }

  const shell = (text) => (/^[\w./:=-]+$/.test(text) ? text : "'" + String(text).replaceAll("'", "'\\''") + "'");
  const python = (value) => (typeof value === "string" ? JSON.stringify(value) : String(value));

  /** Return the run as [command line, Python]. Left out are knobs that do not apply, are at their default or, on the command line, the
      model's own. A command line that says nothing of how to write would begin with a preset, so it always says something. */
  function recipes(prompt, model, mode, system, pinned, ...values) {
    const shown = names.map((name, i) => [name, values[i]]).filter(([name]) => !hidden.has(name)), own = known(model), image = values[names.length];
    const set = shown.filter(([name, value]) => value !== data.fields[name].default);
    const differs = shown.filter(([name, value]) => value !== (own.defaults[name] ?? data.fields[name].default));
    const how = ([name]) => name !== "new_tokens" && name !== "seed";
    const given = differs.some(how) ? differs : [shown.find(how), ...differs];
    const more = [["model", model, "builtin"], ["mode", mode, own.modes[0]], ["image", image && own.vision && "FILE", ""], ["system", system, ""], ["pinned", pinned, ""]].filter(([, value, usual]) => value && value !== usual);
    const options = [["prompt", prompt], ...more, ...given].map(([name, value]) => `--${name.replaceAll("_", "-")}${String(value).startsWith("-") ? "=" : " "}${shell(String(value))}`);
    const lines = String(pinned || "").split("\n").map((line) => line.match(/^\s*(\d+)\s*:(.*)$/)).filter(Boolean).map(([, at, words]) => `${at}: ${python(words)}`);
    const extra = [mode !== "diffusion" && `mode=${python(mode)}`, system && `system=${python(system)}`, lines.length && `pinned={${lines.join(", ")}}`, image && own.vision && 'image=open("FILE", "rb").read()'].filter(Boolean);
    const settings = `Settings(${set.map(([name, value]) => `${name}=${python(value)}`).join(", ")})`;
    return [
      `python -m playground run ${options.join(" ")}`,
      `from model import Settings, load\n\nrun = load(${python(model)}).denoise(${[python(prompt), settings, ...extra].join(", ")})\nfor frame in run:\n    print(frame.step, frame.undecided)\nprint(run.trace.final_text)\n`,
    ];
  }

  document.addEventListener("keydown", (event) => {
    const press = (id) => [...document.querySelectorAll(`[data-key="${id}"], #${id}`)].find((button) => button.offsetParent)?.click();
    if (event.isComposing || event.keyCode === 229) return; // an input method is choosing its characters
    const inPrompt = event.target.closest?.("#prompt, #race-prompt"), plain = !event.shiftKey && !event.altKey;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey || (inPrompt && plain))) {
      event.preventDefault();
      event.stopPropagation();
      press(event.target.closest?.("#race-prompt") ? "race-run" : "run");
    } else if (event.key === "Escape" && !event.defaultPrevented && !document.fullscreenElement && !opened(event)) press("stop");
  }, true);

  /** Whether something is open that Escape closes first: a list of choices, a dialog, or the card of a token, which this closes. */
  function opened(event) {
    if (event.target.getAttribute?.("aria-expanded") === "true" || document.querySelector("ul.options, dialog[open]")) return true;
    const player = document.querySelector("#player .ib-host")?.__player;
    if (!player?.inspector.pinned) return false;
    player.unask();
    return true;
  }

  return { sync, preset, named, choose, learn, recipes, holes, change, steer };
})();
