/* Light or dark, by a press: the choice is kept in this browser and holds until the other is pressed; `?__theme=` in the address goes first. */

window.inkblotTheme = (() => {
  const KEY = "inkblot-theme", stored = () => { try { return localStorage.getItem(KEY); } catch { return null; } };
  const dark = () => document.body.classList.contains("dark");

  /** Say on the button what a press brings. */
  function tell() {
    for (const button of document.querySelectorAll("[data-theme-switch]")) button.setAttribute("aria-pressed", dark()), (button.title = dark() ? "Light page" : "Dark page");
  }

  function press() {
    document.body.classList.toggle("dark");
    try { localStorage.setItem(KEY, dark() ? "dark" : "light"); } catch { /* a browser that keeps nothing: until the page is left */ }
    tell();
  }

  document.addEventListener("click", (event) => event.target.closest?.("[data-theme-switch]") && press());
  new MutationObserver((_, watching) => { // Gradio sets its own class while it mounts
    if (!document.querySelector(".ink-header")) return;
    watching.disconnect();
    if (stored() && !new URLSearchParams(location.search).has("__theme")) document.body.classList.toggle("dark", stored() === "dark");
    new MutationObserver(tell).observe(document.body, { attributes: true, attributeFilter: ["class"] });
    tell();
  }).observe(document.documentElement, { childList: true, subtree: true });
})();
