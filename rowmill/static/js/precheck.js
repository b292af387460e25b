// The precheck's drop zone: what is let go on the page stands in the form, as if it had been chosen.
(function () {
  "use strict";

  document.addEventListener("DOMContentLoaded", function () {
    const input = document.getElementById("file");
    const words = document.getElementById("drop-words");
    const told = document.getElementById("drop-chosen");
    window.rowmillDrop(document.getElementById("drop"), words, function (files, trouble) {
      told.textContent = trouble || (files.length > 1 ? "One file a time: the first of them is taken." : "");
      if (files.length) {
        const one = new DataTransfer();
        one.items.add(files[0]);
        input.files = one.files;
      }
    });
  });
})();
