"""Tasks of a few lines, in a module of their own: worker processes import it."""

import json
import os
import signal
import time

from lit3d.sweeps.jobs import job_folder


def facts(cfg):
    """Say which process a job ran in, and how many threads libraries start there."""
    time.sleep(0.3)  # so that one worker cannot do all
    found = {"pid": os.getpid(), "threads": os.environ.get("OMP_NUM_THREADS")}
    (job_folder() / "facts.json").write_text(json.dumps(found))
    return float(cfg.seed)


def killed(cfg):
    """One job that the system kills, as it does when the memory is used up."""
    folder = job_folder()
    with (folder.parent / "log").open("a") as stream:
        stream.write(f"{cfg.seed}\n")
    if not (folder / "status.json").exists() or '"running"' not in (folder / "status.json").read_text():
        (folder / "status.json").write_text('{"status": "running"}')
    if cfg.seed == 1:
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.4)
    return 0.5


def doubled(context, number):
    """What the processes of a job do."""
    return context * number


def nested(cfg):
    """A job with processes of its own: those that make a dataset, those that load it."""
    from torch.utils.data import DataLoader

    from lit3d.synthesis.workers import outcomes

    made = sorted(outcome.value for outcome in outcomes(doubled, 2, [1, 2, 3], workers=2))
    loaded = [int(batch) for batch in DataLoader([7, 8], num_workers=1)]
    (job_folder() / "facts.json").write_text(json.dumps({"made": made, "loaded": loaded}))


def valley(cfg):
    """A function with its minimum at seed 30."""
    with (job_folder().parent / "log").open("a") as stream:
        stream.write(f"{cfg.seed}\n")
    if os.environ.get("LIT3D_TEST_STOP") == str(job_folder().name.split("_")[0]):
        raise KeyboardInterrupt
    if cfg.seed % 7 == 0:
        raise RuntimeError("some trials fail")
    return float((cfg.seed - 30) ** 2)
