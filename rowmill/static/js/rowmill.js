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

  // A live part says its state in data-announce, or by its own words; only a change of it is spoken, never a tick.
  var said = {};
  function announce(root) {
    root.querySelectorAll("[data-announce], [data-announce-text]").forEach(function (element) {
      var key = element.getAttribute("data-announce-key");
      var words = element.hasAttribute("data-announce-text") ? element.textContent.replace(/\s+/g, " ").trim() : element.getAttribute("data-announce");
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

  // A part that is renewed keeps what the person had open, where they stood, and how far they had scrolled.
  var FOCUSABLE = "a, button, summary, input, select";
  var kept = null;
  function keepPlace(target) {
    var active = target.contains(document.activeElement) ? document.activeElement : null;
    var anchor = active && active.closest("[id]");
    kept = {
      open: Array.from(target.querySelectorAll("details[id][open]"), function (panel) {
        return panel.id;
      }),
      scrolled: Array.from(target.querySelectorAll(".table-frame[id]"), function (frame) {
        return [frame.id, frame.scrollLeft, frame.scrollTop];
      }),
      anchor: anchor && anchor.id,
      part: active && target.id,
      index: anchor ? Array.from(anchor.querySelectorAll(FOCUSABLE)).indexOf(active) : -1,
    };
  }
  function restorePlace() {
    if (!kept) {
      return;
    }
    kept.open.forEach(function (id) {
      var panel = document.getElementById(id);
      if (panel) {
        panel.open = true;
      }
    });
    kept.scrolled.forEach(function (where) {
      var frame = document.getElementById(where[0]);
      if (frame) {
        frame.scrollTo(where[1], where[2]);
      }
    });
    var anchor = kept.anchor && document.getElementById(kept.anchor);
    var element = anchor && (kept.index < 0 ? anchor : anchor.querySelectorAll(FOCUSABLE)[kept.index]);
    if (element && document.activeElement !== element) {
      element.focus({ preventScroll: true });
    }
    // What had the focus is gone, or can no more be pressed: it stays in the part that answers, not at the page's top.
    var part = kept.part && document.getElementById(kept.part);
    if (part && !part.contains(document.activeElement)) {
      part.tabIndex = -1;
      part.focus({ preventScroll: true });
    }
    kept = null;
  }
  document.addEventListener("htmx:beforeSwap", function (event) {
    keepPlace(event.detail.target);
  });
  document.addEventListener("htmx:afterSwap", restorePlace);

  // While the server does not answer, the page says so and goes on trying.
  function tellOffline(offline) {
    document.getElementById("offline").hidden = !offline;
  }
  document.addEventListener("htmx:sendError", function () {
    tellOffline(true);
  });
  document.addEventListener("htmx:responseError", function () {
    tellOffline(true);
  });
  document.addEventListener("htmx:afterRequest", function (event) {
    if (event.detail.successful) {
      tellOffline(false);
    }
  });

  // A tip goes away by Escape without moving the pointer.
  document.addEventListener("keydown", function (event) {
    if (event.key === "Escape") {
      document.querySelectorAll(".column-list li:hover, .column-list li:focus-within").forEach(function (item) {
        item.classList.add("is-quiet");
      });
    }
  });
  ["mouseout", "focusout"].forEach(function (name) {
    document.addEventListener(name, function (event) {
      var item = event.target.closest && event.target.closest(".column-list li.is-quiet");
      if (item) {
        item.classList.remove("is-quiet");
      }
    });
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
