/* The presenter's window: notes, clock, what comes next. It hears of the talk on a BroadcastChannel and sends its keys back; no server.
   It is written into a blank window by the talk, so that it opens where the server is gone. Notes are Markdown, of which paragraphs,
   lists, *emphasis* and **strong** are shown; nothing of them is parsed as HTML. */

function presenter(view, channel) {
  const page = view.document, make = (tag, text = "") => Object.assign(page.createElement(tag), { textContent: text });
  page.title = "Notes";
  page.head.append(make("style", `body { margin: 0; padding: 1.5rem 2rem; background: #101014; color: #f6f2e8; font: 1.3rem/1.5 system-ui, sans-serif; }
    header { display: flex; justify-content: space-between; gap: 2rem; font-variant-numeric: tabular-nums; color: #bdb7c6; } header b { color: #f6f2e8; font-size: 2rem; }
    h1 { margin: 0.6rem 0 0; font-size: 1.9rem; } #next { margin-top: 1.5rem; padding-top: 1rem; border-top: 1px solid #4a4656; color: #bdb7c6; } li { margin: 0.3rem 0; }`));
  const [clock, where, title, notes, next] = [make("b"), make("span"), make("h1"), make("div"), make("p")], head = make("header");
  notes.id = "notes";
  next.id = "next";
  head.append(clock, where);
  page.body.replaceChildren(head, title, notes, next);

  /** **strong** and *emphasis* of one line. */
  const inline = (parent, line) => line.split(/(\*\*[^*]+\*\*|\*[^*]+\*)/).forEach((part) => {
    const strong = /^\*\*(.+)\*\*$/.exec(part), weak = /^\*(.+)\*$/.exec(part);
    parent.append(strong ? make("b", strong[1]) : weak ? make("i", weak[1]) : part);
  });

  function write(markdown) {
    notes.replaceChildren();
    let list = null;
    for (const line of markdown.split("\n").map((one) => one.trim()).filter(Boolean)) {
      const item = /^(?:[-*]|\d+\.) (.*)$/.exec(line), one = make(item ? "li" : "p");
      inline(one, item ? item[1] : line.replace(/^#+ /, ""));
      if (item && !list) notes.append((list = make("ul")));
      if (!item) list = null;
      (list || notes).append(one);
    }
  }

  let began = Date.now(), shown = "";
  const time = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
  const tick = () => (clock.textContent = `${time((Date.now() - began) / 1000)}   ${new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}`);
  channel.addEventListener("message", ({ data }) => {
    if (data.kind !== "state") return;
    began = data.began;
    where.textContent = `${data.at + 1} of ${data.count}   ${data.words}${data.black ? "   BLACK" : ""}`;
    title.textContent = data.title;
    next.textContent = data.next ? `Next: ${data.next}` : "The last one.";
    if (data.notes !== shown) write((shown = data.notes));
    tick();
  });
  view.setInterval(tick, 500);
  page.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    channel.postMessage({ kind: "key", key: event.key });
  });
  channel.postMessage({ kind: "hello" });
}
