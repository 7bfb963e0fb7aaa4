"""The one thread pool behind all CPU kernels: kernels release the interpreter lock, so plain threads are enough."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_executor: ThreadPoolExecutor | None = None
_size = 0


def threads() -> int:
    """How many threads kernels may use here: torch's number, and one inside a DataLoader worker."""
    return 1 if torch.utils.data.get_worker_info() is not None else torch.get_num_threads()


def over_samples(function: Callable[[Item], Result], samples: Iterable[Item]) -> list[Result]:
    """`[function(s) for s in samples]`, several at a time; results in order, the first error is raised.

    The calling thread takes its share, so that with N threads only N - 1 are woken: torch's own threads spin for a
    while after each of its operations, and one more would make them compete for the cores.
    """
    global _executor, _size
    work = list(samples)
    helpers = min(threads(), len(work)) - 1
    if helpers < 1:
        return [function(item) for item in work]
    if _executor is None or _size < helpers:
        _executor, _size = ThreadPoolExecutor(helpers, thread_name_prefix="lit3d"), helpers
    results: list[Result] = [None] * len(work)  # type: ignore[list-item]
    turns = iter(range(len(work)))  # `next` on it is one bytecode: each index is handed out once

    def take() -> None:
        for i in turns:
            results[i] = function(work[i])

    others = [_executor.submit(take) for _ in range(helpers)]
    take()
    for other in others:
        if not other.cancel():  # one that never started has nothing left to do; waiting for it could wait for ever,
            other.result()  # when this call itself runs on the pool
    return results


def _forget() -> None:
    """A forked child has no threads: the pool it inherited would wait for ever."""
    global _executor
    _executor = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
