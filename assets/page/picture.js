/* A frame of one or several runs as a drawing: plain shapes and text (shapes.js), for slides as SVG and as what GIF, PNG and video are made of.
   A player out of sight lays a run out; its cells are drawn in the colours and forms of player.css. */

window.inkblotPicture = (() => {
  const WIDE = 1280, EDGE = 44, GAP = 56, LONGEST = 640, SIZES = [46, 42, 38, 34, 30, 27, 24, 22, 20], BOARD = 600;
  const NAMES = ["paper", "edge", "ink", "soft", "blot", "guess", "accent", "on-accent", "back", "pin", "line", "track"];

  /** One colour laid over another, `share` of it, as '#rrggbb'. */
  function mix(over, under, share) {
    const part = (hex, i) => parseInt(hex.slice(1 + 2 * i, 3 + 2 * i), 16);
    return "#" + [0, 1, 2].map((i) => Math.round(part(over, i) * share + part(under, i) * (1 - share)).toString(16).padStart(2, "0")).join("");
  }

  /** The player's colours, and those of its marks, which it mixes. */
  function palette(root) {
    const style = getComputedStyle(root), colours = {};
    for (const name of NAMES) colours[name.replace("-", "")] = style.getPropertyValue("--ib-" + name).trim();
    const { blot, paper, ink } = colours, share = parseFloat(style.getPropertyValue("--ib-blot-a")) / 100;
    const masks = Array.from({ length: 21 }, (_, i) => mix(blot, paper, share + (0.07 * i) / 20));
    return { ...colours, masks, later: mix(blot, paper, 0.15), hatch: mix(blot, paper, 0.34), noise: mix(blot, paper, 0.09), given: mix(ink, paper, 0.09) };
  }

  const pen = document.createElement("canvas").getContext("2d"), { rect, path, circle, group, round } = inkblotShapes;
  let FAMILIES = { sans: "sans-serif", serif: "serif" };

  /** A line of text. at: its middle line; fit: a width it must fill, whatever fonts the reader has. */
  function words(text, x, at, size, colour, { family = "sans", style = "", weight = 400, anchor = "start", fit = 0, opacity = 1 } = {}) {
    pen.font = `${style} ${weight} ${size}px ${FAMILIES[family]}`;
    const { fontBoundingBoxAscent: up, fontBoundingBoxDescent: down } = pen.measureText("x");
    return { tag: "text", text: inkblotShapes.plain(text), x, y: at + (up - down) / 2, size, colour, family, stack: FAMILIES[family], style, weight, anchor, fit: [...text].length > 1 ? fit : 0, opacity };
  }

  const wide = (text, size, family, style = "") => ((pen.font = `${style} ${size}px ${FAMILIES[family]}`), pen.measureText(text).width);

  /** A text as at most `most` lines that fit. */
  function lines(text, width, size, family, style, most) {
    const out = [""];
    for (const word of text.replace(/\s+/g, " ").trim().split(" ")) {
      const longer = (out[out.length - 1] + " " + word).trim();
      if (wide(longer, size, family, style) <= width || !out[out.length - 1]) out[out.length - 1] = longer;
      else if (out.length < most) out.push(word);
      else {
        out[most - 1] += "\u2026";
        break;
      }
    }
    return out.map((line) => {
      while (line.length > 1 && wide(line, size, family, style) > width) line = line.slice(0, -2) + "\u2026";
      return line;
    });
  }

  /** One run, laid out by a player out of sight. */
  class Lane {
    constructor(doc, beside, width, { theme, label }) {
      Object.assign(this, { doc, width, label });
      this.box = document.createElement("div");
      this.box.className = "ib-out-of-sight";
      this.box.inert = true;
      this.box.setAttribute("aria-hidden", "true");
      Object.assign(this.box.style, { position: "fixed", left: "-20000px", top: "0", width: width + 400 + "px", visibility: "hidden" });
      for (const name of ["frame", "play", "pause", "end", "pick"]) this.box.addEventListener("ib-" + name, (event) => event.stopPropagation());
      beside.append(this.box);
      const off = { controls: false, strips: false, numbers: false, legend: false, prompt: false, title: false, inspector: false };
      this.player = mountPlayer(this.box, { ...off, trace: doc, theme });
      if (!this.player.run) throw new Error("the run cannot be drawn");
      this.player.canvas.outline = () => {}; // not drawn, and it would ask for the layout in every frame
      this.fit();
    }

    get frames() {
      return this.player.run.frames;
    }

    /** The largest type, up to `most`, with which the text is not too tall; then where every cell lies. */
    fit(most = Infinity) {
      const { root, run } = this.player, text = this.player.$("text"), size = (px) => root.style.setProperty("--ib-size", px + "px");
      Object.assign(text.style, { width: (run.board ? Math.min(BOARD, this.width) : this.width) + "px", maxWidth: "none" });
      for (const px of run.board ? [30] : SIZES.filter((one) => one <= most)) {
        size(px);
        if (text.offsetHeight <= LONGEST) break;
      }
      const at = text.getBoundingClientRect();
      this.size = parseFloat(getComputedStyle(text).fontSize);
      this.height = at.height;
      this.left = run.board ? (this.width - at.width) / 2 : 0;
      this.colours = palette(root);
      this.places = this.player.canvas.cells.map((cell) => {
        const r = (run.board ? cell.el : cell.ink).getBoundingClientRect();
        return { x: r.left - at.left + this.left, y: r.top - at.top, w: r.width, h: r.height, size: parseFloat(getComputedStyle(cell.ink).fontSize) };
      });
      const of = (name) => getComputedStyle(root).getPropertyValue("--ib-" + name).trim();
      FAMILIES = { sans: getComputedStyle(root).fontFamily, serif: of("serif") };
    }

    /** Draw frame k at (x, y). */
    draw(k, x, y) {
      this.player.show(k);
      const { cells } = this.player.canvas, board = this.player.run.board;
      const inside = cells.map((cell, i) => (board ? this.square(cell, this.places[i]) : this.cell(cell, this.places[i])));
      return group(x, y, [...inside, ...(board ? this.grid() : [])]);
    }

    /** A position of a text. */
    cell(cell, { x, y, w, h, size }) {
      const c = this.colours, { state, ghost } = cell, p = Number(cell.p) || 0, middle = y + h / 2, end = cell.ink.dataset.k === "end";
      if (state === "none" || state === "unreached") return [];
      if (state === "after_end") return circle(x + w / 2, middle, size * 0.09, c.soft);
      const gauge = (colour, inset, at) => (p > 0 ? rect(x + inset, y + h - at, (w - 2 * inset) * p, 2, colour) : []);
      if (ghost === "end" || (ghost === "" && end)) return rect(x + w / 2 - size * 0.2, middle - size * 0.2, size * 0.4, size * 0.4, state === "committed" ? c.accent : c.ink);
      const out = [];
      let colour = c.ink;
      if (state === "mask") out.push(rect(x, y, w, h, c.masks[Math.round(p * 20)], { rx: size * 0.4 }), gauge(c.line, size * 0.26, size * 0.14));
      else if (state === "mask_later") out.push(rect(x, y, w, h, c.later, { rx: size * 0.4 }));
      else if (state.startsWith("noise")) out.push(rect(x, y, w, h, c.noise), rect(x, y, w, h, "", { hatch: c.hatch }), gauge(c.line, size * 0.12, size * 0.14));
      else if (state === "committed") {
        const d = size * 0.07;
        out.push(rect(x - d, y - d, w + 2 * d, h + 2 * d, c.accent, { rx: size * 0.28 }), gauge(c.onaccent, size * 0.08, 3));
        colour = c.onaccent;
      } else if (state === "settled") out.push(rect(x, y + h - 2, w - 1.5, 2, c.track), rect(x, y + h - 2, (w - 1.5) * p, 2, c.line));
      else if (state === "pinned") out.push(rect(x + 1, y + 1, w - 2, h - 2, "", { stroke: c.pin, thick: 2, rx: 2 }), corner(x + w, y, size * 0.36, c.pin));
      else if (state === "prompt") colour = c.soft;
      else if (state === "taken_back") {
        out.push(rect(x + 1, y + 1, w - 2, h - 2, "", { stroke: c.back, thick: 2, dash: [5, 4] }));
        colour = c.back;
      }
      out.push(this.letters(cell, { x, y, w, h, size }, colour));
      if (state === "taken_back") out.push(path(`M${round(x)} ${round(middle)}h${round(w)}`, c.back, 2));
      if (cell.el.classList.contains("ib-fault")) out.push(path(wave(x, y + h + 1, w), c.back, 2));
      return out;
    }

    /** What stands in a cell: its own text, or over its place another one. */
    letters(cell, { x, y, w, h, size }, colour) {
      const c = this.colours, { ghost } = cell;
      if (ghost === "hid") return [];
      if (ghost === "") return cell.shape && cell.base.textContent ? words(cell.base.textContent, x, y + h / 2, size, colour, { family: cell.shape.kind === "bare" ? "sans" : "serif", fit: w }) : [];
      const small = (parseFloat(cell.top.style.fontSize) || 0.86) * this.size, weak = ghost === "guess" || ghost === "noise";
      return words(cell.over, x + (weak ? 0.08 * small : 0), y + h / 2, small, weak ? c.guess : colour, { family: "serif", style: ghost === "guess" ? "italic" : "", opacity: ghost === "noise" ? 0.55 : 1 });
    }

    /** A cell of a board. */
    square(cell, { x, y, w, h }) {
      const c = this.colours, state = cell.state, p = Number(cell.ink.style.getPropertyValue("--p")) || 0, wrong = cell.el.matches(".ib-clash, .ib-fault"), out = [];
      if (state === "pinned") out.push(rect(x, y, w, h, c.given));
      if (state === "committed") out.push(rect(x, y, w, h, c.accent));
      if (wrong) out.push(rect(x + 2, y + 2, w - 4, h - 4, "", { stroke: c.back, thick: 3 }), corner(x + w, y, h * 0.22, c.back));
      const digit = cell.base.textContent, colour = state === "committed" ? c.onaccent : wrong || state === "taken_back" ? c.back : c.ink;
      if (digit) out.push(words(digit, x + w / 2, y + h / 2, h * 0.6, colour, { anchor: "middle", weight: state === "pinned" ? 700 : 400 }));
      if (digit && state !== "pinned" && p) out.push(rect(x + w * 0.15, y + h * 0.9, w * 0.7 * p, 2, state === "committed" ? c.onaccent : c.line));
      if (state === "taken_back") out.push(path(`M${round(x + w * 0.2)} ${round(y + h / 2)}h${round(w * 0.6)}`, c.back, 2));
      for (const mark of cell.marks) {
        const d = Number(mark.textContent), q = Number(mark.style.getPropertyValue("--q")) || 0;
        if (d) out.push(words(String(d), x + (w * (2 * ((d - 1) % 3) + 1)) / 6, y + (h * (2 * Math.floor((d - 1) / 3) + 1)) / 6, h * 0.27, c.guess, { anchor: "middle", opacity: 0.42 + 0.58 * q }));
      }
      return out;
    }

    grid() {
      const { x, y } = this.places[0], last = this.places[this.places.length - 1], side = last.x + last.w - x, step = side / 9;
      return Array.from({ length: 10 }, (_, i) => path(`M${round(x + i * step)} ${round(y)}v${round(side)}M${round(x)} ${round(y + i * step)}h${round(side)}`, i % 3 ? this.colours.edge : this.colours.ink, i % 3 ? 1 : 2.5));
    }

    destroy() {
      this.player.destroy();
      this.box.remove();
    }
  }

  /** A filled corner, its right angle at the upper right. */
  const corner = (x, y, side, colour) => path(`M${round(x)} ${round(y)}v${round(side)}l${round(-side)} ${round(-side)}z`, "", 0, colour);

  function wave(x, y, w) {
    let d = `M${round(x)} ${round(y)}`;
    for (let at = 0, i = 0; at < w - 2; at += 5, i++) d += `q2.5 ${i % 2 ? 4 : -4} 5 0`;
    return d;
  }

  /** One or several runs on one picture. docs: their traces; beside: an element whose style sheet holds the player's. */
  class Picture {
    constructor(docs, beside, { theme, labels = [] } = {}) {
      this.width = docs.length > 1 ? 1600 : WIDE;
      const column = (this.width - 2 * EDGE - GAP * (docs.length - 1)) / docs.length;
      this.lanes = [];
      try {
        docs.forEach((doc, i) => this.lanes.push(new Lane(doc, beside, column, { theme, label: labels[i] })));
      } catch (error) {
        this.destroy();
        throw error;
      }
      const least = Math.min(...this.lanes.map((lane) => lane.size));
      for (const lane of this.lanes) if (lane.size > least && !lane.player.run.board) lane.fit(least); // one size for all
      for (const lane of this.lanes) lane.box.style.contentVisibility = "hidden"; // where everything lies is known: lay out no more
      this.colours = this.lanes[0].colours;
      this.heads = this.lanes.map((lane) => lane.label || lane.doc.header.model.name || lane.doc.header.model.id);
      this.prompt = lines(docs[0].header.prompt, this.width - 2 * EDGE, 26, "serif", "italic", docs[0].header.model.view === "board" ? 1 : 3);
      this.top = EDGE + 36 + this.prompt.length * 36 + 22;
      const tall = Math.max(...this.lanes.map((lane) => lane.height));
      this.height = 2 * Math.ceil((this.top + 34 + tall + 130) / 2);
    }

    /** Return the shapes of these frames, one a lane. */
    shapes(at) {
      const c = this.colours, one = this.lanes.length === 1, title = one ? this.heads[0] + (this.lanes[0].player.run.ar ? ", left to right" : "") : "One prompt, one clock";
      return [
        rect(0, 0, this.width, this.height, c.paper),
        words(title, EDGE, EDGE + 8, 24, c.ink, { weight: 600 }),
        words("Inkblot", this.width - EDGE, EDGE + 8, 22, c.soft, { anchor: "end" }),
        ...this.prompt.map((line, i) => words(line, EDGE, EDGE + 54 + 36 * i, 26, c.soft, { family: "serif", style: "italic" })),
        rect(EDGE, this.top, this.width - 2 * EDGE, 1, c.edge),
        ...this.lanes.map((lane, i) => this.lane(lane, i, at[i])),
      ];
    }

    /** Return the SVG of these frames. */
    svg(at) {
      return inkblotShapes.svg(this.shapes(at), { ...this, families: FAMILIES, hatch: this.colours.hatch, title: this.lanes[0].doc.header.prompt.slice(0, 200) });
    }

    /** Draw these frames onto a canvas, `scale` times as large; return the canvas. */
    draw(at, scale, canvas = document.createElement("canvas")) {
      const width = 2 * Math.round((this.width * scale) / 2), height = 2 * Math.round((this.height * scale) / 2);
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
      const ink = canvas.getContext("2d", { willReadFrequently: true });
      ink.setTransform(width / this.width, 0, 0, height / this.height, 0, 0);
      inkblotShapes.draw(ink, this.shapes(at));
      return canvas;
    }

    lane(lane, i, k) {
      const c = this.colours, x = EDGE + i * (lane.width + GAP), one = this.lanes.length === 1, from = this.top + (one ? 30 : 64);
      const frame = lane.frames[k], last = lane.frames[lane.frames.length - 1], foot = this.height - 52, result = k === lane.frames.length - 1 ? lane.doc.result : null;
      const faults = result && result.faults, seconds = frame.seconds < 1 ? Math.round(frame.seconds * 1000) + " ms" : frame.seconds.toFixed(2) + " s";
      const said = !faults ? "" : faults.length ? `${faults.length} contradiction${faults.length > 1 ? "s" : ""}` : lane.player.run.board ? "Solved" : "Consistent";
      const whole = lane.frames.length > 1 ? k / (lane.frames.length - 1) : 1;
      return [
        one ? [] : words(this.heads[i], x, this.top + 32, 24, c.ink, { weight: 600 }),
        lane.draw(k, x, from),
        rect(x, foot - 24, lane.width, 3, c.track), rect(x, foot - 24, lane.width * whole, 3, c.accent),
        words(`Step ${frame.step} of ${last.step} \u00b7 ${frame.forwards} forward passes \u00b7 ${seconds}`, x, foot + 8, 22, c.soft),
        said ? words(said, x + lane.width, foot + 8, 22, faults.length ? c.back : c.accent, { weight: 600, anchor: "end" }) : [],
      ];
    }

    destroy() {
      for (const lane of this.lanes) lane.destroy();
    }
  }

  return { Picture };
})();
