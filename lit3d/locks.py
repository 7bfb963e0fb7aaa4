"""One process at a time in a folder: a lock that the system frees by itself when its holder dies."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lit3d.errors import RefusedError

RANKS = ("LOCAL_RANK", "RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")  # Lightning's, torchrun's and SLURM's


def further_rank() -> bool:
    """Whether this is not the first of several processes that train together."""
    return any(os.environ.get(name, "0") != "0" for name in RANKS)


@contextmanager
def alone(folder: Path, refusal: str) -> Iterator[None]:
    """Hold `folder/.lock`.

    Raises:
        RefusedError: with the sentence `refusal`, where another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows: a second process is not noticed there
        yield
        return
    path = folder / ".lock"
    with path.open("ab") as stream:
        try:  # lockf, not flock: loader processes that outlive a killed run for seconds would hold an inherited lock
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RefusedError(refusal) from None
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
