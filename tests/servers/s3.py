"""A private S3 server on a free port of 127.0.0.1: moto for semantics, rclone for signatures and real files.

    with S3("rclone") as server, server.credentials():
        url = server.url("bucket", "prefix")    # ROWMILL_STORAGE_URL; the bucket is made
        server.kill(); server.start()           # rclone keeps its files, moto forgets all
        server.freeze(); server.thaw()

It dies with whoever started it, however that one dies.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Literal
from urllib.parse import urlencode

import boto3
from botocore.config import Config

from tests.servers.ports import free_port

KEY_ID, SECRET = "rowmill-test", "not-a-secret-but-long-enough"
READY_SECONDS = 120.0
_WATCH = """
import os, signal, subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
print(child.pid, flush=True)
sys.stdin.buffer.read()
os.killpg(child.pid, signal.SIGKILL)
child.wait()
"""


class S3:
    """One server."""

    def __init__(
        self, program: Literal["moto", "rclone"] = "rclone", *, host: str = "127.0.0.1", dir_cache: str = "24h"
    ) -> None:
        """`dir_cache`: for how long rclone trusts its list of a folder; at "0" it locks itself up under many at once."""
        self.program = program
        self.dir_cache = dir_cache
        self.host = host
        self.port = free_port()
        self._watch: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Give its address."""
        return f"http://{self.host}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Give what a process needs in its environment to sign."""
        return {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_EC2_METADATA_DISABLED": "true"}

    @contextmanager
    def credentials(self) -> Iterator[None]:
        """Put the credentials in this process's environment."""
        before = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

    def __enter__(self) -> S3:
        self.folder = Path(tempfile.mkdtemp(prefix="rowmill-s3-"))
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Start it and wait until it answers."""
        log = (self.folder / "log").open("ab")
        self._watch = subprocess.Popen(
            [sys.executable, "-c", _WATCH, *self._command()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        )
        log.close()
        assert self._watch.stdout is not None
        self.pid = int(self._watch.stdout.readline())
        until = time.monotonic() + READY_SECONDS
        while not self._answers():
            if time.monotonic() > until:
                raise RuntimeError(f"{self.program}: {(self.folder / 'log').read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)

    def _command(self) -> list[str]:
        programs = Path(sys.executable).parent
        if self.program == "moto":
            return [str(programs / "moto_server"), "-H", self.host, "-p", str(self.port)]
        files = self.folder / "files"
        files.mkdir(exist_ok=True)
        options = ["--addr", f"{self.host}:{self.port}", "--auth-key", f"{KEY_ID},{SECRET}", "--config", os.devnull]
        return [str(programs / "rclone"), "serve", "s3", *options, "--dir-cache-time", self.dir_cache, str(files)]

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.endpoint + "/", timeout=2):
                return True
        except urllib.error.HTTPError as error:
            with error:
                return True
        except OSError:
            return False

    def kill(self) -> None:
        """Kill it as by `kill -9`, with all its children."""
        if self._watch is None:
            return
        assert self._watch.stdin is not None
        assert self._watch.stdout is not None
        self.thaw()
        self._watch.stdin.close()
        self._watch.wait(60)
        self._watch.stdout.close()
        self._watch = None

    def freeze(self) -> None:
        """Stop it in its tracks; its port still takes connections."""
        os.killpg(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGCONT)

    def client(self, port: int = 0) -> boto3.client:
        """Give a client of boto3's own, for a test that looks behind Rowmill's back."""
        return boto3.client(
            "s3",
            endpoint_url=f"http://{self.host}:{port or self.port}",
            region_name="us-east-1",
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
            config=Config(
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def url(self, bucket: str, prefix: str = "", *, port: int = 0) -> str:
        """Give a ROWMILL_STORAGE_URL, its bucket made; `port` is that of a proxy in front."""
        client = self.client()
        with suppress(client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):
            client.create_bucket(Bucket=bucket)
        client.close()
        options = {"endpoint": f"http://{self.host}:{port or self.port}", "region": "us-east-1", "path_style": "yes"}
        if self.host != "127.0.0.1":
            options["plain_http"] = "yes"
        return f"s3://{bucket}/{prefix}?{urlencode(options, safe=':/')}"
