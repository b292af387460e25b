"""Keeps the documents true: whatever the code knows stands in them, every link leads somewhere, the examples run."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from aiohttp import web

from rowmill import errors, registry
from rowmill.cli import app
from rowmill.contracts import OUTCOMES, Column, Inquiry, Payer, PayerLimits, PayerProfile, Rules
from rowmill.errors import PayerError
from rowmill.jobs.results import CURES, OUTCOME_WORDS
from rowmill.models import BatchState, JobState, UploadState
from rowmill.tabular.wording import WORDING
from rowmill.wiring import SETTINGS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(
    [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "bench").glob("*.md"), *(ROOT / "samples").glob("*.md")]
)
COMMANDS = dict(sorted(typer.main.get_command(app).commands.items()))  # type: ignore[attr-defined]


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def says(text: str, word: str) -> bool:
    """Tell whether a page has the word as it is written, between backticks or as a whole word."""
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) is not None


# ------------------------------------------------------------------------------------------------ what the code knows


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.name)
def test_a_setting_stands_with_its_default(setting):
    row = next((line for line in page("settings.md").splitlines() if line.startswith(f"| `{setting.name}`")), "")
    assert row, f"docs/settings.md has no row for {setting.name}"
    default = row.split("|")[2]
    assert (f"`{setting.default}`" if setting.default else "empty") in default


def test_no_setting_is_told_that_is_not():
    told = set(re.findall(r"^\| `([A-Z_]+)`", page("settings.md"), re.MULTILINE))
    assert told == {setting.name for setting in SETTINGS}


def test_every_variable_named_anywhere_is_a_setting():
    known = {setting.name for setting in SETTINGS}
    known |= {
        "ROWMILL_FAULT_AT",
        "ROWMILL_FAULT_NAME",
        "ROWMILL_URL",
        "ROWMILL_TOKEN",
        "ROWMILL_EMAIL",
        "ROWMILL_PASSWORD",
    }
    named = {name for path in PAGES for name in re.findall(r"\bROWMILL_[A-Z_]+\b", path.read_text(encoding="utf-8"))}
    assert named <= known


def section(command: str) -> str:
    """Give a command's part of the page."""
    found = re.search(
        rf"^## rowmill {re.escape(command)}\b.*?(?=^## |\Z)", page("commands.md"), re.MULTILINE | re.DOTALL
    )
    return found[0] if found else ""


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_stands_with_every_option(command: str):
    text = section(command)
    assert text, f"docs/commands.md has no section for {command}"
    for parameter in COMMANDS[command].params:
        if parameter.param_type_name == "option" and not {"--help", "--data-dir"} & set(parameter.opts):
            for spelling in (*parameter.opts, *parameter.secondary_opts):
                assert f"`{spelling}`" in text, f"{command} {spelling}"
    assert "--data-dir" in page("commands.md")


def test_no_command_is_told_that_is_not():
    told = set(re.findall(r"^## rowmill ([\w-]+)", page("commands.md"), re.MULTILINE))
    assert told == set(COMMANDS)


def test_every_make_target_stands_and_no_other():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):(?!=).*##", makefile, re.MULTILINE))
    benches = {
        f"bench-{path.stem.replace('_', '-')}"
        for path in (ROOT / "bench").glob("*.py")
        if "ArgumentParser(" in path.read_text()
    }
    assert len(targets) > 10
    text = page("commands.md")
    assert {t for t in targets | benches if f"`make {t}" not in text} == set()
    named = {
        n for path in PAGES for n in re.findall(r"`make ([a-z][a-z-]*[a-z])\b(?!-)", path.read_text(encoding="utf-8"))
    }
    assert named - targets - benches == set()


@pytest.mark.parametrize(("table", "name"), [("KINDS", "kinds.md"), ("PAYERS", "payers.md"), ("CHECKS", "checks.md")])
def test_every_plugin_stands_on_its_page(table: str, name: str):
    # Those that tests add have their classes outside the package.
    slugs = [slug for slug, path in getattr(registry, table).items() if str(path).startswith("rowmill.")]
    assert slugs
    assert [slug for slug in slugs if not says(page(name), slug)] == []


@pytest.mark.parametrize("word", [*UploadState.values, *JobState.values, *BatchState.values, *OUTCOMES, *OUTCOME_WORDS])
def test_a_state_or_outcome_stands(word: str):
    assert f"| {word} |" in page("states.md")


@pytest.mark.parametrize("code", sorted(CURES))
def test_a_code_of_a_row_stands(code: str):
    assert f"| `{code}` |" in page("states.md")


def codes_in_source() -> set[str]:
    """Find codes that rows get outside the list of cures."""
    text = "\n".join(
        path.read_text(encoding="utf-8")
        for name in ("kinds", "claims")
        for path in (ROOT / "rowmill" / name).glob("*.py")
    )
    return set(re.findall(r'"(?:ok|not_found|rejected|failed)", "([A-Z_]+)"', text))


def test_every_code_that_a_row_may_get_stands():
    assert len(codes_in_source()) > 5
    assert {code for code in codes_in_source() if f"| `{code}` |" not in page("states.md")} == set()


ERRORS = sorted(
    {kind.code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.RowmillError)}
)


@pytest.mark.parametrize("code", ERRORS)
def test_an_error_code_stands(code: str):
    assert f"`{code}`" in page("states.md")


def test_every_code_that_the_source_gives_an_error_stands():
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "rowmill").rglob("*.py"))
    given = set(re.findall(r'\bcode="([a-z_]+)"', source)) - {"invalid", "cannot_be_read", "hash_mismatch"}
    assert len(given) > 15
    text = page("states.md") + page("api.md")
    assert {code for code in given if f"`{code}`" not in text} == set()


@pytest.mark.parametrize("code", [*WORDING, "cannot_be_read", "hash_mismatch"])
def test_a_finding_stands_with_its_severity(code: str):
    severity = WORDING[code].severity if code in WORDING else "error"
    assert f"| `{code}` | {severity} |" in page("findings.md")


def test_no_finding_is_told_that_is_not():
    assert set(re.findall(r"^\| `([a-z_-]+)` \| (?:error|warning)", page("findings.md"), re.MULTILINE)) == {
        *WORDING,
        "cannot_be_read",
        "hash_mismatch",
    }


# ------------------------------------------------------------------------------------------------ links


def links_of(text: str) -> list[str]:
    """Give the links of a page outside its code."""
    plain = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    return re.findall(r"\]\(([^)\s]+)\)", plain)


def anchors_of(text: str) -> set[str]:
    plain = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", plain, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_link_leads_somewhere(path: Path):
    for link in links_of(path.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        found = (path.parent / target).resolve() if target else path
        assert found.exists(), f"{name_of(path)}: {link}"
        if anchor:
            assert anchor in anchors_of(found.read_text(encoding="utf-8")), f"{name_of(path)}: {link}"


def test_every_page_of_the_documents_can_be_reached():
    seen, todo = set(), [ROOT / "README.md"]
    while todo:
        path = todo.pop()
        if path in seen or path.suffix != ".md" or not path.exists():
            continue
        seen.add(path)
        todo += [
            (path.parent / link.partition("#")[0]).resolve() for link in links_of(path.read_text(encoding="utf-8"))
        ]
    assert [name_of(path) for path in PAGES if path.parent != ROOT and path not in seen] == []


def test_the_readme_begins_with_the_two_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shell = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    assert [block.strip() for block in shell[:2]] == ["make demo", "make test"]
    assert "](docs/README.md)" in text


# ------------------------------------------------------------------------------------------------ examples


def code_of(name: str) -> dict[str, Any]:
    """Run the Python of a page; gives what it defines."""
    blocks = re.findall(r"^```python\n(.*?)^```", page(name), re.MULTILINE | re.DOTALL)
    assert blocks
    names: dict[str, Any] = {"__name__": f"docs.{name}"}
    exec(compile("\n".join(blocks), name, "exec"), names)
    return names


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Let a test add a plugin under a name of its own, and take it away again."""
    before = dict(registry.KINDS), dict(registry.PAYERS), dict(registry.CHECKS)
    module = type(sys)("docs_examples")
    monkeypatch.setitem(sys.modules, "docs_examples", module)
    yield module
    for table, old in zip((registry.KINDS, registry.PAYERS, registry.CHECKS), before, strict=True):
        table.clear()
        table.update(old)
    registry.extend({}, {}, {})


@pytest.mark.django_db
def test_the_kind_of_the_example_does_a_job(added, people):
    from rowmill.jobs.results import iter_results
    from rowmill.jobs.submit import take_file
    from rowmill.models import Job
    from rowmill.orgs import find_caller
    from tests.jobs.conftest import work

    added.NpiCheck = code_of("add-a-kind.md")["NpiCheck"]
    registry.extend({"npi_check": "docs_examples.NpiCheck"}, {}, {})
    # 1234567893 is the example of the standard that says how the digit is made.
    file = b"Provider NPI,name,note\n1234567893,a,x\n1234567890,b,y\n,c,z\n"
    job = take_file(find_caller(people.alice), "npi_check", "providers.csv", [file], intent={}).job
    work()
    job = Job.objects.select_related("org", "upload").get(pk=job.pk)
    assert job.state == "COMPLETED"
    header, lines = iter_results(job)
    assert header == ("row", "npi", "success", "error", "note")
    assert [(line[0], line[2], line[3].partition(":")[0], line[-1]) for line in lines] == [
        ("1", "True", "", "x"),
        ("2", "False", "WRONG_DIGIT", "y"),
        ("3", "False", "INVALID_INPUT", "z"),
    ]


def test_the_check_of_the_example_finds_bad_cells(tmp_path: Path):
    from rowmill.tabular.child import inspect_in_child

    names = code_of("add-a-check.md")
    column: Column = names["DIAGNOSIS"]
    file = tmp_path / "visits.csv"
    file.write_text("dx\nE11.9\nflu\n\ns72001a\n")
    found = inspect_in_child(file, Rules((column,), {"icd-10": names["ICD_10"]}))
    assert [(f.code, f.line) for f in found.findings if f.severity == "error"] == [("icd-10", 3)]
    assert (found.verdict, found.rejected_rows) == ("sound", 1)


def test_the_payer_of_the_example_asks_and_fails_as_told():
    plain: type[Payer] = code_of("add-a-payer.md")["PlainPayer"]
    status = 200

    async def claims(request: web.Request) -> web.Response:
        question = await request.json()
        assert (request.query_string, question["tin"], request.headers["X-Api-Key"]) == ("", "001234567", "a-secret")
        claims = [{"number": "C-1", "state": "Paid", "last": "Oak", "member": "S1", "paid": "12.50"}]
        return web.json_response({"claims": claims if question["claim"] == "C-1" else []}, status=status)

    async def ask() -> None:
        nonlocal status
        server = web.Application()
        server.router.add_post("/claims", claims)
        runner = web.AppRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        limits = PayerLimits(read_timeout_seconds=30)
        payer = plain(PayerProfile(1, site.name, "", "an-id", "a-secret", "001234567", limits=limits))
        assert isinstance(payer, Payer)
        try:
            found = await payer.lookup(Inquiry("CLAIM_STATUS", "C-1"))
            assert [(c.claim_number, c.status, str(c.total_paid)) for c in found.claims] == [("C-1", "PAID", "12.50")]
            assert (await payer.lookup(Inquiry("CLAIM_STATUS", "C-2"))).claims == ()
            await payer.test_connection()
            for answered, code, blame in (
                (401, "AUTH_FAILED", "setup"),
                (503, "PAYER_UNAVAILABLE", "world"),
                (400, "INVALID_REQUEST", "row"),
            ):
                status = answered
                with pytest.raises(PayerError) as failed:
                    await payer.lookup(Inquiry("CLAIM_STATUS", "C-1"))
                assert (failed.value.code, failed.value.blame) == (code, blame)
            await runner.cleanup()
            with pytest.raises(PayerError) as failed:
                await payer.lookup(Inquiry("CLAIM_STATUS", "C-1"))
            assert failed.value.blame == "world"
        finally:
            await payer.aclose()
            await runner.cleanup()

    asyncio.run(ask())


def test_the_samples_are_what_their_page_says(tmp_path: Path):
    out, book = tmp_path / "claims.csv", tmp_path / "book.jsonl"
    command = ["sample", "claims", "--rows", "20", "--seed", "1", "--out", str(out), "--book", str(book)]
    subprocess.run([sys.executable, "-m", "rowmill", *command], check=True, capture_output=True)
    assert out.read_bytes() == (ROOT / "samples" / "claims-20.csv").read_bytes()
    assert book.read_bytes() == (ROOT / "samples" / "claims-20.book.jsonl").read_bytes()


def test_the_template_has_every_column_of_its_kind():
    header, example = (ROOT / "samples" / "claims-template.csv").read_text(encoding="utf-8").splitlines()
    columns = registry.get_kind("claim_status").columns
    assert header.split(",") == [column.name for column in columns]
    assert example.split(",") == [column.example for column in columns]
