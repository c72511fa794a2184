/* inkblotQueue(id): says a visitor's place in the queue and the expected wait as a sentence. Gradio tells both as "queue: 2/3 | 0.4/8.1s". */

window.inkblotQueue = (id) => {
  const box = document.getElementById(id), told = /queue: (\d+)\/(\d+)[^\d]*([\d.]+)(?:\/([\d.]+))?s/;
  const tell = () => {
    const line = box.querySelector(".progress-text"), found = line && told.exec(line.textContent);
    if (!found) return;
    const [, place, of, , expected] = found, seconds = Math.max(1, Math.round(expected));
    line.dataset.queue = `Number ${place} of ${of} in the queue${expected ? `, about ${seconds} s in all` : ""}`;
  };
  new MutationObserver(tell).observe(box, { childList: true, characterData: true, subtree: true });
};
