/* Full screen for a room: the run's prompt and Run stay at hand, on Watch and in a race. They stand for the page's own field and
   buttons, which are out of sight then. */

document.addEventListener("fullscreenchange", () => {
  const full = document.fullscreenElement;
  const ids = full?.matches("#player .ib-player") ? ["prompt", "run", "stop"] : full?.matches("#race-stage .rs-stage") ? ["race-prompt", "race-run", "race-stop"] : null;
  if (!ids) return;
  const [field, run, stop] = ids.map((id) => document.querySelector(`#${id} textarea, #${id} input`) || document.getElementById(id));
  const bar = full.querySelector(":scope > .ink-room") || build(full, field, run, stop);
  bar.querySelector("input").value = field.value;
});

function build(full, field, run, stop) {
  const bar = document.createElement("form"), input = document.createElement("input");
  bar.className = "ink-room";
  input.setAttribute("aria-label", "Prompt");
  input.addEventListener("input", () => {
    field.value = input.value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });
  const press = (name, act, to) => {
    const button = Object.assign(document.createElement("button"), { type: act === "run" ? "submit" : "button", textContent: name });
    button.dataset.act = act;
    if (act === "stop") button.addEventListener("click", () => to.click());
    return button;
  };
  bar.append(input, press("Run", "run", run), press("Stop", "stop", stop));
  bar.addEventListener("submit", (event) => {
    event.preventDefault();
    run.click();
  });
  full.prepend(bar);
  return bar;
}
