/* What a visitor must know of the server, in words that are seen.
   inkblotQueue(id): the place in the queue and the expected wait, as a sentence beside the status line; Gradio tells both as
   "queue: 2/3 | 0.4/8.1s" in a box that it moves out of sight. And a run that the server no longer writes is ended, not "live" for ever. */

window.inkblotQueue = (id) => {
  const box = document.getElementById(id), told = /queue: (\d+)\/(\d+)[^\d]*([\d.]+)(?:\/([\d.]+))?s/;
  const words = box.parentElement.appendChild(document.createElement("p"));
  words.className = "ink-waiting";
  words.setAttribute("role", "status");
  const tell = () => {
    const line = box.querySelector(".progress-text"), found = line && told.exec(line.textContent);
    const [, place, of, , expected] = found || [], seconds = Math.max(1, Math.round(expected));
    const said = found ? `Number ${place} of ${of} in the queue${expected ? `, about ${seconds} s in all` : ""}` : "";
    if (words.textContent !== said) words.textContent = said;
  };
  new MutationObserver(tell).observe(box, { childList: true, characterData: true, subtree: true });
};

window.inkblotAlive = (() => {
  const EVERY = 2500, PATIENCE = 2; // milliseconds between two questions; answers that may be missing
  const player = () => document.querySelector("#player .ib-host")?.__player;
  let missing = 0, gone = false;

  function say(words) {
    const line = document.querySelector(".ink-line");
    let box = document.querySelector("#alive");
    if (!box && line) {
      box = line.appendChild(document.createElement("p"));
      Object.assign(box, { id: "alive", className: "ink-waiting" });
      box.setAttribute("role", "alert");
    }
    if (box) box.textContent = words;
  }

  async function answers() {
    try {
      return (await fetch("health", { cache: "no-store", signal: AbortSignal.timeout(EVERY) })).status < 500;
    } catch {
      return false;
    }
  }

  /** Ask while a run is awaited or the server was gone; nothing is asked of a page at rest. */
  async function look(asked) {
    const waits = player()?.live || gone || asked;
    if (!waits || document.hidden) return;
    if (await answers()) {
      if (gone) say("The server is back: run again.");
      missing = 0;
      gone = false;
      return;
    }
    missing += 1;
    if (missing < PATIENCE && !asked) return;
    gone = true;
    const live = player()?.live;
    player()?.halt();
    say(live ? "The server does not answer: the run was interrupted, and what had come is kept. The page goes on trying." : "The server does not answer. The page goes on trying.");
  }

  setInterval(look, EVERY);
  // A press that nothing follows: is there anybody?
  document.addEventListener("click", (event) => {
    if (!event.target.closest?.("#run")) return;
    const before = player()?.run?.id;
    say("");
    setTimeout(() => player()?.run?.id === before && look(true), 3000);
  });
  return { look };
})();
