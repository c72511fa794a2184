/* Permalinks: page, model, way of writing, prompt, pinned words and knobs in the address's fragment, which no server ever sees.
   '#v1=' and base64url of JSON: {t: tab, m: model, w: way, p: prompt, s: system, n: pinned, k: {knob: value}}; knobs as the model starts with are left out. */

window.inkblotLink = (() => {
  const data = window.INKBLOT, names = Object.keys(data.fields), VERSION = "v1";
  const TABS = ["watch", "race", "lab"];

  const pack = (value) => btoa(String.fromCharCode(...new TextEncoder().encode(JSON.stringify(value)))).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  const unpack = (text) => JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0))));

  /** The tab in view, by its id. */
  function tab() {
    const buttons = [...document.querySelectorAll("#pages > .tab-wrapper [role=tab], #pages [role=tablist] [role=tab]")];
    const at = buttons.findIndex((button) => button.getAttribute("aria-selected") === "true");
    return TABS[Math.max(0, at)];
  }

  /** Return the fragment that says all this. */
  function fragment(model, mode, prompt, system, pinned, ...values) {
    const start = data.models[model]?.start || {}, knobs = {};
    names.forEach((name, i) => {
      if (values[i] !== (start[name] ?? data.fields[name].default)) knobs[name] = values[i];
    });
    const told = { t: tab(), m: model, w: mode, p: prompt, s: system || undefined, n: pinned || undefined, k: Object.keys(knobs).length ? knobs : undefined };
    return `#${VERSION}=${pack(told)}`;
  }

  /** Return what an address says, null where it says nothing that can be read. */
  function read(hash) {
    const found = new RegExp(`^#?${VERSION}=([\\w-]{1,60000})$`).exec(hash || "");
    if (!found) return null;
    try {
      const told = unpack(found[1]), text = (value) => (typeof value === "string" ? value : "");
      if (typeof told !== "object" || told === null) return null;
      const knobs = typeof told.k === "object" && told.k !== null ? told.k : {};
      return { tab: TABS.includes(told.t) ? told.t : "watch", model: text(told.m), mode: text(told.w), prompt: text(told.p), system: text(told.s), pinned: text(told.n), knobs };
    } catch {
      return null;
    }
  }

  /** Put the present settings into the address; the page they were on before is one step back. */
  function note(...values) {
    const next = fragment(...values);
    if (next !== location.hash) history.pushState(null, "", next);
  }

  /** Return [model, way, prompt, system, pinned, ...knobs] as the address says; what is there now where it says nothing. */
  function open(...now) {
    const told = read(location.hash);
    if (!told) return now;
    const known = data.models[told.model];
    if (told.model && !known) window.setTimeout(() => say(`This link is for the model "${told.model.slice(0, 60)}", which is not here; the rest of it is set.`), 300);
    const [model, mode] = known ? [told.model, known.modes.includes(told.mode) ? told.mode : known.modes[0]] : now;
    const start = data.models[model]?.start || {};
    const knobs = names.map((name, i) => (Object.hasOwn(told.knobs, name) && typeof told.knobs[name] === typeof data.fields[name].default ? told.knobs[name] : known ? start[name] ?? data.fields[name].default : now[5 + i]));
    show(told.tab);
    return [model, mode, told.prompt || now[2], told.system, told.pinned, ...knobs];
  }

  function show(name) {
    if (name === tab()) return;
    const button = [...document.querySelectorAll("#pages [role=tablist] [role=tab]")][TABS.indexOf(name)];
    button?.click();
  }

  function say(words) {
    const status = document.querySelector("#status span") || document.querySelector("#status");
    if (status) status.textContent = words;
  }

  /** Copy the address of what is set. */
  async function copy(...values) {
    const url = location.href.split("#")[0] + fragment(...values);
    history.replaceState(null, "", fragment(...values));
    try {
      await navigator.clipboard.writeText(url);
      say("The link is copied.");
    } catch {
      say("The address of the page is now the link: copy it from there.");
    }
  }

  // A page that is being left has nothing more to say: Gradio would log that its streams end.
  window.addEventListener("pagehide", () => (console.error = () => {}));
  window.addEventListener("beforeunload", () => (console.error = () => {}));
  window.addEventListener("popstate", () => document.querySelector("#link-open, [data-key=link-open]")?.click());
  return { fragment, read, note, open, copy };
})();
