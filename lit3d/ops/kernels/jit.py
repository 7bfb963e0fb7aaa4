"""How this project compiles: `@kernel` is numba's `njit`, without the interpreter lock, with the code cached on disk.

No `parallel=True`: after GNU OpenMP it kills forked workers, and numba's own workqueue aborts when two Python threads
enter it. Parallelism over samples is `lit3d.ops.kernels.pool`.
"""

import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import event


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _choose_cache() -> bool:
    """Point numba at a folder that this user may write to; False when there is none.

    Order: NUMBA_CACHE_DIR, beside the source, a per-user temporary folder. Without this numba raises at import
    where neither the package nor the home folder is writable (containers, clusters).
    """
    settings: Any = numba.config
    if settings.CACHE_DIR:
        return _writable(Path(settings.CACHE_DIR))
    if _writable(Path(__file__).parent / "__pycache__"):
        return True
    private = Path(tempfile.gettempdir()) / f"lit3d-numba-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    owned = _writable(private) and (not hasattr(os, "getuid") or private.stat().st_uid == os.getuid())
    if owned:
        private.chmod(0o700)  # compiled code is loaded from here: nobody else may put any
        settings.CACHE_DIR = str(private)
        return True
    warnings.warn(
        "no writable folder for compiled kernels: they are compiled anew in every process "
        "(set NUMBA_CACHE_DIR to a folder that you may write to)",
        stacklevel=2,
    )
    return False


CACHE = _choose_cache()


class _Announce(event.Listener):
    """Says once a process that kernels are being compiled: it takes up to a minute, and silence looks like a fault."""

    said = False

    def on_start(self, event: Any) -> None:
        function = getattr((event.data or {}).get("dispatcher"), "py_func", None)
        if not _Announce.said and getattr(function, "__module__", "").startswith("lit3d."):
            _Announce.said = True
            where = "once, kept on disk" if CACHE else "for this process: no folder to keep them in is writable"
            print(f"lit3d: compiling CPU kernels ({where}); python -m lit3d.warm_up compiles all", file=sys.stderr)

    def on_end(self, event: Any) -> None:
        """Nothing to say."""


event.register("numba:compile", _Announce())


def kernel(**options: Any) -> Callable[[Callable], Callable]:
    """Decorator: compile in nopython mode, without the interpreter lock, cached on disk where that is possible."""
    return numba.njit(nogil=True, cache=CACHE, **options)
