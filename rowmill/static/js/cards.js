// The card of a file under way: its name, how far it is, how fast, how long still, and what can be done with it.
(function () {
  "use strict";

  const SPEED_SECONDS = 6; // the speed shown is that of the last seconds: steady enough to read, quick enough to believe
  const SAID = {
    sending: "uploading",
    paused: "paused",
    trying: "the connection is gone, trying again",
    checking: "all of it is here, it is being checked",
  };

  function bytesInWords(bytes) {
    if (bytes < 1024) {
      return bytes + (bytes === 1 ? " byte" : " bytes");
    }
    if (bytes < 1048576) {
      return (bytes / 1024).toFixed(1) + " KB";
    }
    return bytes < 1073741824 ? (bytes / 1048576).toFixed(1) + " MB" : (bytes / 1073741824).toFixed(2) + " GB";
  }

  function secondsInWords(seconds) {
    if (seconds < 55) {
      return Math.max(1, Math.round(seconds)) + " s";
    }
    const minutes = Math.round(seconds / 60);
    return minutes < 60 ? minutes + " min" : Math.floor(minutes / 60) + " h " + (minutes % 60) + " min";
  }

  // Two files that end in the same moment are both spoken.
  let unsaid = [];
  function say(words) {
    unsaid.push(words);
    if (unsaid.length === 1) {
      window.setTimeout(function () {
        document.getElementById("announcer").textContent = unsaid.join(" ");
        unsaid = [];
      }, 120);
    }
  }

  class FileCard {
    // Take the card that the server drew, or draw one from the template.
    constructor(element) {
      this.element = element || document.getElementById("file-card").content.firstElementChild.cloneNode(true);
      this.state = this.element.dataset.state;
      this.name = this.element.dataset.name || "";
      this.size = Number(this.element.dataset.size || 0);
      this.here = Number(this.element.dataset.here || 0);
      this.uploadId = this.element.dataset.upload || "";
      this.fingerprint = this.element.dataset.fingerprint || "";
      this.fileId = "";
      this.samples = [];
      this.setFile(this.name, this.size);
      this.show(this.state, this.part("line").textContent);
    }

    part(name) {
      return this.element.querySelector('[data-part="' + name + '"]');
    }

    setFile(name, size) {
      this.name = name;
      this.size = size;
      this.part("name").textContent = name;
      this.part("bar").setAttribute("aria-label", "Upload of " + name);
      this.element.querySelectorAll('[data-part="of"]').forEach(function (element) {
        element.textContent = " " + name;
      });
    }

    // Change the state: what stands in it, what can be done in it. The focus never falls out of the card.
    set(state, words) {
      const changed = state !== this.state;
      this.samples = [];
      this.show(state, words === undefined ? this.describe(state) : words);
      if (changed && SAID[state]) {
        say(this.name + ": " + SAID[state] + ".");
      }
    }

    show(state, line) {
      const active = this.element.contains(document.activeElement) ? document.activeElement : null;
      this.state = state;
      this.element.dataset.state = state;
      this.element.querySelectorAll("[data-when]").forEach(function (element) {
        element.hidden = !element.dataset.when.split(" ").includes(state);
      });
      this.part("line").textContent = line;
      this.part("trouble").textContent = "";
      this.drawBar();
      if (active && !active.checkVisibility()) {
        this.focus();
      }
    }

    focus() {
      const buttons = Array.from(this.element.querySelectorAll(".file-actions button, .file-actions summary"));
      const next = buttons.find(function (button) {
        return button.checkVisibility();
      });
      (next || this.part("name")).focus();
    }

    tellTrouble(state, words) {
      this.show(state, state === "failed" || state === "unfinished" ? this.describe(state) : "");
      this.part("trouble").textContent = words;
    }

    drawBar() {
      const percent = this.state === "checking" ? 100 : this.percent();
      this.part("bar").value = percent;
      this.part("loss").textContent = this.here
        ? "The " + bytesInWords(this.here) + " that were sent are thrown away. Nothing was run."
        : "Nothing of it was sent yet, and nothing was run.";
    }

    percent() {
      return this.size ? Math.floor((100 * this.here) / this.size) : 0;
    }

    // Note how many bytes are on their way, at which moment.
    note(here) {
      this.here = here;
      this.samples.push([performance.now() / 1000, here]);
      this.tick();
      this.drawBar();
    }

    // Say it anew: where nothing comes through any more, the speed falls.
    tick() {
      const now = performance.now() / 1000;
      while (this.samples.length > 1 && now - this.samples[0][0] > SPEED_SECONDS) {
        this.samples.shift();
      }
      this.part("line").textContent = this.describe(this.state);
    }

    // Give bytes a second, 0 while nobody can know.
    speed() {
      const seconds = this.samples.length ? performance.now() / 1000 - this.samples[0][0] : 0;
      return seconds >= 1 ? Math.max(0, (this.here - this.samples[0][1]) / seconds) : 0;
    }

    describe(state) {
      const far = this.percent() + " % · " + bytesInWords(this.here) + " of " + bytesInWords(this.size);
      switch (state) {
        case "waiting":
          return bytesInWords(this.size) + ". It starts as soon as another one is through.";
        case "sending":
          return far + this.pace();
        case "paused":
          return far + ". It goes on when you say so.";
        case "trying":
          return far + ". It goes on by itself as soon as the server answers.";
        case "checking":
          return "All " + bytesInWords(this.size) + " are here. Every line is being checked.";
        case "failed":
          return this.here ? far + "." : bytesInWords(this.size) + ".";
        default:
          return this.part("line").textContent;
      }
    }

    pace() {
      const speed = this.speed();
      if (!speed || this.here >= this.size) {
        return "";
      }
      return " · " + bytesInWords(Math.round(speed)) + "/s · about " + secondsInWords((this.size - this.here) / speed) + " left";
    }

    // Put the verdict in the place of the progress.
    showVerdict(markup) {
      const focused = this.element.contains(document.activeElement);
      const place = this.part("verdict");
      this.state = this.element.dataset.state = "done";
      this.element.querySelector(".file-sending").hidden = true;
      place.innerHTML = markup;
      window.htmx.process(place);
      if (focused) {
        place.focus();
      }
      const words = place.querySelector(".verdict-words:not([role])"); // the others are alerts and speak by themselves
      if (words) {
        say(this.name + ": " + words.textContent.trim());
      }
    }

    // Leave the verdict: the person said what to do about it.
    hideVerdict() {
      this.element.querySelector(".file-sending").hidden = false;
      this.part("verdict").replaceChildren();
    }
  }

  window.rowmillCards = { FileCard, bytesInWords, secondsInWords, say };
})();
