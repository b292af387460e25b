"""The limited child: the fast path in a process of its own, so that a hostile file can cost a process and nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import IO, Any, TypeVar

from rowmill.contracts import NO_RULES, Inspection, Rules
from rowmill.errors import ChildError, InputError, OutOfSpace
from rowmill.tabular.unfinished import unfinished_name

MEMORY_BYTES = 1_500_000_000
SECONDS = 600.0
# What a child does besides inspecting: each is a function of the request, the limits and a way to tell something.
OPS: dict[str, str] = {
    "check-ids": "rowmill.tabular.cohort_file.check_ids",
    "mend-ids": "rowmill.tabular.cohort_file.mend_ids",
    "excerpt": "rowmill.tabular.looking.look",
    "diagnose": "rowmill.tabular.diagnosis.diagnose",
    "mend": "rowmill.tabular.mending.mend",
    "examples": "rowmill.tabular.handing.show_examples",
    "failed_rows": "rowmill.tabular.handing.list_failed_rows",
    "annotate": "rowmill.tabular.handing.annotate",
    "compare": "rowmill.merging.comparing.compare_in_child",
    "workbook": "rowmill.tabular.workbook_child.make_workbook",
}
T = TypeVar("T")
# Address space is not memory: DuckDB and NumPy reserve far more than they touch.
_ADDRESS_SPACE_EXTRA = 4_000_000_000


def inspect_in_child(
    path: Path,
    rules: Rules = NO_RULES,
    *,
    table_out: Path | None = None,
    memory_bytes: int = MEMORY_BYTES,
    seconds: float = SECONDS,
    on_verdict: Callable[[Inspection], None] = lambda inspection: None,
    on_progress: Callable[[int], None] | None = None,
    thorough: bool = False,
    rest_seconds: float = 0.0,
) -> Inspection:
    """Judge a file in a killable process with limited memory and time; write the copy where it is sound.

    Raises: ChildError where the child died, ran out of memory or of time; nothing is left behind then.
    OutOfSpace where the copy did not fit on the disk. `on_verdict` hears the verdict before the copy is written,
    `on_progress` the bytes scanned so far, a few times a second. `thorough`: look for damage by spreadsheets too.
    `rest_seconds`: so long no child is started for the next file, where what follows at once needs the cores.
    """
    request = {
        "path": str(path.resolve()),
        "rules": rules.to_json(),
        "table_out": str(table_out.resolve()) if table_out else None,
        "memory_bytes": memory_bytes,
        "space_bytes": memory_bytes + _ADDRESS_SPACE_EXTRA,
        "seconds": seconds,
        "progress": on_progress is not None,
        "thorough": thorough,
    }
    temp = tempfile.mkdtemp(prefix="rowmill-child-")
    try:
        whole = request | {"temp": temp}
        return _run(whole, seconds, lambda answers: _listen(answers, on_verdict, on_progress), rest_seconds)
    except BaseException:
        if table_out is not None:
            unfinished_name(table_out).unlink(missing_ok=True)
        raise
    finally:
        shutil.rmtree(temp, ignore_errors=True)


def run_in_child(
    op: str,
    request: Mapping[str, Any],
    *,
    beside: Path,
    memory_bytes: int = MEMORY_BYTES,
    seconds: float = SECONDS,
    on_told: Callable[[dict[str, Any]], None] = lambda told: None,
) -> dict[str, Any]:
    """Do one of OPS in a killable process with limited memory and time; `on_told` hears what it tells on the way.

    `request` and what comes back are plain JSON types. `beside`: the folder for temporary files, which go in any case;
    put it on the disk that the result is for, so that moving it there costs nothing.
    Raises: ChildError, OutOfSpace as `inspect_in_child`.
    """
    temp = tempfile.mkdtemp(prefix="rowmill-child-", dir=beside)
    whole = dict(request) | {"op": op, "temp": temp, "memory_bytes": memory_bytes, "seconds": seconds}
    whole["space_bytes"] = memory_bytes + _ADDRESS_SPACE_EXTRA
    try:
        return _run(whole, seconds, lambda answers: _hear(answers, on_told))
    finally:
        shutil.rmtree(temp, ignore_errors=True)


class _Spare:
    """A child started ahead of need, with its imports done: it waits for one request and serves that file only.

    Starting Python with NumPy and DuckDB takes longer than judging a small file. A spare ends by itself when its parent does.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self.wanted = False

    def take(self) -> subprocess.Popen[bytes]:
        """Give a child that is ready, or start one."""
        with self._lock:
            child, self._child = self._child, None
        if child is None:
            return _start()
        if child.poll() is None:
            return child
        _end(child)
        return _start()

    def refill(self, rest_seconds: float = 0.0) -> None:
        """Start the next one, after a rest where that is asked for."""
        if rest_seconds and self.wanted:
            timer = threading.Timer(rest_seconds, self.refill)
            timer.daemon = True
            timer.start()
            return
        with self._lock:
            if self.wanted and self._child is None:
                self._child = _start()

    def drop(self) -> None:
        """End the spare and keep none."""
        with self._lock:
            self.wanted = False
            child, self._child = self._child, None
        if child is not None:
            _end(child)


_spare = _Spare()


def keep_spare() -> None:
    """Keep a child ready from now on. For servers; a command that reads one file has no use for it."""
    _spare.wanted = True
    _spare.refill()


def drop_spare() -> None:
    """End the child that is kept ready. Again: yes."""
    _spare.drop()


def _start() -> subprocess.Popen[bytes]:
    """Start a child in a process group of its own, with nothing of our environment but where the code is."""
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        "OPENBLAS_NUM_THREADS": "1",
        "LC_ALL": "C.UTF-8",
    }
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "rowmill.tabular.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )


def _end(child: subprocess.Popen[bytes]) -> int:
    """Kill a child if it still runs, close its pipes, give its exit status."""
    _kill(child)
    code = child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
    return code


def _run(request: Mapping[str, Any], seconds: float, listen: Callable[[IO[bytes]], T], rest_seconds: float = 0.0) -> T:
    """Hand a child the request, listen until it is done or its time is up."""
    child = _spare.take()
    overdue = threading.Event()

    def stop() -> None:
        overdue.set()
        _kill(child)

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps(request).encode() + b"\n")
        child.stdin.flush()
        return listen(child.stdout)
    except (_Died, BrokenPipeError):
        code = child.wait()
        raise ChildError(_how_it_ended(code, overdue.is_set(), seconds)) from None
    finally:
        timer.cancel()
        _end(child)
        _spare.refill(rest_seconds)


class _Died(Exception):
    """The child stopped without an answer."""


def _listen(
    answers: IO[bytes], on_verdict: Callable[[Inspection], None], on_progress: Callable[[int], None] | None
) -> Inspection:
    """Read the child's lines: how far it is, the verdict, then that it is done."""
    inspection: Inspection | None = None
    for line in answers:
        answer = json.loads(line)
        if "verdict" in answer:
            inspection = Inspection.from_json(answer["verdict"])
            on_verdict(inspection)
        elif "progress" in answer and on_progress is not None:
            on_progress(answer["progress"])
        elif answer.get("done") and inspection is not None:
            return inspection
        else:
            _raise_told(answer)
    raise _Died


def _hear(answers: IO[bytes], on_told: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Read the child's lines: what it tells on the way, then what came of it."""
    for line in answers:
        answer: dict[str, Any] = json.loads(line)
        if "told" in answer:
            on_told(answer["told"])
        elif answer.get("done"):
            found: dict[str, Any] = answer["found"]
            return found
        else:
            _raise_told(answer)
    raise _Died


def _raise_told(answer: Mapping[str, Any]) -> None:
    """Raise what the child says went wrong."""
    if answer.get("error") == "out_of_space":
        raise OutOfSpace
    raise ChildError(str(answer.get("message", "")))


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End the child and whatever it started."""
    if child.poll() is None:
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def _how_it_ended(code: int, overdue: bool, seconds: float) -> str:
    """Say in words why there is no answer."""
    if overdue:
        return f"Reading the file took longer than {seconds:,.0f} seconds and was stopped. Split the file and send its parts."
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return (
            "Reading the file took more time or memory than it may and was stopped. Split the file and send its parts."
        )
    return (
        f"The process that reads the file stopped (exit status {code}). Send the file again; if it stays so, report it."
    )


def main() -> None:
    """Be the child: one request on stdin, answers as lines of JSON on stdout."""
    # Imported here, not above: the parent has no need of NumPy and DuckDB.
    from rowmill.tabular.inspect import inspect_table  # noqa: PLC0415
    from rowmill.tabular.load import OutOfMemory, is_out_of_space, open_ahead  # noqa: PLC0415
    from rowmill.tabular.reading import Limits  # noqa: PLC0415

    open_ahead()
    line = sys.stdin.readline()
    if not line:
        return
    threading.Thread(target=_end_with_parent, name="watch", daemon=True).start()
    request = json.loads(line)
    tempfile.tempdir = request["temp"]
    _limit(request["space_bytes"], request["seconds"])
    limits = Limits(memory_bytes=request["memory_bytes"] // 3)
    try:
        if "op" in request:
            module, name = OPS[request["op"]].rsplit(".", 1)
            do = getattr(import_module(module), name)
            found = do(request, limits, lambda told: _answer({"told": told}))
            _answer({"done": True, "found": found})
            return
        inspect_table(
            Path(request["path"]),
            Rules.from_json(request["rules"]),
            table_out=Path(request["table_out"]) if request["table_out"] else None,
            limits=limits,
            on_verdict=lambda inspection: _answer({"verdict": inspection.to_json()}),
            on_progress=_tell_progress if request["progress"] else lambda scanned_bytes: None,
            thorough=request["thorough"],
        )
        _answer({"done": True})
    except (MemoryError, OutOfMemory):
        _answer(
            {
                "error": "memory",
                "message": "Reading the file took more memory than it may. Split it and send its parts.",
            }
        )
    except InputError as error:  # ours: its words hold no cell
        _answer({"error": "input", "message": str(error)})
    except Exception as error:
        # The text of a foreign exception may hold cells: only its class is told.
        kind = "out_of_space" if is_out_of_space(error) else "failed"
        _answer({"error": kind, "message": f"The file could not be read ({type(error).__name__})."})


def _end_with_parent() -> None:
    """Stop at once when the parent is gone, however it went: its end of the pipe closes."""
    while sys.stdin.readline():
        pass
    os._exit(1)


def _tell_progress(scanned_bytes: int) -> None:
    """Tell the parent how far the scan is."""
    _answer({"progress": scanned_bytes})


def _answer(answer: Mapping[str, Any]) -> None:
    """Write one line to the parent."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _limit(space_bytes: int, seconds: float) -> None:
    """Set the limits that the kernel keeps."""
    resource.setrlimit(resource.RLIMIT_AS, (space_bytes, space_bytes))
    cpu = int(seconds * (os.cpu_count() or 1)) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
