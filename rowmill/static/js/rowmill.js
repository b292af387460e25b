// What every page needs: the menu on small screens, the theme switch, panels that ask before they act, words for the live region.
(function () {
  "use strict";

  document.addEventListener("alpine:init", function () {
    var Alpine = window.Alpine;

    Alpine.data("sideMenu", function () {
      return {
        open: false,
        root: {
          [":class"]() {
            return this.open ? "is-open" : "";
          },
          ["@keydown.escape"]() {
            this.open = false;
          },
        },
        toggle: {
          ["@click"]() {
            this.open = !this.open;
          },
          [":aria-expanded"]() {
            return this.open ? "true" : "false";
          },
        },
      };
    });

    Alpine.data("themeSwitch", function () {
      return {
        button: {
          ["@click"]() {
            window.switchTheme();
          },
        },
      };
    });

  });

  // A live part says its state in data-announce; only a change of it is spoken, never a tick.
  var said = {};
  function announce(root) {
    root.querySelectorAll("[data-announce]").forEach(function (element) {
      var key = element.getAttribute("data-announce-key");
      var words = element.getAttribute("data-announce");
      if (said[key] !== undefined && said[key] !== words) {
        document.getElementById("announcer").textContent = words;
      }
      said[key] = words;
    });
  }
  document.addEventListener("DOMContentLoaded", function () {
    announce(document);
  });
  document.addEventListener("htmx:afterSettle", function () {
    announce(document);
  });

  // One panel of a kind is open at a time; Escape closes it and gives the focus back.
  document.addEventListener("keydown", function (event) {
    if (event.key !== "Escape") {
      return;
    }
    var panel = document.activeElement && document.activeElement.closest("details.ask[open]");
    if (panel) {
      panel.open = false;
      panel.querySelector("summary").focus();
    }
  });
  document.addEventListener("click", function (event) {
    var close = event.target.closest("[data-close-panel]");
    if (close) {
      var panel = close.closest("details");
      panel.open = false;
      panel.querySelector("summary").focus();
    }
  });
})();
