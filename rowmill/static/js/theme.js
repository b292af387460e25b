// Before the first paint: the theme that the person chose, else the system's.
(function () {
  "use strict";
  var root = document.documentElement;
  root.classList.add("has-js");
  var dark = window.matchMedia("(prefers-color-scheme: dark)");

  function chosen() {
    try {
      return window.localStorage.getItem("theme");
    } catch (error) {
      return null; // storage is switched off: the system decides
    }
  }

  function apply() {
    root.setAttribute("data-bs-theme", chosen() || (dark.matches ? "dark" : "light"));
  }

  apply();
  dark.addEventListener("change", apply);

  window.switchTheme = function () {
    var next = root.getAttribute("data-bs-theme") === "dark" ? "light" : "dark";
    try {
      window.localStorage.setItem("theme", next);
    } catch (error) {
      root.setAttribute("data-bs-theme", next);
      return next;
    }
    apply();
    return next;
  };
})();
