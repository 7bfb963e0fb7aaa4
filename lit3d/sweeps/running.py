"""A sweep from its lock to its closing table."""

import logging
import shutil
from collections.abc import Callable
from typing import Any

from lit3d.errors import UserError
from lit3d.locks import alone
from lit3d.sweeps import closing, launchers
from lit3d.sweeps.command import RECORD, Sweep

log = logging.getLogger(__name__)


def run(sweep: Sweep, app: Callable[[], Any]) -> None:
    """Run Hydra's app as the sweep; end the process with 1 when a job failed, with 130 after Ctrl-C.

    Raises:
        UserError: another process runs this sweep.
        Exception: what kept the sweep from beginning: a config that cannot be composed.
    """
    sweep.folder.mkdir(parents=True, exist_ok=True)
    refusal = (
        f"this very sweep is running in {sweep.folder} just now: wait until it ends, or begin another beside it with "
        "sweep.fresh=true"
    )
    with alone(sweep.folder, refusal):
        code = _run(sweep, app)
    if code:
        raise SystemExit(code)


def _run(sweep: Sweep, app: Callable[[], Any]) -> int:
    if sweep.continued:
        print(f"Going on with the sweep in {sweep.folder} (sweep.fresh=true begins a new one)")
    sweep.write()
    launchers.register()
    try:
        app()
    except (KeyboardInterrupt, SystemExit):
        closing.close(sweep, "interrupted")
        return 130
    except Exception as error:
        if not closing.rows(sweep.folder):  # it has not begun
            if not sweep.continued and {p.name for p in sweep.folder.iterdir()} <= {RECORD, ".lock", "multirun.yaml"}:
                shutil.rmtree(sweep.folder)
            raise
        if not isinstance(error, UserError):
            log.exception("the sweep in %s stopped", sweep.folder)
        closing.close(sweep, f"{type(error).__name__}: {error}")
        return 1
    return closing.close(sweep, None)
