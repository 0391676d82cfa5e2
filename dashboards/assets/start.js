// The colour scheme of the browser as a cookie, so that the server draws figures for it; the title; menus; keys.
(function () {
  "use strict";
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const remember = () => {
    document.cookie = "scheme=" + (dark.matches ? "dark" : "light") + "; path=/; SameSite=Strict";
  };
  remember();
  dark.addEventListener("change", () => { remember(); window.location.reload(); });
  document.documentElement.lang = "en";

  window.diffbehavTitle = function () {
    const run = document.querySelector(".run-name");
    const heading = document.querySelector("main h1");
    return [heading, run].filter(Boolean).map((each) => each.textContent).concat("diffbehav").join(" · ");
  };

  document.addEventListener("click", (event) => {
    for (const open of document.querySelectorAll("details.menu[open]")) {
      if (!open.contains(event.target) || event.target.closest("a")) { open.open = false; }
    }
  });

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, [contenteditable], [role=combobox], [role=listbox]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) { return; }
    const key = event.key === "o" ? "nav a:nth-of-type(3)" : '[data-key="' + CSS.escape(event.key) + '"] a';
    const link = document.querySelector(key);
    if (link) { link.click(); }
  });
})();
