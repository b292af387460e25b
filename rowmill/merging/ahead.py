"""Beside the effect of an import: makes the next rows ready while the database compares those before them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import cycle, islice

from rowmill.merging.batches import Prepared

Stretch = tuple[int, int]
Prepare = Callable[[int, int], AbstractContextManager[Prepared]]


def prepare_ahead(
    prepare: Prepare, stretches: Iterable[Stretch]
) -> Generator[tuple[Stretch, AbstractContextManager[Prepared]]]:
    """Give stretches of rows in their order, each prepared by a thread while the one before is worked on.

    What comes with a stretch is entered once, at once; it raises what `prepare` raised. Close the iterator in the end.
    """
    todo = iter(stretches)
    coming: deque[tuple[Stretch, Future[_Held]]] = deque()
    # Two threads by turns, each with a DuckDB of its own: one is read from while the other is filled.
    with ThreadPoolExecutor(1, "prepare") as one, ThreadPoolExecutor(1, "prepare") as other:
        threads = cycle((one, other))
        try:
            for rows in islice(todo, 2):
                coming.append((rows, next(threads).submit(_enter, prepare, *rows)))
            while coming:
                rows, future = coming.popleft()
                yield rows, _hold(future)
                coming += ((after, next(threads).submit(_enter, prepare, *after)) for after in islice(todo, 1))
        finally:
            for _, future in coming:
                future.result()[0].close()


_Held = tuple[ExitStack, Prepared | Exception]


def _enter(prepare: Prepare, first: int, last: int) -> _Held:
    held = ExitStack()
    try:
        return held, held.enter_context(prepare(first, last))
    except Exception as error:
        return held, error


@contextmanager
def _hold(future: Future[_Held]) -> Iterator[Prepared]:
    held, prepared = future.result()
    with held:
        if isinstance(prepared, Exception):
            raise prepared
        yield prepared
