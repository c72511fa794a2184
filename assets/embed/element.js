/* <inkblot-player src="trace.json">: the player on anybody's page, from one file. Attributes: src (a trace), theme ('light' or 'dark'; else
   the reader's system decides), autoplay, loop. What cannot be shown is said in a sentence. Needs mountPlayer and STYLE before it. */

class InkblotPlayer extends HTMLElement {
  static observedAttributes = ["src", "theme"];

  connectedCallback() {
    if (!this.shadowRoot) {
      const style = document.createElement("style");
      style.textContent = ":host { display: block; }\n" + STYLE;
      this.box = document.createElement("div");
      this.attachShadow({ mode: "open" }).append(style, this.box);
    }
    this.show();
  }

  disconnectedCallback() {
    this.box?.__player?.destroy();
  }

  attributeChangedCallback(_, before, now) {
    if (this.box && before !== now) this.show();
  }

  async show() {
    const src = this.getAttribute("src"), theme = this.getAttribute("theme") || undefined, player = mountPlayer(this.box, { theme, loop: this.hasAttribute("loop") });
    if (!src) return player.empty("There is no trace to show: the attribute src names none.");
    try {
      const answer = await fetch(src);
      if (!answer.ok) throw new Error("it is not there");
      const doc = await answer.json(), wrong = player.accepts(doc);
      if (wrong) throw new Error(wrong);
      if (this.box.__player === player) player.receive({ run: src, trace: doc, done: true, play: this.hasAttribute("autoplay") });
    } catch (error) {
      player.empty(`The trace ${src} cannot be shown: ${error instanceof SyntaxError ? "it is not JSON" : error instanceof TypeError ? "it cannot be reached" : error.message}.`);
    }
  }
}

if (!customElements.get("inkblot-player")) customElements.define("inkblot-player", InkblotPlayer);
