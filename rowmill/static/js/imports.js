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
