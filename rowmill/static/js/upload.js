// The drop zone: takes a file, sends it with its progress shown, and puts the verdict in place. Without this script the form works as it is.
(function () {
  "use strict";

  function bytesInWords(bytes) {
    return bytes < 1048576 ? Math.max(1, Math.round(bytes / 1024)) + " KB" : (bytes / 1048576).toFixed(1) + " MB";
  }

  function showWords(words) {
    var box = document.createElement("div");
    box.className = "alert alert-danger";
    box.setAttribute("role", "alert");
    box.textContent = words;
    place().replaceChildren(box);
  }

  function place() {
    return document.getElementById("verdict");
  }

  function speak(words) {
    document.getElementById("announcer").textContent = words;
  }

  function answerIsVerdict(request) {
    return request.responseText.indexOf("data-verdict=") !== -1;
  }

  // Anything a file is dropped on beside the zone would make the browser leave the page and open it.
  ["dragover", "drop"].forEach(function (name) {
    window.addEventListener(name, function (event) {
      event.preventDefault();
    });
  });

  document.addEventListener("alpine:init", function () {
    window.Alpine.data("dropZone", function () {
      return {
        over: false,
        state: "idle", // idle, uploading, checking
        percent: 0,
        name: "",
        file: null,

        init: function () {
          var self = this;
          place().addEventListener("click", function (event) {
            if (event.target.closest("[data-send-again]") && self.file) {
              self.send(self.file, true);
            }
          });
        },

        pick: function (file) {
          this.file = file || null;
          this.name = file ? file.name + ", " + bytesInWords(file.size) : "";
        },

        send: function (file, again) {
          var self = this;
          var form = this.$root;
          var limit = Number(form.dataset.maxBytes);
          if (this.state !== "idle") {
            return;
          }
          if (file.size > limit) {
            showWords(file.name + " is " + bytesInWords(file.size) + ", larger than the " + bytesInWords(limit) + " that fit. Split it into parts, each with the header line, and send them.");
            return;
          }
          var data = new FormData(form);
          data.set("file", file, file.name);
          data.delete("confirm_duplicate");
          if (again) {
            data.set("confirm_duplicate", "true");
          }
          var request = new XMLHttpRequest();
          request.open("POST", form.action);
          request.setRequestHeader("HX-Request", "true");
          request.setRequestHeader("X-CSRFToken", data.get("csrfmiddlewaretoken"));
          request.upload.onprogress = function (event) {
            if (event.lengthComputable) {
              self.percent = Math.floor((100 * event.loaded) / event.total);
            }
          };
          request.upload.onload = function () {
            self.state = "checking";
            speak("Checking the file");
          };
          request.onload = function () {
            self.state = "idle";
            self.receive(request);
          };
          request.onerror = function () {
            self.state = "idle";
            showWords("The connection broke before the answer came. Look at the history below: when the file is not there, send it again.");
          };
          this.percent = 0;
          this.state = "uploading";
          place().replaceChildren();
          request.send(data);
        },

        receive: function (request) {
          var away = request.getResponseHeader("HX-Redirect");
          if (away) {
            window.location.assign(away);
            return;
          }
          if (!answerIsVerdict(request)) {
            showWords("The file could not be taken (status " + request.status + ", id " + (request.getResponseHeader("X-Request-ID") || "none") + "). Nothing was run. Load the page again and send it once more.");
            return;
          }
          place().innerHTML = request.responseText;
          window.htmx.process(place());
          place().focus();
          var words = place().querySelector(".verdict-words:not([role])"); // the others are alerts and speak by themselves
          if (words) {
            speak(words.textContent.trim());
          }
          if (request.status === 201) {
            this.$root.reset();
            this.pick(null);
          }
          document.body.dispatchEvent(new CustomEvent("file-taken"));
        },

        form: {
          ["@submit"](event) {
            var file = this.$root.elements.file.files[0] || this.file;
            if (file) {
              event.preventDefault();
              this.pick(file);
              this.send(file, false);
            }
          },
        },
        zone: {
          ["@dragover"](event) {
            event.preventDefault();
            this.over = true;
          },
          ["@dragleave"]() {
            this.over = false;
          },
          ["@drop"](event) {
            event.preventDefault();
            event.stopPropagation();
            this.over = false;
            var file = event.dataTransfer.files[0];
            if (file) {
              this.$root.elements.file.value = "";
              this.pick(file);
              this.send(file, false);
            }
          },
          [":class"]() {
            return this.over ? "is-over" : "";
          },
        },
        input: {
          ["@change"](event) {
            this.pick(event.target.files[0]);
          },
        },
        chosen: {
          ["x-text"]() {
            return this.name;
          },
        },
        button: {
          [":disabled"]() {
            return this.state !== "idle";
          },
        },
        sending: {
          ["x-show"]() {
            return this.state !== "idle";
          },
        },
        words: {
          ["x-text"]() {
            return this.state === "checking" ? "Checking every line of the file …" : "Uploading, " + this.percent + " %";
          },
        },
        bar: {
          [":value"]() {
            return this.state === "checking" ? 100 : this.percent;
          },
        },
      };
    });
  });
})();
