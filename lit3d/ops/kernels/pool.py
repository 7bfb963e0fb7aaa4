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
    """`[function(s) for s in samples]`, several at a time; results in order, the first error is raised."""
    global _executor, _size
    work = list(samples)
    wanted = threads()
    if wanted == 1 or len(work) < 2:
        return [function(item) for item in work]
    if _executor is None or _size != wanted:
        _executor, _size = ThreadPoolExecutor(wanted, thread_name_prefix="lit3d"), wanted
    return list(_executor.map(function, work))


def _forget() -> None:
    """A forked child has no threads: the pool it inherited would wait for ever."""
    global _executor
    _executor = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
