"""What befalls a cluster: each fault by name, drawn by seeded dice; two fates at once, one for processes, one for servers."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

from tests.crash.cluster import LEASE_SECONDS, STOP_SECONDS, Cluster, Node, until

S3_SHARE = 0.25
S3_FAULTS = ("503", "500", "500_after", "reset", "reset_request", "truncate", "slow")


class Fates:
    """The faults, and the threads that deal them out until told to stop."""

    def __init__(self, cluster: Cluster, seed: int, did: Counter[str], found: list[str]) -> None:
        self.cluster, self.did, self.found = cluster, did, found
        self.stopping = threading.Event()
        self.dice = random.Random(f"processes {seed}"), random.Random(f"servers {seed}")
        processes: dict[Callable[[random.Random], None], int] = {
            self.kill_worker: 5,
            self.kill_web: 2,
            self.kill_beat: 1,
            self.freeze_worker: 4,
            self.freeze_web: 1,
            self.deploy_worker: 2,
            self.deploy_web: 1,
        }
        servers: dict[Callable[[random.Random], None], int] = {
            self.crash_postgres: 4,
            self.cut_database: 2,
            self.lose_answers: 2,
            self.empty_redis: 3,
            self.freeze_redis: 2,
            self.half_open_redis: 2,
            self.refuse_redis: 1,
            self.trouble_storage: 4,
            self.freeze_storage: 1,
            self.kill_storage: 1,
        }
        self.threads = [
            threading.Thread(target=self._deal, args=(self.dice[0], processes, 0.5, 2.5), name="processes"),
            threading.Thread(target=self._deal, args=(self.dice[1], servers, 1.0, 3.0), name="servers"),
        ]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """Deal no more; what is under way is mended first."""
        self.stopping.set()
        for thread in self.threads:
            thread.join(120)

    def _deal(
        self, dice: random.Random, faults: dict[Callable[[random.Random], None], int], least: float, most: float
    ) -> None:
        """Draw a fault, do it, wait. First comes each once, in an order of the dice's, so that a short run has them all."""
        order = list(faults)
        dice.shuffle(order)
        while not self.stopping.wait(dice.uniform(least, most)):
            act = order.pop() if order else dice.choices(list(faults), list(faults.values()))[0]
            began = time.time()
            try:
                act(dice)
            except Exception as error:
                self.found.append(f"test: {act.__name__}: {type(error).__name__}: {error}")
            self.did[act.__name__.replace("_", " ")] += 1
            self._tell(act.__name__, began)

    def _tell(self, name: str, began: float) -> None:
        """Write down when a fault was, for whoever reads the logs."""
        with (self.cluster.folder / "faults.txt").open("a") as file:
            file.write(f"{datetime.fromtimestamp(began, UTC).isoformat()} {time.time() - began:6.2f} s {name}\n")

    def _some(self, dice: random.Random, role: str) -> Node:
        return dice.choice(self.cluster.those(role))

    def _rest(self, seconds: float) -> None:
        """Wait, but not longer than until the end."""
        self.stopping.wait(seconds)

    # ---------------------------------------------------------------------------------------- processes

    def _kill(self, dice: random.Random, role: str) -> None:
        node = self._some(dice, role)
        with self.cluster.lock:
            if node.alive:
                node.kill(group=dice.random() < 0.5)

    def kill_worker(self, dice: random.Random) -> None:
        """kill -9."""
        self._kill(dice, "worker")

    def kill_web(self, dice: random.Random) -> None:
        """kill -9, in the middle of requests."""
        self._kill(dice, "web")

    def kill_beat(self, dice: random.Random) -> None:
        """kill -9."""
        self._kill(dice, "beat")

    def _freeze(self, node: Node, seconds: float) -> None:
        with self.cluster.lock:
            if not node.alive:
                return
            node.freeze()
        time.sleep(seconds)
        node.thaw()

    def freeze_worker(self, dice: random.Random) -> None:
        """SIGSTOP past the lease, then SIGCONT."""
        self._freeze(self._some(dice, "worker"), LEASE_SECONDS * dice.uniform(1.3, 2.0))

    def freeze_web(self, dice: random.Random) -> None:
        """SIGSTOP, then SIGCONT."""
        self._freeze(self._some(dice, "web"), dice.uniform(1.0, 6.0))

    def _deploy(self, node: Node) -> None:
        """SIGTERM, and a start, as a deploy does: it must end by itself, in time and with 0."""
        process = node.process
        with self.cluster.lock:
            if process is None or not node.alive:
                return
            began = time.monotonic()
            node.expected.add(process.pid)
            node.send(signal.SIGTERM)
        if not until(lambda: process.poll() is not None, STOP_SECONDS + 60):
            self.found.append(f"stop: {node.name} did not end at SIGTERM: {node.last_words()[-300:]}")
            process.kill()
        elif process.returncode != 0 and not _early(node, process.returncode):
            self.found.append(f"stop: SIGTERM ended {node.name} with {process.returncode}: {node.last_words()[-300:]}")
        self.did["longest stop, tenths of a second"] = max(
            self.did["longest stop, tenths of a second"], int(10 * (time.monotonic() - began))
        )

    def deploy_worker(self, dice: random.Random) -> None:
        """SIGTERM and start."""
        self._deploy(self._some(dice, "worker"))

    def deploy_web(self, dice: random.Random) -> None:
        """SIGTERM and start."""
        self._deploy(self._some(dice, "web"))

    # ---------------------------------------------------------------------------------------- servers

    def crash_postgres(self, dice: random.Random) -> None:
        """pg_ctl stop -m immediate, a pause, start."""
        self.cluster.postgres.restart_immediate(dice.choice((0.0, 0.5, 3.0)))

    def cut_database(self, dice: random.Random) -> None:
        """Reset every connection of the workers to Postgres."""
        self.cluster.database_line.cut(reset=True)

    def lose_answers(self, dice: random.Random) -> None:
        """Lose what Postgres answers to the workers, a COMMIT's answer too, then break the line."""
        self.cluster.database_line.swallow_answers = True
        self._rest(dice.uniform(0.2, 1.5))
        self.cluster.database_line.cut(reset=True)
        self.cluster.database_line.swallow_answers = False

    def empty_redis(self, dice: random.Random) -> None:
        """Redis dies with all it held."""
        self.cluster.redis.restart_empty()

    def freeze_redis(self, dice: random.Random) -> None:
        """Redis stands still."""
        self.cluster.redis.freeze()
        self._rest(dice.uniform(2.0, 8.0))
        self.cluster.redis.thaw()

    def half_open_redis(self, dice: random.Random) -> None:
        """The line to Redis takes bytes and passes nothing on."""
        self.cluster.redis_line.black_hole = True
        self._rest(dice.uniform(2.0, 10.0))
        self.cluster.redis_line.black_hole = False

    def refuse_redis(self, dice: random.Random) -> None:
        """Connections to Redis are refused."""
        self.cluster.redis_line.refuse()
        self._rest(dice.uniform(1.0, 6.0))
        self.cluster.redis_line.accept()

    def trouble_storage(self, dice: random.Random) -> None:
        """One request in four to S3 gets a fault: 503, reset, truncated, slow."""
        self.cluster.s3_line.shared_faults = S3_FAULTS
        self.cluster.s3_line.share = S3_SHARE
        self._rest(dice.uniform(2.0, 8.0))
        self.cluster.s3_line.share = 0.0

    def freeze_storage(self, dice: random.Random) -> None:
        """S3 stands still."""
        self.cluster.s3.freeze()
        self._rest(dice.uniform(2.0, 6.0))
        self.cluster.s3.thaw()

    def kill_storage(self, dice: random.Random) -> None:
        """S3 dies and comes again with its files."""
        self.cluster.s3.kill()
        self._rest(dice.uniform(0.2, 2.0))
        self.cluster.s3.start()


def _early(node: Node, code: int) -> bool:
    """Tell whether it was asked to stop before it listened to signals: then it ends by the signal itself."""
    return code == -signal.SIGTERM
