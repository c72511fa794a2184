/* The runs of this visit as a tree under the canvas: what went on from what. Open, rename, drop, and compare two.
   mountTree(element, compare): draws `inkblotRuns` into the element; compare({ first, second, labels }) is called with two trace documents. */

window.inkblotTree = (() => {
  const make = (tag, name, text) => Object.assign(document.createElement(tag), { className: name, textContent: text ?? "" });
  const player = () => document.querySelector("#player .ib-host")?.__player;
  const called = (run) => run.name || (run.parent ? run.changed || "as it was" : run.prompt) || "a run";

  function button(word, title, press, name = "") {
    const made = make("button", name, word);
    Object.assign(made, { type: "button", title });
    if (title) made.setAttribute("aria-label", title);
    made.addEventListener("click", press);
    return made;
  }

  function mount(element, compare) {
    const runs = window.inkblotRuns, box = element.querySelector(".ink-runs"), list = box.querySelector(".ink-runs-list"), go = box.querySelector(".ink-runs-compare"), keep = box.querySelector(".ink-runs-save");
    let picked = [], renamed = "";

    /** Pick a run to compare or to save with others; a fifth one takes the place of the first. */
    function pick(id) {
      picked = picked.includes(id) ? picked.filter((one) => one !== id) : [...picked, id].slice(-4);
      draw();
    }

    function open(id) {
      const trace = runs.document(id);
      if (trace) player()?.receive({ run: id, trace, done: true });
      draw();
    }

    function field(run) {
      const input = Object.assign(document.createElement("input"), { type: "text", value: called(run), maxLength: 80, className: "ink-runs-name" });
      input.setAttribute("aria-label", "Name of this run");
      const end = (save) => {
        if (renamed !== run.id) return;
        renamed = "";
        if (save) runs.rename(run.id, input.value);
        else draw();
      };
      input.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== "Escape") return;
        event.preventDefault();
        event.stopPropagation();
        end(event.key === "Enter");
      });
      input.addEventListener("blur", () => end(true));
      return input;
    }

    function row(run, all) {
      const item = document.createElement("li"), line = item.appendChild(make("div", "ink-runs-row")), name = called(run);
      const check = Object.assign(document.createElement("input"), { type: "checkbox", checked: picked.includes(run.id) });
      check.setAttribute("aria-label", `Pick: ${name}`);
      check.addEventListener("change", () => pick(run.id));
      const shown = player()?.run?.id === run.id;
      const opens = renamed === run.id ? field(run) : button(name, "", () => open(run.id), "ink-runs-open");
      if (shown) opens.setAttribute("aria-current", "true");
      const facts = [run.parent && run.name ? run.changed : "", `seed ${run.seed}`, `${run.tokens} ${run.tokens === 1 ? "token" : "tokens"}`, run.model];
      line.append(check, opens, make("span", "ink-runs-facts", facts.filter(Boolean).join(" \u00b7 ")),
        button("Rename", `Rename: ${name}`, () => ((renamed = run.id), draw(), list.querySelector(".ink-runs-name")?.select())),
        button("Drop", `Drop: ${name}`, () => runs.drop(run.id)));
      const below = all.filter((one) => one.parent === run.id);
      if (below.length) item.append(tree(below, all));
      return item;
    }

    function tree(some, all) {
      const made = document.createElement("ul");
      made.append(...some.map((run) => row(run, all)));
      return made;
    }

    function draw() {
      const all = runs.list(), ids = new Set(all.map((run) => run.id));
      picked = picked.filter((id) => ids.has(id));
      box.hidden = !all.length;
      box.querySelector(".ink-runs-count").textContent = all.length;
      list.replaceChildren(tree(all.filter((run) => !ids.has(run.parent)), all));
      go.disabled = picked.length !== 2;
      keep.disabled = picked.length < 2;
    }

    const chosen = () => picked.map((id) => [runs.find(id), runs.document(id)]);
    const gone = (some) => some.some(([run, doc]) => !run || !doc) && (draw(), true);

    go.addEventListener("click", () => {
      const two = chosen();
      if (gone(two)) return;
      const bare = (doc) => ({ ...doc, candidates: null, extra_vocab: {} }); // a comparison needs no candidates
      compare({ first: bare(two[0][1]), second: bare(two[1][1]), labels: two.map(([run]) => called(run)) });
    });
    keep.addEventListener("click", () => {
      const some = chosen();
      if (!gone(some)) window.inkblotExport.branches(some.map(([run, doc]) => [called(run), doc]));
    });
    box.querySelector(".ink-runs-clear").addEventListener("click", () => runs.clear());
    runs.listeners.push(draw);
    document.querySelector("#player")?.addEventListener("ib-end", draw);
    draw();
  }

  return { mount };
})();
