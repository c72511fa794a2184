/* Traces that others write, as documents the player shows; they say of themselves where they come from. Known: dLLM-viz 0.1, as one JSON
   object or as JSON lines (github.com/nishide-dev/dllm-viz, docs/spec.md): slots with states, changed by operations, frame by frame. */

window.inkblotForeign = (() => {
  const CELLS = 2_000_000, LETTER = { prompt: "P", masked: "m", proposed: "m", unknown: "m", committed: "s", fixed: "s", padding: "e" };
  const need = (truth, otherwise) => {
    if (!truth) throw new Error(otherwise);
  };
  const list = (value, what) => (need(Array.isArray(value), `its ${what} is not a list`), value);
  const base64 = (bytes) => btoa(String.fromCharCode(...bytes));
  const text = (value) => (typeof value === "string" ? value.slice(0, 20_000).toWellFormed?.() ?? value.slice(0, 20_000) : "");

  function bits(places, length) {
    const out = new Uint8Array(Math.ceil(length / 8));
    for (const i of places) out[i >> 3] |= 1 << (i & 7);
    return base64(out);
  }

  /** One object from JSON lines: metadata first, then frames, checkpoints and the final result. */
  function assembled(source) {
    const events = source.split("\n").filter((line) => line.trim()).map((line, i) => {
      try {
        return JSON.parse(line);
      } catch {
        throw new Error(`line ${i + 1} is not JSON`);
      }
    });
    need(events[0]?.type === "metadata" && typeof events[0].trace === "object" && events[0].trace, "its first line tells no trace");
    const trace = { ...events[0].trace, frames: [...list(events[0].trace.frames ?? [], "list of frames")] };
    for (const event of events.slice(1)) {
      need(["frame", "checkpoint", "final"].includes(event?.type), "a line is of a kind that dLLM-viz 0.1 does not know");
      if (event.type === "frame") trace.frames.push(event.frame);
      if (event.type === "final") trace.final = event.final;
    }
    return trace;
  }

  /** The slots as they stand, and what an operation does to them. */
  class Slots {
    constructor(first) {
      this.all = list(first, "list of slots").map((slot) => this.slot(slot));
      this.fresh();
    }

    slot(slot) {
      need(typeof slot?.slotId === "string" && (Object.hasOwn(LETTER, slot.state) || slot.state === "renoised"), "a slot has no name or no known state");
      const given = slot.state === "fixed"; // from the start: it was never the model's to decide
      return { id: slot.slotId, token: slot.tokenId, text: slot.text, state: slot.state, given, prompt: slot.region === "prompt" || slot.state === "prompt", p: 0, guesses: null };
    }

    fresh() {
      for (const slot of this.all) slot.now = "";
    }

    find(id) {
      const at = this.all.findIndex((slot) => slot.id === id);
      need(at >= 0, "an operation names a slot that is not there");
      return at;
    }

    after(id) {
      return id === undefined ? 0 : this.find(id) + 1;
    }

    apply(op) {
      const here = () => this.all[this.find(op.slotId)], sure = (slot) => (typeof op.confidence === "number" ? (slot.p = Math.min(1, Math.max(0, op.confidence))) : slot.p);
      const deeds = {
        "set-token": () => {
          const slot = here(), decided = op.state === "committed" && slot.state !== "committed";
          Object.assign(slot, { token: op.tokenId ?? slot.token, text: op.text ?? slot.text, state: Object.hasOwn(LETTER, op.state) || op.state === "renoised" ? op.state : slot.state, now: decided ? "c" : slot.now });
          sure(slot);
        },
        commit: () => sure(Object.assign(here(), { token: op.tokenId, text: op.text, state: "committed", now: "c", guesses: null })),
        mask: () => ((slot) => Object.assign(slot, { now: this.stands(slot) ? "t" : "", state: "masked", kept: slot.text, token: undefined, text: undefined }))(here()),
        renoise: () => ((slot) => Object.assign(slot, { now: this.stands(slot) ? "t" : "", state: "renoised" }))(here()),
        "insert-slots": () => this.all.splice(this.after(op.afterSlotId), 0, ...list(op.slots, "list of slots").map((slot) => ({ ...this.slot(slot), now: "" }))),
        "delete-slots": () => list(op.slotIds, "list of slots").forEach((id) => this.all.splice(this.find(id), 1)),
        "move-slot": () => this.all.splice(this.after(op.afterSlotId), 0, ...this.all.splice(this.find(op.slotId), 1)),
        "set-distribution": () => (here().guesses = list(op.candidates, "list of candidates").slice(0, 3)),
        "set-projection": () => {},
        "set-scalar": () => {},
      };
      need(Object.hasOwn(deeds, op?.type), "an operation is of a kind that dLLM-viz 0.1 does not know");
      deeds[op.type]();
    }

    stands(slot) {
      return slot.state === "committed" || slot.state === "fixed";
    }
  }

  /** Every position of a frame: [letter, id, probability, guesses]. */
  function positions(slots, ids) {
    return slots.all.filter((slot) => !slot.prompt).map((slot) => {
      const letter = slot.now || (slot.given && slot.state === "fixed" ? "F" : LETTER[slot.state] ?? "m"), open = letter === "m" || letter === "t";
      const shown = slot.text ?? (slot.token === undefined ? "" : `\u27e8${Number(slot.token)}\u27e9`);
      const guesses = slot.guesses ?? (slot.state === "proposed" ? [{ text: shown, probability: slot.p }] : []);
      return [letter, open || letter === "e" ? -1 : ids(shown), Math.round(255 * slot.p), open ? guesses.map((one) => [ids(one?.text ?? `\u27e8${Number(one?.tokenId)}\u27e9`), Math.round(255 * Math.min(1, Math.max(0, Number(one?.probability) || 0)))]) : []];
    });
  }

  const AGED = { c: "s", t: "m" };

  /** A frame as the difference from the one before it, and its candidates; see model/trace/encode.py. */
  function difference(now, before, told) {
    const frame = { t: told.seconds, u: 0, ...(now.length === before.length ? {} : { l: now.length }), at: [], st: "", id: [] }, heat = [];
    now.forEach(([letter, id, p], i) => {
      const [was, old, q] = before[i] || ["m", -1, 0], aged = AGED[was] ?? was;
      if (letter !== aged || id !== (was === "t" ? -1 : old)) (frame.at.push(i), (frame.st += letter), frame.id.push(id));
      if (p !== q) heat.push(i);
    });
    if (heat.length) Object.assign(frame, { hp: bits(heat, now.length), hv: base64([...heat.map((i) => now[i][2]), ...heat.map(() => 0)]) });
    const some = now.flatMap(([, , , guesses], i) => (guesses.length ? [i] : [])), three = (i, k) => now[i][3][k] ?? [-1, 0];
    return [frame, { at: bits(some, now.length), ids: some.flatMap((i) => [0, 1, 2].map((k) => three(i, k)[0])), p: base64(some.flatMap((i) => [0, 1, 2].map((k) => three(i, k)[1]))) }];
  }

  /** Return a dLLM-viz trace as a trace document; throws a reason where it is none. */
  function converted(trace) {
    need(trace.schemaVersion === "0.1", "it is of a version of dLLM-viz other than 0.1");
    const steps = list(trace.frames, "list of frames"), slots = new Slots(trace.initial?.slots), vocab = new Map();
    need(steps.length && slots.all.length, "it has no steps");
    need((steps.length + 1) * slots.all.length <= CELLS, "it has too many steps and positions");
    const ids = (word) => {
      const piece = text(String(word));
      if (!vocab.has(piece)) vocab.set(piece, vocab.size);
      return vocab.get(piece);
    };
    const frames = [], candidates = [];
    let before = [], seconds = 0, forwards = 0;
    const take = (step, number) => {
      const now = positions(slots, ids), ms = step?.metrics?.elapsedMs ?? step?.timestampMs;
      need(now.length > 0 && now.length * steps.length <= CELLS, "a step has no positions, or too many");
      seconds = Math.max(seconds, Number.isFinite(ms) ? ms / 1000 : 0);
      forwards = Math.max(forwards, Number.isInteger(step?.metrics?.forwardPasses) ? step.metrics.forwardPasses : number);
      const [frame, guesses] = difference(now, before, { seconds });
      frames.push({ ...frame, n: number, b: 0, f: forwards, w: [0, now.length] });
      candidates.push(guesses);
      before = now;
    };
    take(null, 0);
    steps.forEach((step, k) => {
      slots.fresh();
      for (const op of list(step?.operations, "list of operations")) slots.apply(op);
      take(step, k + 1);
    });
    return document_(trace, { frames, candidates, vocab, length: before.length });
  }

  function document_(trace, { frames, candidates, vocab, length }) {
    const said = { measured: "measured, as it says", mixed: "measured in part, as it says", illustrative: "an illustration, as it says: no model wrote it" }[trace.provenance?.mode] || "it does not say whether it was measured";
    const name = text(trace.model?.name) || text(trace.source?.adapter) || "unknown model", seed = Number.isInteger(trace.generation?.seed) ? Math.abs(trace.generation.seed) : 0;
    const model = { id: "dllm-viz", name: name.slice(0, 100), family: "masked", vocab_size: vocab.size + 2, eos_ids: [], mask_id: vocab.size + 1 };
    const header = { model, mode: "diffusion", settings: { steps: frames.length - 1, new_tokens: length, seed }, prompt: text(trace.prompt?.text), prompt_ids: [], system: "", dtype: "", device: "", hardware: "",
      weights_sha256: "", versions: {}, recorded: "", branch: "", notice: `Imported from a dLLM-viz trace: ${said}.` };
    return { format: "text-diffusion-trace", version: 1, header, states: "PFmncste", reasons: {}, length, vocab: Object.fromEntries([...vocab].map(([piece, id]) => [id, piece])), frames, candidates, extra_vocab: {}, result: null };
  }

  /** Return the document in a file's text, whoever wrote it; throws a reason. */
  function read(source) {
    let doc = null;
    try {
      doc = JSON.parse(source);
    } catch {
      const line = source.trimStart().split("\n", 1)[0];
      need(/"type"\s*:\s*"metadata"/.test(line), "it is not JSON");
      return converted(assembled(source));
    }
    if (doc?.type === "metadata") return converted(assembled(source.replace(/\n\s*/g, " ")));
    return doc && typeof doc === "object" && "schemaVersion" in doc ? converted(doc) : doc;
  }

  return { read };
})();
