/* mountChart(element, pick): draws Plotly figures given as JSON text, in the page's colours, and keeps a visitor's zoom.

   Plotly comes from this server and only when a chart is first shown. A chart with data-player="#id" belongs to the player inside that
   element: the line called 'in view' follows its frames, and a click goes to the frame and asks about the position. */

const PLOTLY = "plotly.min.js";

/** Load Plotly once a page. */
function plotly() {
  if (window.Plotly) return Promise.resolve(window.Plotly);
  window.inkPlotly ||= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = new URL(PLOTLY, document.baseURI).href;
    script.onload = () => done(window.Plotly);
    script.onerror = () => ((window.inkPlotly = null), failed(new Error("the chart library did not load")));
    document.head.append(script);
  });
  return window.inkPlotly;
}

/** The page's own colours, as Plotly wants them. */
function inPageColours(element, layout) {
  const style = getComputedStyle(element), text = style.getPropertyValue("--body-text-color").trim() || style.color;
  const line = style.getPropertyValue("--border-color-primary").trim() || "#8888";
  const paper = style.getPropertyValue("--background-fill-primary").trim() || "#fff";
  const axis = (old) => ({ ...old, gridcolor: line, linecolor: line, tickcolor: line });
  const axes = Object.fromEntries(Object.keys(layout).filter((name) => /^[xy]axis\d*$/.test(name)).map((name) => [name, axis(layout[name])]));
  const font = { color: text, size: 13, family: style.fontFamily };
  return { ...layout, ...axes, font, autosize: true, hoverlabel: { bgcolor: paper, bordercolor: line, font }, modebar: { bgcolor: "rgba(0,0,0,0)", color: text, activecolor: text } };
}

function mountChart(element, pick) {
  const box = element.querySelector(".ink-chart"), note = element.querySelector(".ink-chart-note");
  let figure = null, shown = "";
  const player = () => {
    const host = box.dataset.player && document.querySelector(box.dataset.player);
    const found = host && (host.__player ? host : host.querySelector(".ib-host"));
    return found ? found.__player : null;
  };
  const mark = (index) => {
    const at = (figure?.layout.shapes || []).findIndex((shape) => shape.name === "in view");
    if (at < 0 || !window.Plotly || !box.data) return;
    window.Plotly.relayout(box, { [`shapes[${at}].x0`]: index, [`shapes[${at}].x1`]: index });
  };
  const clicked = (event) => {
    const point = event.points && event.points[0];
    if (!point) return;
    const here = player();
    if (here && Array.isArray(point.pointIndex)) {
      here.seek(point.pointIndex[1]);
      here.ask(point.pointIndex[0], true);
    } else if (point.customdata) pick({ point: point.customdata });
  };
  const draw = async () => {
    if (!figure) return;
    try {
      const library = await plotly(), layout = inPageColours(box, figure.layout), fresh = !box.data;
      await library.react(box, figure.data, layout, { responsive: true, displaylogo: false, displayModeBar: false });
      if (fresh) box.on("plotly_click", clicked);
      note.textContent = "";
      const here = player();
      if (here && here.index >= 0) mark(here.index);
    } catch (error) {
      note.textContent = "This chart cannot be shown: " + error.message + ".";
    }
  };
  document.addEventListener("ib-frame", (event) => {
    const here = player();
    if (here && here.host === event.target) mark(event.detail.index);
  });
  new MutationObserver(draw).observe(document.body, { attributes: true, attributeFilter: ["class"] });
  return (text) => {
    if (text === shown) return;
    shown = text;
    figure = text ? JSON.parse(text) : null;
    box.hidden = !figure;
    if (figure) draw();
    else if (window.Plotly && box.data) window.Plotly.purge(box);
  };
}
