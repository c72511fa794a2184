/* Shapes of a drawing, as data: written as SVG, or drawn onto a canvas, which takes a tenth of the time that decoding the SVG would.
   A drawing is a nested list of them. Every text is freed of what XML forbids (`plain`) and escaped as it is written. */

window.inkblotShapes = (() => {
  const round = (x) => Math.round(x * 100) / 100, HATCH = 6, LEAN = 25; // of the noise: its distance, and its angle in degrees
  const plain = (text) => [...String(text)].filter((c) => c >= " " && !/[\ud800-\udfff\ufffe\uffff\u007f-\u009f]/.test(c.length > 1 ? "" : c)).join("");
  const escaped = (text) => plain(text).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

  const rect = (x, y, w, h, fill, { rx = 0, stroke = "", thick = 0, dash = [], hatch = "" } = {}) => ({ tag: "rect", x, y, w: Math.max(0, w), h: Math.max(0, h), fill, rx, stroke, thick, dash, hatch });
  const path = (d, stroke, thick, fill = "") => ({ tag: "path", d, stroke, thick, fill });
  const circle = (x, y, r, fill) => ({ tag: "circle", x, y, r, fill });
  const group = (x, y, inside) => ({ tag: "g", x, y, inside });

  // ---------------------------------------------------------------- SVG
  const attributes = (given) => Object.entries(given).filter(([, value]) => value !== "" && value !== undefined).map(([name, value]) => ` ${name}="${typeof value === "number" ? round(value) : value}"`).join("");
  const outline = ({ stroke, thick, dash = [] }) => (stroke ? { stroke, "stroke-width": thick, "stroke-dasharray": dash.join(" ") } : {});
  const SVG = {
    rect: (s) => `<rect${attributes({ x: s.x, y: s.y, width: s.w, height: s.h, fill: s.hatch ? "url(#hatch)" : s.fill || "none", rx: s.rx || "", ...outline(s) })}/>`,
    path: (s) => `<path${attributes({ d: s.d, fill: s.fill || "none", ...outline(s) })}/>`,
    circle: (s) => `<circle${attributes({ cx: s.x, cy: s.y, r: s.r, fill: s.fill })}/>`,
    g: (s) => `<g transform="translate(${round(s.x)} ${round(s.y)})">${markup(s.inside)}</g>`,
    text: (s) => `<text${attributes({ x: s.x, y: s.y, class: s.family, "font-size": s.size, fill: s.colour, "font-style": s.style, "font-weight": s.weight === 400 ? "" : s.weight,
      "text-anchor": s.anchor === "start" ? "" : s.anchor, textLength: s.fit || "", lengthAdjust: s.fit ? "spacingAndGlyphs" : "", opacity: s.opacity === 1 ? "" : s.opacity })}>${escaped(s.text)}</text>`,
  };
  const markup = (shapes) => shapes.flat(Infinity).map((shape) => SVG[shape.tag](shape)).join("");

  /** Return an SVG document. families: font stacks by class; hatch: the colour of noise. */
  function svg(shapes, { width, height, families, hatch, title }) {
    const fonts = Object.entries(families).map(([name, stack]) => `.${name}{font-family:${stack.replace(/[<>&{}]/g, "")}}`).join("");
    return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"><title>${escaped(title)}</title>
<style>text{white-space:pre}${fonts}</style><defs><pattern id="hatch" width="${HATCH}" height="${HATCH}" patternUnits="userSpaceOnUse" patternTransform="rotate(${LEAN})"><rect width="2" height="${HATCH}" fill="${hatch}"/></pattern></defs>
${markup(shapes)}</svg>`;
  }

  // ---------------------------------------------------------------- canvas
  const patterns = new Map();
  /** Slanted lines of a colour, as the SVG's pattern draws them. */
  function hatched(ink, colour) {
    if (!patterns.has(colour)) {
      const tile = Object.assign(document.createElement("canvas"), { width: HATCH, height: HATCH }), pen = tile.getContext("2d");
      pen.fillStyle = colour;
      pen.fillRect(0, 0, 2, HATCH);
      const pattern = ink.createPattern(tile, "repeat");
      pattern.setTransform(new DOMMatrix().rotate(LEAN));
      patterns.set(colour, pattern);
    }
    return patterns.get(colour);
  }

  function fillAndStroke(ink, { fill, hatch, stroke, thick, dash = [] }, shape) {
    if (fill || hatch) (ink.fillStyle = hatch ? hatched(ink, hatch) : fill), ink.fill(shape);
    if (!stroke) return;
    Object.assign(ink, { strokeStyle: stroke, lineWidth: thick });
    ink.setLineDash(dash);
    ink.stroke(shape);
  }

  function shaped(s) {
    const made = new Path2D();
    if (s.tag === "circle") made.arc(s.x, s.y, s.r, 0, 2 * Math.PI);
    else if (s.rx) made.roundRect(s.x, s.y, s.w, s.h, Math.min(s.rx, s.w / 2, s.h / 2));
    else made.rect(s.x, s.y, s.w, s.h);
    return made;
  }

  function write(ink, s) {
    const font = `${s.style} ${s.weight} ${s.size}px ${s.stack}`;
    if (ink.inkblotFont !== font) ink.font = ink.inkblotFont = font;
    Object.assign(ink, { fillStyle: s.colour, textAlign: s.anchor === "middle" ? "center" : s.anchor, globalAlpha: s.opacity });
    const wide = s.fit && ink.measureText(s.text).width;
    if (wide) (ink.save(), ink.translate(s.x, s.y), ink.scale(s.fit / wide, 1), ink.fillText(s.text, 0, 0), ink.restore());
    else ink.fillText(s.text, s.x, s.y);
    ink.globalAlpha = 1;
  }

  /** Draw shapes onto a canvas' context. */
  function draw(ink, shapes) {
    for (const s of shapes.flat(Infinity)) {
      if (s.tag === "g") (ink.save(), ink.translate(s.x, s.y), draw(ink, s.inside), ink.restore());
      else if (s.tag === "text") write(ink, s);
      else fillAndStroke(ink, s, s.tag === "path" ? new Path2D(s.d) : shaped(s));
    }
  }

  return { rect, path, circle, group, round, plain, svg, draw };
})();
