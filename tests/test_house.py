"""The house's own rules: short files, a sentence for each module, no names that say nothing, quick help."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from rowmill.cli import app
from tests import forbidden

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    path
    for package in ("rowmill", "payersim")
    for path in (ROOT / package).rglob("*.py")
    if "migrations" not in path.parts
)
MOST_LINES = 400
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}
COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_are_modules_to_look_at():
    assert len(MODULES) > 80


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_short_and_says_what_it_is(path: Path):
    text = path.read_text(encoding="utf-8")
    lines = text.count("\n")
    assert lines <= MOST_LINES, f"{name_of(path)} has {lines} lines, {MOST_LINES} are the most: split it"
    assert ast.get_docstring(ast.parse(text)), f"{name_of(path)} has no docstring"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_import_inside_a_function(path: Path):
    """The command line excepted, where it keeps help quick; elsewhere each place says why it is one (noqa)."""
    if "cli" in path.parts:
        return
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    for function in ast.walk(ast.parse(text)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for inner in ast.walk(function):
                if isinstance(inner, ast.Import | ast.ImportFrom):
                    assert "noqa" in lines[inner.lineno - 1], (
                        f"{name_of(path)}:{inner.lineno} imports inside a function"
                    )


def test_no_name_that_says_nothing():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    parts = {part for name in tracked if name for part in Path(name).with_suffix("").parts}
    assert parts & EMPTY_NAMES == set()


def test_nothing_forbidden_is_committed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    assert forbidden.main() == 0


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_teaches_and_ends_well(command: str):
    found = run("-m", "rowmill", *command.split(), "--help")
    assert (found.returncode, found.stderr) == (0, "")
    assert f"Usage: python -m rowmill {command}".rstrip() in found.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["check", "--help"], ["version"]], ids=" ".join)
def test_help_and_check_start_without_django(arguments: list[str]):
    code = (
        "import json, sys\nfrom rowmill.cli import app\n"
        f"try:\n    app({arguments!r})\nexcept SystemExit:\n    pass\n"
        "print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    )
    loaded = set(json.loads(run("-c", code).stdout.splitlines()[-1]))
    assert "typer" in loaded
    assert loaded & {"django", "rest_framework", "duckdb", "numpy"} == set()


def test_checking_a_file_needs_no_django(tmp_path: Path):
    file = tmp_path / "table.csv"
    file.write_text("a,b\n1,2\n")
    code = (
        "import sys\nfrom rowmill.cli import app\n"
        f"try:\n    app(['check', {str(file)!r}, '--json'])\nexcept SystemExit as end:\n    print(end.code)\n"
        "print('django' in sys.modules)"
    )
    assert run("-c", code).stdout.splitlines()[-2:] == ["0", "False"]
