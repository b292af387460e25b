"""What is in deploy/ is valid as far as a tool can tell, and names only settings and commands that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from rowmill.cli import app
from rowmill.wiring import SETTINGS

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
KNOWN = {setting.name for setting in SETTINGS} | {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
ROLES = {"web", "worker", "beat", "migrate"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """Give the compose file as YAML reads it."""
    told: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return told


def options_of(command: str) -> set[str]:
    """Give the options that a command of ours takes."""
    commands: Any = get_command(app)
    return {word for parameter in commands.commands[command].params for word in parameter.opts}


def test_compose_runs_every_role_with_options_that_exist(compose: dict[str, Any]) -> None:
    ours = {name: s for name, s in compose["services"].items() if s["image"].startswith("rowmill:")}
    assert set(ours) == ROLES
    for service in ours.values():
        role, *options = service["command"]
        assert {word for word in options if word.startswith("--")} <= options_of(role)


def test_compose_sets_only_settings_that_exist(compose: dict[str, Any]) -> None:
    assert set(compose["x-rowmill"]["environment"]) <= KNOWN
    asked = set(re.findall(r"\$\{([A-Z_]+)", (DEPLOY / "compose.yaml").read_text())) - {"ROWMILL_VERSION"}
    named = set(re.findall(r"^([A-Z_]+)=", (DEPLOY / "env.example").read_text(), re.M))
    assert asked == named


def test_compose_is_valid_for_docker_compose(tmp_path: Path) -> None:
    tool = shutil.which("docker-compose")
    if tool is None:
        pytest.skip("docker-compose is not installed here")
    # The tool in Debian 12 is older than the top-level name.
    text = (
        (DEPLOY / "compose.yaml").read_text().replace("name: rowmill\n", "").replace("context: ..", f"context: {ROOT}")
    )
    (tmp_path / "compose.yaml").write_text(text)
    (tmp_path / "env").write_text(re.sub(r"=$", "=x", (DEPLOY / "env.example").read_text(), flags=re.M))
    done = subprocess.run(
        [tool, "-f", str(tmp_path / "compose.yaml"), "--env-file", str(tmp_path / "env"), "config"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_are_valid_for_systemd(unit: Path, tmp_path: Path) -> None:
    start = re.search(r"^ExecStart=\S+/rowmill (\w+)(.*)$", unit.read_text(), re.M)
    assert start is not None
    assert start[1] in ROLES
    assert set(re.findall(r"--[a-z-]+", start[2])) <= options_of(start[1])
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not installed here")
    copy = tmp_path / unit.name
    copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.M))
    done = subprocess.run([tool, "verify", str(copy)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_nginx_takes_the_configuration(tmp_path: Path) -> None:
    tool = shutil.which("nginx") or "/usr/sbin/nginx"
    if not Path(tool).exists():
        pytest.skip("nginx is not installed here")
    key, crt = tmp_path / "rowmill.key", tmp_path / "rowmill.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=rowmill.test"]
        + ["-keyout", str(key), "-out", str(crt)],
        capture_output=True,
        check=True,
    )
    text = (DEPLOY / "nginx" / "rowmill.conf").read_text()
    text = text.replace("/etc/rowmill/tls", str(tmp_path)).replace("/var/log/nginx", str(tmp_path))
    (tmp_path / "site.conf").write_text(text.replace("web:8000", "127.0.0.1:8000"))
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}} http {{ include {tmp_path}/site.conf; }}"
    )
    done = subprocess.run([tool, "-t", "-c", str(tmp_path / "nginx.conf")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_image_installs_from_the_cluster_lock() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert "--require-hashes -r requirements-cluster.lock" in text
    assert "USER rowmill" in text
    lock = (ROOT / "requirements-cluster.lock").read_text()
    for name in ("psycopg", "psycopg-pool", "celery", "kombu", "redis", "boto3"):
        assert re.search(rf"^{name}==", lock, re.M), name
