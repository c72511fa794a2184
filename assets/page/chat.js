/* A conversation on the page: what was said before the next prompt. It is taken from the run in view, whose header keeps its turns,
   and is sent along as `messages`. `window.inkblotChat`: next, edit, replay, anew; `pending` is what the hidden button puts into the page. */

window.inkblotChat = (() => {
  let messages = [], prompt = "";
  const player = () => document.querySelector("#player .ib-host")?.__player;
  const block = (name) => document.querySelector(`.${name}`);

  /** All that was said up to the answer in view, null where there is none, or its model holds no conversation. */
  function said() {
    const run = player()?.run, header = run?.header;
    if (!run?.result?.text?.trim() || !header || header.model.checked || header.model.view) return null;
    const before = (header.before || []).map(([role, content]) => ({ role, content }));
    return [...before, { role: "user", content: header.prompt }, { role: "assistant", content: run.result.text }];
  }

  const look = () => block("ink-next") && (block("ink-next").hidden = !said());

  function put(turns, text) {
    [messages, prompt] = [turns, text];
    draw();
    document.getElementById("chat-set")?.click();
    const box = document.querySelector("#prompt textarea");
    if (turns.length) box?.setAttribute("placeholder", "Your next prompt");
    box?.focus();
    box?.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  const button = (words, title, press) => Object.assign(document.createElement("button"), { type: "button", textContent: words, title, onclick: press });

  function draw() {
    const list = document.querySelector(".ink-turns ol");
    block("ink-turns").hidden = !messages.length;
    list.replaceChildren();
    for (let i = 0; i < messages.length; i += 2) {
      const item = document.createElement("li"), asked = document.createElement("b"), answer = document.createElement("span");
      asked.textContent = messages[i].content;
      answer.textContent = messages[i + 1].content;
      item.append(asked, answer, button("Replay", "Show this turn's run", () => replay(i)), button("Edit", "Ask this anew; what follows it is left out", () => put(messages.slice(0, i), messages[i].content)));
      list.append(item);
    }
  }

  /** Show the run of a turn, where this visit keeps it. */
  function replay(i) {
    const runs = window.inkblotRuns, same = ({ header, result }) => header.prompt === messages[i].content && (header.before || []).length === i && result?.text === messages[i + 1].content;
    for (const { id } of runs.list().reverse()) {
      const trace = runs.document(id);
      if (trace && same(trace)) return player().receive({ run: id, trace, done: true, play: true });
    }
    document.getElementById("save-status").textContent = "This visit no longer keeps that run.";
  }

  for (const name of ["ib-frame", "ib-end"]) document.addEventListener(name, (event) => event.target.closest?.("#player") && look());
  return { next: () => said() && put(said(), ""), anew: () => put([], ""), replay, pending: () => [messages, prompt] };
})();
