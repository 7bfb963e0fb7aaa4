"""How this project compiles: `@kernel` is numba's `njit`, without the interpreter lock, with the code cached on disk.

No `parallel=True`: after GNU OpenMP it kills forked workers, and numba's own workqueue aborts when two Python threads
enter it. Parallelism over samples is `lit3d.ops.kernels.pool`.
"""

import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba


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


def kernel(**options: Any) -> Callable[[Callable], Callable]:
    """Decorator: compile in nopython mode, without the interpreter lock, cached on disk where that is possible."""
    return numba.njit(nogil=True, cache=CACHE, **options)
