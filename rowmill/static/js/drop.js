// The drop zone: files may be let go anywhere on the page, since beside the zone the browser would leave the page and open them.
(function () {
  "use strict";

  function carriesFiles(event) {
    return event.dataTransfer && Array.from(event.dataTransfer.types).includes("Files");
  }

  function holdsFolder(event) {
    return Array.from(event.dataTransfer.items).some(function (item) {
      const entry = item.webkitGetAsEntry && item.webkitGetAsEntry();
      return entry && entry.isDirectory;
    });
  }

  // Call `taken(files, trouble)` with what is let go; `trouble` says in words why it is not taken.
  window.rowmillDrop = function (zone, words, taken) {
    const idle = words.textContent;

    function show(count) {
      zone.classList.toggle("is-over", count > 0);
      words.textContent = count > 1 ? "Let go to send these " + count + " files" : count ? "Let go to send this file" : idle;
    }

    window.addEventListener("dragover", function (event) {
      event.preventDefault();
      if (carriesFiles(event)) {
        show(event.dataTransfer.items.length || 1);
      }
    });
    window.addEventListener("dragleave", function (event) {
      if (!event.relatedTarget) {
        show(0);
      }
    });
    window.addEventListener("drop", function (event) {
      event.preventDefault();
      show(0);
      if (carriesFiles(event)) {
        const folder = holdsFolder(event);
        taken(folder ? [] : Array.from(event.dataTransfer.files), folder ? "A folder cannot be sent. Open it and drop its files." : "");
      }
    });
  };
})();
