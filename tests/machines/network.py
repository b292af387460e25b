"""Machines that are none: network namespaces on one bridge, each with an address, links that can be cut, and a disk of its own.

    with Network(folder) as network:
        network.address                         # of the machine that has the servers: this one
        host = network.add("worker-1")          # host.address, host.wrap(command), host.cut(), host.mend()
        other = network.add("web", lanes=2)     # with a second link, to `network.second_address`
        other.cut("second")

Needs root. A watch takes everything away again, also when the test that made it is killed.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

_WATCH = """
import os, signal, subprocess, sys
os.setsid()
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
mark = sys.argv[1]
sys.stdin.buffer.read()
def ask(*words):
    return subprocess.run(["ip", *words], capture_output=True, text=True).stdout
spaces = [line.split()[0] for line in ask("netns", "list").splitlines() if line.startswith(mark + "-")]
for space in spaces:
    for pid in ask("netns", "pids", space).split():
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            pass
    ask("netns", "del", space)
for link in [line.split()[1].split("@")[0].rstrip(":") for line in ask("-o", "link").splitlines()]:
    if link.startswith(mark + "-"):
        ask("link", "del", link)
"""


def refusal() -> str:
    """Say why this machine has no namespaces, "" where it has."""
    if os.getuid() != 0:
        return "network namespaces need root"
    name = f"rmt{os.getpid()}-probe"
    try:
        made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "ip is not installed (make system)"
    if made.returncode:
        return f"the kernel allows no network namespaces: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return ""


def ip(*words: str) -> str:
    """Run `ip`. Gives what it prints."""
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout


@dataclass
class Host:
    """One machine: a namespace, its links by name, and the one folder that only it can see."""

    name: str
    space: str
    address: str
    folder: Path
    disk: Path
    links: dict[str, str] = field(default_factory=dict)

    def wrap(self, command: list[str]) -> list[str]:
        """Give the command that runs this one on that machine: its network, its name, its disk at a path all have."""
        quoted = {name: shlex.quote(str(path)) for name, path in (("own", self.folder), ("disk", self.disk))}
        begin = (
            f"hostname {shlex.quote(self.name)} && mount --bind {quoted['own']} {quoted['disk']} && "
            f'mount -t tmpfs -o size=4k none {shlex.quote(str(self.folder.parent))} && exec "$@"'
        )
        return ["ip", "netns", "exec", self.space, "unshare", "--uts", "--mount", "sh", "-c", begin, "sh", *command]

    def cut(self, link: str = "first") -> None:
        """Pull the plug at the other end: what is sent is lost, and nobody is told."""
        ip("link", "set", self.links[link], "down")

    def mend(self, link: str = "first") -> None:
        """Plug it in again."""
        ip("link", "set", self.links[link], "up")


class Network:
    """A bridge with machines on it."""

    def __init__(self, folder: Path) -> None:
        self.mark = f"rmt{os.getpid()}"
        self._net, self._second = self._free_nets()
        self.address, self.second_address = f"{self._net}.1", f"{self._second}.1"
        self.subnet = f"{self._net}.0/24"
        self._hosts, self._disk = folder / "machines", folder / "disk"
        self._hosts.mkdir(parents=True)
        self._disk.mkdir()
        self.hosts: list[Host] = []

    @staticmethod
    def _free_nets() -> tuple[str, str]:
        """Give the beginnings of two networks that nobody here has."""
        taken = ip("-4", "-o", "addr") + ip("-4", "route")
        free = [f"10.213.{n}" for n in range(250) if f"10.213.{n}." not in taken]
        first = free[os.getpid() % len(free)]
        return first, first.replace("10.213.", "10.214.")

    def __enter__(self) -> Network:
        self._watch = subprocess.Popen([sys.executable, "-c", _WATCH, self.mark], stdin=subprocess.PIPE)
        try:
            for name, address in (("a", self.address), ("b", self.second_address)):
                ip("link", "add", f"{self.mark}-{name}", "type", "bridge")
                ip("addr", "add", f"{address}/24", "dev", f"{self.mark}-{name}")
                ip("link", "set", f"{self.mark}-{name}", "up")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._watch.stdin is not None
        self._watch.stdin.close()
        self._watch.wait(120)
        until = time.monotonic() + 60
        while self.leavings() and time.monotonic() < until:  # the kernel takes a moment
            time.sleep(0.05)

    def leavings(self) -> list[str]:
        """Name what is there of this network."""
        spaces = [line.split()[0] for line in ip("netns", "list").splitlines()]
        links = [line.split()[1].rstrip(":") for line in ip("-o", "link").splitlines()]
        return [name for name in spaces + links if name.startswith(f"{self.mark}-")]

    def add(self, name: str, *, lanes: int = 1) -> Host:
        """Add a machine; with a second lane it is on the second bridge too."""
        number = len(self.hosts) + 11
        folder = self._hosts / name
        folder.mkdir()
        host = Host(name, f"{self.mark}-{name}", f"{self._net}.{number}", folder, self._disk)
        ip("netns", "add", host.space)
        ip("-n", host.space, "link", "set", "lo", "up")
        self._plug(host, "first", f"{self.mark}-a", f"{self._net}.{number}", "eth0")
        if lanes > 1:
            self._plug(host, "second", f"{self.mark}-b", f"{self._second}.{number}", "eth1")
        self.hosts.append(host)
        return host

    def _plug(self, host: Host, link: str, bridge: str, address: str, inside: str) -> None:
        """Lay a cable from a machine to a bridge."""
        outside = f"{self.mark}-{len(self.hosts)}{link[0]}"
        ip("link", "add", outside, "type", "veth", "peer", "name", inside, "netns", host.space)
        ip("link", "set", outside, "master", bridge, "up")
        ip("-n", host.space, "addr", "add", f"{address}/24", "dev", inside)
        ip("-n", host.space, "link", "set", inside, "up")
        host.links[link] = outside
