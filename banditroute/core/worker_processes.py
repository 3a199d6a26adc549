"""Processes that compute side by side, each with one thread of linear algebra."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, ParamSpec, Protocol, TypeVar

BLAS_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables that say how many threads linear algebra may use, read when numpy is imported."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Submit(Protocol):
    """Calls a function in one of the processes."""

    def __call__(self, function: Callable[_P, _T], /, *args: _P.args, **options: _P.kwargs) -> Future[_T]:
        """Return the future of ``function(*args, **options)``."""


@contextmanager
def worker_processes(
    *, preload: str, most: int | None = None, begin: Callable[..., None] | None = None, given: tuple[Any, ...] = ()
) -> Iterator[Submit]:
    """Start processes, one for every core, and end them when the block ends.

    A forked process would have the threads of its parent's linear algebra, one for each core, times the processes: they
    wait for each other. These processes start from a fresh one, which has imported ``preload``, with one thread each.

    Parameters
    ----------
    preload
        Name of the module to import once, for all processes.
    most
        At most so many processes. Default: one for every core.
    begin, given
        A function that each process calls first, and its arguments.
    """
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    context.set_forkserver_preload([preload])
    workers = min(most or os.cpu_count() or 1, os.cpu_count() or 1)

    def submit(function: Callable[_P, _T], /, *args: _P.args, **options: _P.kwargs) -> Future[_T]:
        before = {name: os.environ.get(name) for name in BLAS_THREADS}
        os.environ.update(dict.fromkeys(BLAS_THREADS, "1"))  # for the processes that start here
        try:
            return pool.submit(function, *args, **options)
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

    with ProcessPoolExecutor(workers, mp_context=context, initializer=begin, initargs=given) as pool:
        yield submit
