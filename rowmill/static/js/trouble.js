// What stops a file on its way, in words: the server's own where it gave some, else what its status means here.
(function () {
  "use strict";

  function readProblem(text) {
    try {
      return JSON.parse(text) || {};
    } catch (error) {
      return {};
    }
  }

  const GONE = "Its time was over, so what was sent of it is gone. Try again to send it from its beginning.";

  // Say why a file was not taken, and what to do: the server's own words where it gave some.
  function troubleInWords(status, problem) {
    if (!status) {
      return "The connection broke and did not come back. What was sent is kept. Try again once the network is there; it goes on where it stopped.";
    }
    if (problem.code === "not_signed_in" || status === 401 || /^CSRF/.test(problem.detail || "")) {
      return "You were signed out. Sign in in another window, then try again here; it goes on where it stopped.";
    }
    if (problem.code === "expired") {
      return GONE;
    }
    if (problem.detail) {
      return problem.detail;
    }
    if (status === 413) {
      return "Something between here and the server takes no pieces of this size. Tell whoever runs this installation.";
    }
    return "The server could not take it (status " + status + (problem.request_id ? ", id " + problem.request_id : "") + "). What was sent is kept. Try again in a minute.";
  }

  window.rowmillTrouble = { readProblem, troubleInWords };
})();
