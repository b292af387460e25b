// The mapping's boxes: a click opens the whole list of fields instead of those that fit what stands there; leaving it blank leaves it as it was.
(function () {
  "use strict";

  function isBox(element) {
    return element.matches && element.matches(".mapping-field input");
  }

  function restore(box) {
    if (box.value.trim() === "" && box.dataset.before) {
      box.value = box.dataset.before;
    }
    box.placeholder = "";
  }

  function goOn(box) {
    var boxes = Array.prototype.filter.call(document.querySelectorAll(".mapping-field input"), function (other) {
      return !other.disabled && other.offsetParent !== null;
    });
    var next = boxes[boxes.indexOf(box) + 1] || document.querySelector("#mapping button[value=save]");
    if (next) {
      next.focus();
    }
  }

  function find(words) {
    var lines = document.querySelectorAll(".mapping-line");
    var found = 0;
    lines.forEach(function (line) {
      var text = line.querySelector(".mapping-header").textContent + " " + line.querySelector("input").value;
      line.hidden = text.toLowerCase().indexOf(words.trim().toLowerCase()) < 0;
      found += line.hidden ? 0 : 1;
    });
    var told = document.getElementById("shown-columns");
    told.textContent = words.trim() ? found + " of " + lines.length + " columns" : "";
  }

  document.addEventListener("input", function (event) {
    if (event.target.id === "find-column") {
      find(event.target.value);
    }
  });
  document.addEventListener("change", function (event) {
    if (isBox(event.target)) {
      var how = event.target.parentElement.querySelector(".mapping-how");
      how.textContent = "set by hand, not saved yet";
      how.classList.remove("is-yellow");
    }
  });
  document.addEventListener("htmx:afterSettle", function () {
    document.querySelectorAll(".mapping-field input").forEach(function (box) {
      var wrong = box.parentElement.querySelector(".mapping-how .is-red") !== null;
      box.setAttribute("aria-invalid", wrong ? "true" : "false");
      box.classList.toggle("is-invalid", wrong);
    });
  });
  document.addEventListener("focusin", function (event) {
    if (isBox(event.target)) {
      event.target.dataset.before = event.target.value;
      event.target.placeholder = event.target.value;
      event.target.value = "";
    }
  });
  document.addEventListener("focusout", function (event) {
    if (isBox(event.target)) {
      restore(event.target);
    }
  });
  document.addEventListener("keydown", function (event) {
    if (event.key === "Escape" && isBox(event.target)) {
      event.target.value = event.target.dataset.before;
    }
    // Enter would save the whole form: in a box it says that this column is done.
    if (event.key === "Enter" && isBox(event.target)) {
      event.preventDefault();
      goOn(event.target);
    }
  });
  ["submit", "htmx:configRequest"].forEach(function (name) {
    document.addEventListener(
      name,
      function (event) {
        document.querySelectorAll(".mapping-field input").forEach(restore);
        if (event.detail && event.detail.parameters) {
          document.querySelectorAll(".mapping-field input").forEach(function (box) {
            event.detail.parameters[box.name] = box.value;
          });
        }
      },
      true
    );
  });
})();
