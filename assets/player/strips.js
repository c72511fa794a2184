/* What happened over the steps, under the canvas and on the slider's scale: tokens per step against the plan, entropy, fullness. */

const ROWS = [
  { name: "committed", what: "Tokens committed in each step; a tick marks the number the schedule planned, red bars hang where tokens were taken back." },
  { name: "entropy", what: "How undecided the model still is: the mean entropy, in nats, of the positions that are not decided." },
  { name: "full", what: "How much of the canvas is decided." },
];

class Strips {
  constructor(box, seek) {
    this.box = box;
    this.rows = ROWS.map((row) => this.row(row));
    this.plot = make("div", "ib-plots");
    this.head = make("div", "ib-head");
    this.rows.forEach((row) => this.plot.append(row.svg));
    this.plot.append(this.head);
    box.replaceChildren(...this.rows.map((row) => row.caption), this.plot);
    const go = (event) => {
      const r = this.plot.getBoundingClientRect();
      if (this.run) seek(Math.round(((event.clientX - r.left) / r.width) * this.last));
    };
    this.plot.addEventListener("pointerdown", (event) => (this.plot.setPointerCapture(event.pointerId), go(event)));
    this.plot.addEventListener("pointermove", (event) => event.buttons && go(event));
  }

  row({ name, what }) {
    const svg = svgMake("svg", { class: "ib-strip ib-strip-" + name, preserveAspectRatio: "none", "aria-hidden": "true" });
    const caption = make("p", "ib-caption ib-caption-" + name);
    caption.title = what;
    return { svg, caption };
  }

  /** Draw all strips for the frames there are, on a scale that ends at frame `last`. */
  update(run, last) {
    this.run = run;
    this.last = last;
    const frames = run.frames;
    this.most = Math.max(1, ...frames.map((f) => Math.max(f.committed, f.planned || 0)));
    const back = Math.max(0, ...frames.map((f) => f.takenBack)), wide = Math.min(0.7, last / 60 + 0.25);
    const bar = (k, y, h) => `M${k - wide / 2} ${y}h${wide}v${h}h${-wide}z`;
    const [bars, entropy, full] = this.rows.map((row) => row.svg);
    bars.setAttribute("viewBox", `0 ${-this.most} ${last} ${this.most + Math.min(back, this.most) * 0.6}`);
    const taken = frames.map((f, k) => (f.takenBack ? bar(k, 0, Math.min(f.takenBack, this.most) * 0.6) : "")).join("");
    const plan = frames.map((f, k) => (f.planned === null ? "" : `M${k - wide * 0.7} ${-f.planned}h${wide * 1.4}`)).join("");
    paths(bars, { done: frames.map((f, k) => (f.committed ? bar(k, -f.committed, f.committed) : "")).join(""), taken, plan });
    this.top = Math.max(0.1, ...frames.map((f) => f.meanEntropy || 0));
    entropy.setAttribute("viewBox", `0 ${-this.top} ${last} ${this.top}`);
    const line = frames.map((f, k) => (f.meanEntropy === null ? "" : `${k} ${-f.meanEntropy}`));
    const seen = line.flatMap((at, k) => (at ? [k] : []));
    const course = seen.map((k, i) => (i ? "L" : "M") + line[k]).join("");
    paths(entropy, { area: course && `${course}L${seen[seen.length - 1]} 0L${seen[0]} 0Z`, line: course });
    full.setAttribute("viewBox", `0 -1 ${last} 1`);
    const share = (f) => (f.ids.length - f.open) / f.ids.length;
    paths(full, { area: frames.map((f, k) => `${k ? "L" : "M"}${k} ${-share(f)}`).join("") + `L${frames.length - 1} 0L0 0Z` });
  }

  /** Move the playhead and say what it stands on. */
  mark(frame) {
    this.head.style.transform = `translateX(${(100 * frame.index) / this.last}cqi)`;
    const planned = frame.planned === null ? "" : ` of ${frame.planned} planned`;
    const back = frame.takenBack ? `, ${frame.takenBack} taken back` : "";
    this.say(0, this.run.ar ? "Written" : this.run.uniform ? "Accepted" : "Committed", `${frame.committed}${planned}${back}`);
    this.say(1, this.run.ar ? "Entropy" : "Mean entropy", frame.meanEntropy === null ? "\u2013" : frame.meanEntropy.toFixed(2) + " nats");
    this.say(2, "Canvas full", Math.round((100 * (frame.ids.length - frame.open)) / frame.ids.length) + "\u00a0%");
  }

  say(row, name, value) {
    this.rows[row].caption.replaceChildren(make("span", "", name + " "), make("b", "", value));
  }
}

function svgMake(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** Set the d of each named path of an svg, making it first. */
function paths(svg, named) {
  for (const [name, d] of Object.entries(named)) {
    let path = svg.querySelector(".ib-" + name);
    if (!path) svg.append((path = svgMake("path", { class: "ib-" + name })));
    path.setAttribute("d", d || "");
  }
}
