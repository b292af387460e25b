"""The scan and the loader count by different code: where either loses a row, the file is refused."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import rowmill
from rowmill.contracts import Inspection
from rowmill.tabular import load
from rowmill.tabular.inspect import inspect_table
from rowmill.tabular.ledger import Ledger

PACKAGE = Path(rowmill.__file__).parent
ROWS = "".join(f"{i},x{i}\n" for i in range(1000))


def look(tmp_path: Path, text: str) -> Inspection:
    path = tmp_path / "in.csv"
    path.write_text(text)
    return inspect_table(path, table_out=tmp_path / "out.parquet")


def imported(module: str) -> set[str]:
    """The modules of the package that a module comes to import, itself among them."""
    seen: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        file = PACKAGE.parent / (name.replace(".", "/") + ".py")
        if name in seen or not file.exists():
            continue
        seen.add(name)
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                todo += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                todo += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
                seen |= {node.module} if node.module.startswith("duckdb") else set()
    return seen


def test_they_share_no_code_that_counts():
    scan, loader = imported("rowmill.tabular.scan"), imported("rowmill.tabular.load")
    ours = {name for name in scan & loader if name.startswith("rowmill")}
    assert ours <= {"rowmill.contracts", "rowmill.tabular.records", "rowmill.tabular.wording"}
    assert not [name for name in scan if name.startswith("duckdb")]
    assert "rowmill.tabular.load" not in scan
    assert not loader & {"rowmill.tabular.scan", "rowmill.tabular.ledger", "rowmill.tabular.faults"}
    counting = ast.parse((PACKAGE / "tabular/load.py").read_text())
    used = {node.id for node in ast.walk(counting) if isinstance(node, ast.Name)}
    assert "read_record" not in used


def test_they_agree_on_a_sound_file(tmp_path: Path):
    assert look(tmp_path, "a,b\n" + ROWS).verdict == "sound"
    assert (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize("top", ["a,b\n", "about this file\n\na,b\n"])
@pytest.mark.parametrize("off", [-1, 1])
def test_a_loader_that_loses_or_doubles_a_row_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, top: str, off: int
):
    real = load.csv_source

    def losing(*args: object, **options: object) -> str:
        source = real(*args, **options)  # type: ignore[arg-type]
        return f"(FROM {source} LIMIT 999)" if off < 0 else f"(FROM {source} UNION ALL (FROM {source} LIMIT 1))"

    monkeypatch.setattr(load, "csv_source", losing)
    found = look(tmp_path, top + ROWS)
    assert found.verdict == "unsound"
    assert [f.code for f in found.findings if f.severity == "error"] == ["loader-disagrees"]
    assert f"{1000 + off:,} rows" in found.findings[0].message
    assert not (tmp_path / "out.parquet").exists()


def test_a_scan_that_loses_a_row_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    finish = Ledger.finish

    def losing(ledger: Ledger) -> None:
        finish(ledger)
        ledger.rows -= 1
        ledger.line -= 1

    monkeypatch.setattr(Ledger, "finish", losing)
    found = look(tmp_path, "a,b\n" + ROWS)
    assert found.verdict == "unsound"
    assert found.balance.balances
    assert [f.code for f in found.findings if f.severity == "error"] == ["loader-disagrees"]


def test_an_account_that_does_not_balance_refuses_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    finish = Ledger.finish

    def miscounting(ledger: Ledger) -> None:
        finish(ledger)
        ledger.line += 1

    monkeypatch.setattr(Ledger, "finish", miscounting)
    found = look(tmp_path, "a,b\n" + ROWS)
    assert (found.verdict, found.balance.balances) == ("unsound", False)
    assert not (tmp_path / "out.parquet").exists()
