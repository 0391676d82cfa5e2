// The colours that were chosen, as cookies, so that the server draws figures for them; the title; menus; keys.
(function () {
  "use strict";
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const keep = (name, value) => {
    document.cookie = name + "=" + value + "; path=/; max-age=31536000; SameSite=Strict";
  };
  const chosen = () => (document.cookie.match(/(?:^|; )theme=(light|dark)(?:;|$)/) || [null, "auto"])[1];
  const remember = () => {
    const theme = chosen();
    keep("scheme", theme === "auto" ? (dark.matches ? "dark" : "light") : theme);
    document.documentElement.dataset.theme = theme;
  };
  remember();
  dark.addEventListener("change", () => {
    if (chosen() === "auto") { remember(); window.location.reload(); }
  });
  document.documentElement.lang = "en";

  window.diffbehavTitle = function () {
    const run = document.querySelector(".run-name");
    const heading = document.querySelector("main h1");
    return [heading, run].filter(Boolean).map((each) => each.textContent).concat("diffbehav").join(" · ");
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-theme-choice]");
    if (button) { keep("theme", button.dataset.themeChoice); remember(); window.location.reload(); }
    for (const open of document.querySelectorAll("details.menu[open]")) {
      if (!open.contains(event.target) || event.target.closest("a")) { open.open = false; }
    }
  });

  document.addEventListener("keydown", (event) => {
    const open = document.querySelector("details.menu[open]");
    if (event.key === "Escape" && open) { open.open = false; open.querySelector("summary").focus(); return; }
    const typing = event.target.closest("input, textarea, select, [contenteditable], [role=combobox], [role=listbox]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) { return; }
    const key = event.key === "o" ? "nav a:nth-of-type(3)" : '[data-key="' + CSS.escape(event.key) + '"] a';
    const link = document.querySelector(key);
    if (link) { link.click(); }
  });
})();
