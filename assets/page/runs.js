/* Runs that were made here, kept in the browser alone: `new InkblotRuns(storage, prefix)` over sessionStorage or localStorage.
   One index (what a list shows, oldest first) and one entry a run (its whole trace). When there is no room, the oldest go.
   A kept run: id, parent (the run it went on from, '' where none), name, prompt, model, changed (what was changed by hand), seed, tokens, at.
   `window.inkblotRuns` keeps those of this visit: a reload shows the last one again. */

class InkblotRuns {
  constructor(storage, prefix, { most = 50, room = 4_000_000 } = {}) {
    Object.assign(this, { storage, prefix, most, room, listeners: [], next: null });
  }

  /** What is kept, oldest first. */
  list() {
    try {
      const found = JSON.parse(this.storage.getItem(this.prefix));
      return Array.isArray(found) ? found : [];
    } catch {
      return []; // none yet, or none allowed
    }
  }

  find(id) {
    return this.list().find((run) => run.id === id);
  }

  /** The next run goes on from this one. words: what was changed. */
  branch(id, words = "") {
    this.next = { parent: id, changed: words };
  }

  /** Keep a finished run. doc: its trace document, parsed or as JSON text. */
  add(id, doc) {
    const text = typeof doc === "string" ? doc : JSON.stringify(doc), { header, result } = typeof doc === "string" ? JSON.parse(doc) : doc;
    const from = header.branch && this.next ? this.next : { parent: "", changed: "" };
    this.next = null;
    if (text.length > this.room) return; // alone it is too large
    const run = { id, ...from, name: "", prompt: header.prompt.slice(0, 200), model: header.model.name, seed: header.settings?.seed ?? 0, tokens: result?.tokens ?? 0, size: text.length, at: Date.now() };
    let runs = [...this.list().filter((one) => one.id !== id), run];
    const full = () => runs.length > this.most || runs.reduce((sum, one) => sum + one.size, 0) > this.room;
    while (runs.length > 1 && full()) runs = this.without(runs, runs[0].id);
    for (;;) {
      try {
        this.storage.setItem(`${this.prefix}:${id}`, text);
        break;
      } catch {
        if (runs.length < 2) return this.write([]); // no room at all, or none allowed
        runs = this.without(runs, runs[0].id);
      }
    }
    this.write(runs);
  }

  /** The trace document of a kept run, null where it is gone. */
  document(id) {
    try {
      return JSON.parse(this.storage.getItem(`${this.prefix}:${id}`));
    } catch {
      return null;
    }
  }

  /** The newest run as a player's message, null where there is none. */
  last() {
    const newest = this.list().at(-1), trace = newest && this.document(newest.id);
    return trace ? { run: newest.id, trace, done: true } : null;
  }

  rename(id, name) {
    this.write(this.list().map((run) => (run.id === id ? { ...run, name: name.trim().slice(0, 80) } : run)));
  }

  /** Forget a run; what went on from it hangs on what it went on from. */
  drop(id) {
    this.write(this.without(this.list(), id));
  }

  /** Forget all of them. */
  clear() {
    this.write(this.list().reduce((runs, run) => this.without(runs, run.id), this.list()));
  }

  without(runs, id) {
    const gone = runs.find((run) => run.id === id);
    this.storage.removeItem(`${this.prefix}:${id}`);
    return runs.filter((run) => run.id !== id).map((run) => (run.parent === id ? { ...run, parent: gone.parent } : run));
  }

  write(runs) {
    try {
      this.storage.setItem(this.prefix, JSON.stringify(runs));
    } catch {
      // none allowed: then nothing is kept
    }
    this.tell();
  }

  tell() {
    for (const listener of this.listeners) listener();
  }
}

window.InkblotRuns = InkblotRuns;
window.inkblotRuns = (() => {
  const nothing = { getItem: () => null, setItem() {}, removeItem() {} };
  try {
    return new InkblotRuns(window.sessionStorage, "inkblot-runs");
  } catch {
    return new InkblotRuns(nothing, ""); // a browser that keeps nothing for this page
  }
})();
