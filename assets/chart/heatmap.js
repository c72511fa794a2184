/* mountHeatmap(element): position x step of whatever run the page's player shows, from its own frames, so that it needs no server.

   It stands in a <details>: until that is opened nothing is computed and Plotly is not loaded. The player's frame is marked, a click goes there. */

const HEATS = {
  confidence: { name: "Confidence", title: "confidence", top: 1, scale: "Viridis" },
  entropy: { name: "Entropy", title: "entropy (nats)", top: null, scale: "Cividis", reverse: true },
  "commit step": { name: "Commit step", title: "step of the decision", top: null, scale: "Viridis" },
};
const PATIENCE = 600; // ms between two drawings while a run goes on

/** The figure of one run; `index` is the frame in view. */
function heatFigure(run, of, index) {
  const { title, top, scale, reverse } = HEATS[of], axis = { zeroline: false, showgrid: false, automargin: true };
  const bar = { title: { text: title, side: "right" }, thickness: 12, outlinewidth: 0 };
  const cells = { type: "heatmap", z: run.grid(of), colorscale: scale, zmin: 0, reversescale: Boolean(reverse), hoverongaps: false, colorbar: bar,
    hovertemplate: `position %{y}<br>step %{x}<br>${title} %{z:.3~r}<extra></extra>`, ...(top ? { zmax: top } : {}) };
  const line = { type: "line", name: "in view", x0: index, x1: index, y0: 0, y1: 1, yref: "paper", line: { color: "#d43d51", width: 2.5 } };
  return { data: [cells], layout: { height: 360, margin: { l: 56, r: 8, t: 8, b: 48 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", uirevision: run.id + of,
    hovermode: "closest", xaxis: { ...axis, title: { text: "step" } }, yaxis: { ...axis, title: { text: "position" }, autorange: "reversed" }, shapes: [line] } };
}

function mountHeatmap(element) {
  const show = mountChart(element), details = element.querySelector("details"), box = element.querySelector(".ink-chart");
  const player = () => document.querySelector(box.dataset.player + " .ib-host")?.__player;
  const chosen = () => element.querySelector("input:checked").value;
  let drawn = "", waiting = 0;
  const draw = () => {
    const here = player(), run = here && here.run;
    if (!details.open || !run || !run.frames.length) return;
    const key = [run.id, run.frames.length, chosen()].join(); // a frame does not change once it has come
    if (key === drawn) return;
    drawn = key;
    box.setAttribute("aria-label", `${HEATS[chosen()].name} of every position at every step`);
    show(JSON.stringify(heatFigure(run, chosen(), here.index)));
  };
  details.addEventListener("toggle", draw);
  element.addEventListener("change", draw);
  document.addEventListener("ib-frame", (event) => {
    if (!details.open || waiting || player()?.host !== event.target) return;
    if (!player().live) return draw();
    waiting = setTimeout(() => ((waiting = 0), draw()), PATIENCE);
  });
}
