// The sender of every page that takes files: sends them by tus through Uppy, goes on after any interruption, shows each verdict in its place.
// The form says what a page wants of it: data-kind, data-one (one file a time), data-verdict-at (whom to ask what became of a file)
// or data-live (the part of the page that tells it), data-later (where that stands afterwards). The browser keeps nothing of a file, neither bytes nor names: what was begun is known to the server. Without this script the form works as it is.
(function () {
  "use strict";

  const form = document.getElementById("upload-form");
  if (!form || !window.UppyKit) {
    return;
  }
  const { FileCard, bytesInWords, secondsInWords, say } = window.rowmillCards;
  const { readProblem, troubleInWords } = window.rowmillTrouble;
  const input = form.elements.file;
  const list = document.getElementById("file-list");
  const ONE = "one" in form.dataset;
  const AT_ONCE = 3;
  // About four minutes: a router that starts anew, a server that is renewed. A success starts the count anew.
  const RETRY_DELAYS = [300, 1000, 2000, 4000, 8000, 15000, 30000, 60000, 60000, 60000];
  const FOR_GOOD = [400, 413, 415, 422]; // the same file would be refused again
  const cards = new Map(); // by Uppy's id of the file
  let sent = 0;

  function csrfToken() {
    const cookie = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/); // newer than the form's after a sign-in elsewhere
    return cookie ? cookie[1] : form.elements.csrfmiddlewaretoken.value;
  }

  // ---------------------------------------------------------------------------------------------- sending

  function quiet() {} // Uppy's log would tell files' names to the console
  const uppy = new window.UppyKit.Uppy({
    id: "page",
    autoProceed: false,
    allowMultipleUploadBatches: true,
    logger: { debug: quiet, warn: quiet, error: quiet },
  });

  uppy.use(window.UppyKit.Tus, {
    endpoint: form.dataset.door,
    chunkSize: Number(form.dataset.chunkBytes),
    limit: AT_ONCE,
    retryDelays: RETRY_DELAYS,
    storeFingerprintForResuming: false,
    onBeforeRequest: function (request, file) {
      if (request.getMethod() === "DELETE") {
        return new Promise(quiet); // never: Uppy's own is lost while a file waits to be tried again, so giveUp() tells the server
      }
      request.setHeader("X-CSRFToken", csrfToken());
      const card = cards.get(file.id);
      if (card && card.state === "waiting") {
        card.set("sending");
      }
    },
    onShouldRetry: function (error, attempt, options, usual) {
      const card = cards.get(options.cardOf);
      const status = error.originalResponse ? error.originalResponse.getStatus() : 0;
      const refused = status === 409 && error.originalRequest.getMethod() === "POST"; // it may not even begin
      if (!card || status === 507 || refused || !usual(error)) {
        return false;
      }
      if (!status) {
        needReadable(card);
      }
      if (status !== 409 && status !== 423) { // those two only say: ask first how far it is
        card.set("trying");
      }
      return true;
    },
  });

  // A file that was changed, moved or taken out looks like a broken connection; to try again is of no use then.
  function needReadable(card) {
    const file = uppy.getFile(card.fileId);
    file.data.slice(0, 1).arrayBuffer().catch(function () {
      giveUp(card);
      card.tellTrouble("refused", "The file was changed or moved since it was chosen, so it cannot be read any more. Choose it again.");
    });
  }

  uppy.on("upload-progress", function (file, progress) {
    const card = file && cards.get(file.id);
    if (!card) {
      return;
    }
    if (card.state === "trying" && progress.bytesUploaded > card.here) {
      card.set("sending");
    }
    if (card.state === "sending") {
      card.note(progress.bytesUploaded);
    }
  });

  uppy.on("upload-success", function (file, response) {
    const card = cards.get(file.id);
    if (card && form.dataset.live) {
      say(card.name + ": all of it is here.");
      putAway(card);
      renewLive();
    } else if (card) {
      watch(card);
    }
  });

  uppy.on("upload-error", function (file, error, response) {
    const card = cards.get(file.id);
    if (!card) {
      return;
    }
    const problem = response ? readProblem(response.body.xhr.responseText) : {};
    const status = response ? response.status : 0;
    if (status === 410 || status === 404) {
      card.uploadId = "";
      card.here = 0;
      uppy.setFileState(file.id, { tus: { ...uppy.getFile(file.id).tus, uploadUrl: null } });
    }
    card.tellTrouble(FOR_GOOD.includes(status) ? "refused" : "failed", troubleInWords(status, problem));
    renewLive();
  });

  // Where a part of the page tells what becomes of a file, let it look.
  function renewLive() {
    if (form.dataset.live) {
      window.htmx.ajax("GET", form.dataset.live, { target: "#live", swap: "outerHTML" });
    }
  }

  function idOf(url) {
    const found = (url || "").match(/[0-9a-f]{8}-[0-9a-f-]{27}/i);
    return found ? found[0] : "";
  }

  function doorOf(card) {
    return form.dataset.door + card.uploadId + "/";
  }

  // ---------------------------------------------------------------------------------------------- taking files in

  function fingerprintOf(file) {
    return file.size + "-" + file.lastModified;
  }

  // Take files: what was begun before goes on, the others begin.
  function take(files) {
    if (ONE && (files.length > 1 || (list.children.length && !allCards().every(isOver)))) {
      const words = files.length > 1 ? "One file a time. Choose one of them." : "Another file is under way. Wait for it, or cancel it first.";
      document.getElementById("drop-chosen").textContent = words;
      say(words);
      return;
    }
    if (ONE) {
      allCards().filter((card) => card.state === "refused").forEach((card) => card.element.remove());
    }
    const first = list.firstElementChild;
    files.forEach(function (file) {
      const begun = findBegun(file);
      if (begun === undefined) {
        say(file.name + " is under way already.");
        return;
      }
      send(begun || addCard(file, first), file);
    });
    input.value = ""; // the options stay, for the next file
    tellChosen();
    list.firstElementChild.scrollIntoView({ block: "nearest" });
  }

  // Give the card of the same file that was begun before, null where there is none, undefined where it is under way.
  function findBegun(file) {
    const same = allCards().filter(function (card) {
      return card.name === file.name && card.size === file.size && (!card.fingerprint || card.fingerprint === fingerprintOf(file));
    });
    const busy = same.some(function (card) {
      return ["waiting", "sending", "paused", "trying", "checking"].includes(card.state);
    });
    return busy ? undefined : same.find(function (card) { return card.state === "unfinished"; }) || null;
  }

  // An unfinished one is not in the way: the same file goes on, another one takes its place.
  function isOver(card) {
    return ["refused", "unfinished", "done"].includes(card.state);
  }

  function allCards() {
    return Array.from(list.children, (element) => element.card);
  }

  function addCard(file, before) {
    const card = new FileCard();
    card.setFile(file.name, file.size);
    card.fingerprint = fingerprintOf(file);
    adopt(card);
    list.insertBefore(card.element, before);
    document.getElementById("files").hidden = false;
    return card;
  }

  function adopt(card) {
    card.element.card = card;
    card.element.addEventListener("click", function (event) {
      const button = event.target.closest("[data-do]");
      if (button) {
        ACTIONS[button.dataset.do](card);
      }
    });
    card.element.addEventListener("submit", function (event) {
      event.preventDefault(); // the one form on a card is: run it again anyway
      runAgain(card, event.target.action);
    });
  }

  function send(card, file) {
    const limit = Number(form.dataset.maxBytes);
    if (file.size > limit) {
      card.tellTrouble("refused", bytesInWords(file.size) + " are more than the " + bytesInWords(limit) + " that a file may have. Split it into parts, each with the header line, and send them.");
      return;
    }
    const meta = readOptions(file);
    const told = ["name", "type", ...Object.keys(meta)];
    // relativePath tells Uppy that a file sent once more is another one
    const id = uppy.addFile({ name: file.name, type: file.type, data: file, source: "page", meta: { ...meta, relativePath: String(++sent) } });
    cards.set(id, card);
    card.fileId = id;
    uppy.setFileState(id, {
      tus: {
        cardOf: id,
        allowedMetaFields: told,
        uploadUrl: card.uploadId ? doorOf(card) : null,
        onAfterResponse: function (request, answer) {
          const begun = idOf(answer.getHeader("Location"));
          if (begun) {
            card.uploadId = begun;
            renewLive();
          }
        },
      },
    });
    start(card);
  }

  // Each file for itself: Uppy's upload() first tries those again that failed, and lets the new ones wait for them.
  function start(card) {
    card.set("waiting");
    uppy.retryUpload(card.fileId).catch(quiet); // what goes wrong stands on its card
  }

  function readOptions(file) {
    const meta = { kind: form.dataset.kind, fingerprint: fingerprintOf(file) };
    new FormData(form).forEach(function (value, name) {
      if (typeof value === "string" && value && name !== "csrfmiddlewaretoken") {
        meta[name] = value;
      }
    });
    return meta;
  }

  // ---------------------------------------------------------------------------------------------- what can be done

  const ACTIONS = {
    pause: function (card) {
      uppy.pauseResume(card.fileId);
      card.set("paused");
    },
    resume: function (card) {
      card.set("waiting");
      uppy.pauseResume(card.fileId);
    },
    retry: start,
    choose: function (card) {
      const picker = document.createElement("input");
      picker.type = "file";
      picker.addEventListener("change", function () {
        goOn(card, picker.files[0]);
      });
      picker.click();
    },
    remove: putAway,
    cancel: cancel,
  };

  function goOn(card, file) {
    if (file.size !== card.size || (card.fingerprint && card.fingerprint !== fingerprintOf(file))) {
      card.tellTrouble("unfinished", file.name + " is not the file that was begun: its " + (file.size === card.size ? "date" : "size") + " is another. Choose that one, or cancel this upload and send the new one.");
      return;
    }
    send(card, file);
  }

  function cancel(card) {
    giveUp(card);
    say(card.name + ": cancelled. Nothing was run.");
    putAway(card);
  }

  // Stop sending, and tell the server that it may throw away what it has.
  function giveUp(card) {
    if (card.fileId) {
      cards.delete(card.fileId);
      uppy.removeFile(card.fileId);
      card.fileId = "";
    }
    if (card.uploadId) {
      fetch(doorOf(card), { method: "DELETE", headers: { "Tus-Resumable": "1.0.0", "X-CSRFToken": csrfToken() } }).catch(quiet).then(renewLive); // else its time ends it
    }
  }

  function putAway(card) {
    const next = card.element.nextElementSibling || card.element.previousElementSibling;
    card.element.remove();
    if (next) {
      next.querySelector(".file-name").focus();
    } else {
      document.getElementById("files").hidden = true;
      input.focus();
    }
  }

  // ---------------------------------------------------------------------------------------------- the verdict

  function pause(milliseconds) {
    return new Promise(function (resolve) {
      window.setTimeout(resolve, milliseconds);
    });
  }

  function verdictOf(card) {
    return form.dataset.verdictAt.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/i, card.uploadId) + "?poll";
  }

  // Ask for the verdict until it is there.
  async function watch(card) {
    const began = performance.now();
    card.here = card.size;
    card.set("checking");
    for (let wait = 250; card.state === "checking"; wait = Math.min(2000, wait * 1.4)) {
      const answer = await fetch(verdictOf(card), { headers: { "HX-Request": "true" } }).catch(function () {
        return null;
      });
      if (answer && (await settle(card, answer))) {
        return;
      }
      const seconds = (performance.now() - began) / 1000;
      card.part("line").textContent =
        (card.told || card.describe("checking")) + (answer ? "" : " The server does not answer; the page goes on asking.") + (seconds > 10 ? " " + secondsInWords(seconds) + " so far. You may leave this page; " + form.dataset.later + "." : "");
      await pause(wait);
    }
  }

  // Show what the server said; gives false while it says: not yet.
  async function settle(card, answer) {
    const away = answer.headers.get("HX-Redirect");
    if (away) {
      window.location.assign(away);
      return true;
    }
    if (answer.status === 202) {
      card.told = await answer.text();
    }
    if (answer.status === 202 || answer.status >= 500) {
      return false;
    }
    const text = await answer.text();
    if (!text.includes("data-verdict=")) {
      card.tellTrouble("refused", "Its verdict cannot be shown (status " + answer.status + ", id " + (answer.headers.get("X-Request-ID") || "none") + "). Load this page anew and look for it in the list below.");
      return true;
    }
    card.showVerdict(text);
    const next = card.element.querySelector("[data-open]");
    if (next && list.children.length === 1) {
      window.location.assign(next.dataset.open); // the one file that was sent: to where it goes on
      return true;
    }
    document.body.dispatchEvent(new CustomEvent("file-taken"));
    return true;
  }

  // The same bytes once more: they are here already, so nothing is sent again.
  async function runAgain(card, address) {
    const answer = await fetch(address, { method: "POST", headers: { "HX-Request": "true", "X-CSRFToken": csrfToken() } }).catch(function () {
      return null;
    });
    if (!answer) {
      say("The server does not answer. Try again in a moment.");
      return;
    }
    if (answer.status === 202) {
      card.hideVerdict();
      watch(card);
      return;
    }
    await settle(card, answer);
  }

  // ---------------------------------------------------------------------------------------------- the form and the drop zone

  function tellChosen() {
    const files = Array.from(input.files);
    const bytes = files.reduce(function (sum, file) { return sum + file.size; }, 0);
    document.getElementById("drop-chosen").textContent = files.length > 1 ? files.length + " files, " + bytesInWords(bytes) : files.length ? files[0].name + ", " + bytesInWords(bytes) : "";
  }

  form.addEventListener("submit", function (event) {
    event.preventDefault();
    take(Array.from(input.files));
  });
  input.multiple = !ONE; // the plain form takes one
  input.addEventListener("change", tellChosen);
  tellChosen();

  window.rowmillDrop(document.getElementById("drop"), document.getElementById("drop-words"), function (files, trouble) {
    document.getElementById("drop-chosen").textContent = trouble;
    if (trouble) {
      say(trouble);
    } else {
      take(files);
    }
  });

  Array.from(list.children).forEach(function (element) {
    adopt(new FileCard(element));
  });

  window.setInterval(function () {
    allCards().forEach(function (card) {
      if (card.state === "sending") {
        card.tick();
      }
    });
  }, 1000);

  window.addEventListener("beforeunload", function (event) {
    const busy = allCards().some(function (card) {
      return ["waiting", "sending", "trying"].includes(card.state);
    });
    if (busy) {
      event.preventDefault();
    }
  });
})();
