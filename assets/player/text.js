/* Tokens as readable text: byte-level pieces joined, white space kept apart from ink, invisible characters made visible. */

const PART = "\u25cc"; // stands for bytes that are not a whole character yet
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff0-\ufffd\u{e0000}-\u{e0fff}]/u;
const NAMES = { 0x00ad: "SHY", 0x061c: "ALM", 0x200b: "ZWSP", 0x200c: "ZWNJ", 0x200d: "ZWJ", 0x200e: "LRM", 0x200f: "RLM", 0x2028: "LS", 0x2029: "PS",
  0x202a: "LRE", 0x202b: "RLE", 0x202c: "PDF", 0x202d: "LRO", 0x202e: "RLO", 0x2060: "WJ", 0x2066: "LRI", 0x2067: "RLI", 0x2068: "FSI", 0x2069: "PDI",
  0xfeff: "BOM", 0xfffd: "?" };
const JOINERS = /[\u200c\u200d\ufe0e\ufe0f]/; // harmless inside a longer piece: emoji and Indic scripts need them
const ATTACHES = /^[\u200d\ufe0e\ufe0f\p{M}\u{1f3fb}-\u{1f3ff}]/u; // belongs to the character before it
const WIDE = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Extended_Pictographic}]/u;
const RIGHT_TO_LEFT = /[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}\p{Script=Adlam}]/u;
const FIRST_LETTER = /\p{L}/u; // which says the direction of a text, as dir=auto has it
// a piece that goes on an emoji: joiner, style, keycap, skin tone, or the letters of a flag's region
const EMOJI_TAIL = /^[\u200d\ufe0e\ufe0f\u20e3\u{1f3fb}-\u{1f3ff}\u{e0020}-\u{e007f}]/u;
const EMOJI_END = /(?:\p{Emoji}|[\u200d\ufe0f\u{e0020}-\u{e007f}])$/u; // one class of both fails in Chromium 156 before $
const HALF_FLAG = /(?:^|[^\u{1f1e6}-\u{1f1ff}])(?:[\u{1f1e6}-\u{1f1ff}]{2})*[\u{1f1e6}-\u{1f1ff}]$/u;
const FLAG_OF_A_PART = /(\u{1f3f4}[\u{e0030}-\u{e007a}]{2,6}\u{e007f})/u; // England, Scotland, Wales: tags behind a black flag

/** Whether a piece of text belongs to the emoji that `before` ends with. */
function continuesEmoji(before, text) {
  if (EMOJI_TAIL.test(text)) return EMOJI_END.test(before);
  if (/^\p{Extended_Pictographic}/u.test(text)) return before.endsWith("\u200d");
  return /^[\u{1f1e6}-\u{1f1ff}]/u.test(text) && HALF_FLAG.test(before);
}

/** Bytes -> text, or null where they are not whole characters. */
function wholeText(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** Length of the valid UTF-8 character at `i`, 0 where there is none. */
function characterAt(bytes, i) {
  const lead = bytes[i], n = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
  return n && i + n <= bytes.length && wholeText(bytes.subarray(i, i + n)) !== null ? n : 0;
}

/** Shapes of tokens: {kind, lead, core, tail}. Same shape, same object, so that comparing them is cheap.
 *  kind: text, space (only white space), end (an end token), part (incomplete bytes), joined (its bytes show at the token before). */
class Shapes {
  constructor(run) {
    this.run = run;
    this.known = new Map();
    this.byToken = new Map();
  }

  make(kind, text) {
    const key = kind + "\u0000" + text;
    if (!this.known.has(key)) this.known.set(key, { kind, text, ...split(kind, text) });
    return this.known.get(key);
  }

  /** The shape of a token by itself; null where its bytes are not whole characters. */
  token(id) {
    if (this.byToken.has(id)) return this.byToken.get(id);
    const bytes = this.run.pieces.get(id);
    let shape;
    if (this.run.ends.has(id)) shape = this.make("end", "");
    else if (!bytes || !bytes.length) shape = this.make("bare", "\u27e8" + id + "\u27e9");
    else {
      const text = wholeText(bytes);
      shape = text === null ? null : /^[\ufe0e\ufe0f]+$/.test(text) ? this.make("joined", "") : this.make(/^\s+$/.test(text) && !HIDDEN.test(text) ? "space" : "text", text);
    }
    if (bytes || this.run.done) this.byToken.set(id, shape);
    return shape;
  }

  /** A token's shape where neighbours do not matter (guesses, noise). */
  alone(id) {
    return this.token(id) || this.make("part", this.pick(this.run.pieces.get(id)));
  }

  pick(bytes) {
    let out = "";
    for (let i = 0; i < bytes.length; ) {
      const n = characterAt(bytes, i);
      if (n) out += wholeText(bytes.subarray(i, i + n));
      else if (!out.endsWith(PART)) out += PART;
      i += n || 1;
    }
    return out;
  }

  /** Shapes of a frame's decided positions, null where nothing is decided. */
  frame(frame) {
    const n = frame.ids.length, out = new Array(n).fill(null);
    const decided = (i) => i < n && frame.ids[i] >= 0 && !isOpen(frame.states[i]);
    for (let i = 0; i < n; i++) {
      if (!decided(i)) continue;
      out[i] = this.token(frame.ids[i]);
      if (out[i]) continue;
      let stop = i + 1;
      while (decided(stop) && this.token(frame.ids[stop]) === null) stop++;
      this.join(frame.ids, i, stop, out);
      i = stop - 1;
    }
    this.glue(frame.ids, out);
    return out;
  }

  /** Let an emoji of several tokens stand, whole, where its first one is. */
  glue(ids, out) {
    for (let i = 0, owner = -1; i < out.length; i++) {
      const before = out[owner], text = out[i] ? this.whole(ids[i], out[i]) : "";
      if (before?.kind === "text" && text && continuesEmoji(before.text, text)) {
        out[owner] = this.make("text", before.text + text);
        out[i] = this.make("joined", "");
      } else if (out[i]?.kind !== "joined") owner = out[i] ? i : -1;
    }
  }

  /** The text of a decided position, '' where its bytes show elsewhere or are no whole characters. */
  whole(id, shape) {
    if (shape.kind === "joined") return this.run.pieces.has(id) ? wholeText(this.run.pieces.get(id)) || "" : "";
    return shape.kind === "text" ? shape.text : "";
  }

  /** Join the bytes of the incomplete tokens [start, stop): a character shows where its first byte is. */
  join(ids, start, stop, out) {
    const bytes = [], owner = [], text = [];
    for (let i = start; i < stop; i++) for (const b of this.run.pieces.get(ids[i])) (bytes.push(b), owner.push(i));
    const all = Uint8Array.from(bytes);
    for (let i = 0, at = -1; i < all.length; ) {
      const n = characterAt(all, i), char = n ? wholeText(all.subarray(i, i + n)) : PART;
      if (at < 0 || !(ATTACHES.test(char) || (text[at] || "").endsWith("\u200d")) || !text[at]) at = owner[i];
      if (n || !(text[at] || "").endsWith(PART)) text[at] = (text[at] || "") + char;
      i += n || 1;
    }
    for (let i = start; i < stop; i++) {
      const kind = text[i] === undefined ? "joined" : text[i].includes(PART) ? "part" : "text";
      out[i] = this.make(kind, text[i] || "");
    }
  }
}

/** White space before and after the ink. A white-space token without a line break is its own ink, so that it can be pointed at. */
function split(kind, text) {
  if (kind === "end" || kind === "bare") return { lead: "", core: text, tail: "" };
  if (kind === "space" && !text.includes("\n")) return { lead: "", core: text, tail: "" };
  const [, lead, core, tail] = /^([ \t\n]*)([^]*?)([ \t\n]*)$/.exec(text);
  return core ? { lead, core, tail } : { lead: "", core: "", tail: text };
}

/** What a shape looks like on one line: for guesses, labels and tables. */
function oneLine(shape) {
  if (!shape) return "";
  if (shape.kind === "end") return "\u25aa";
  if (shape.kind === "joined") return "\u2026";
  const text = shape.text.replace(/\n/g, "\u21b5").replace(/\t/g, "\u21e5");
  return /^ +$/.test(text) ? "\u2423".repeat(text.length) : text.replace(/[^]/gu, (c) => (HIDDEN.test(c) && !JOINERS.test(c) ? "\u00b7" : c));
}

/** Fill an element with text; hidden and direction-changing characters become small badges. Never parses HTML. */
function inkInto(element, text) {
  if (!HIDDEN.test(text)) {
    element.textContent = text;
    return;
  }
  element.textContent = "";
  const single = [...text].length === 1;
  let plain = "";
  const flush = () => {
    if (plain) element.append(plain);
    plain = "";
  };
  for (const part of text.split(FLAG_OF_A_PART)) {
    for (const char of FLAG_OF_A_PART.test(part) ? [part] : part) {
      if (!HIDDEN.test(char) || FLAG_OF_A_PART.test(char) || (JOINERS.test(char) && !single)) plain += char;
      else {
        flush();
        const code = char.codePointAt(0);
        element.append(make("i", "ib-badge", NAMES[code] || code.toString(16).toUpperCase()));
        element.lastChild.title = "U+" + code.toString(16).toUpperCase().padStart(4, "0");
      }
    }
  }
  flush();
}

/** White space as it is; each line break behind a faint return sign. */
function gapInto(element, text) {
  element.textContent = "";
  text.split("\n").forEach((part, i) => {
    if (i) element.append(make("i", "ib-return"), "\n");
    if (part) element.append(part);
  });
}

/** Whether a line may break before a piece although no space stands there. */
function mayBreak(before, after) {
  return WIDE.test(after.slice(0, 2)) || (before !== "" && WIDE.test(before.slice(-2)));
}

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}
