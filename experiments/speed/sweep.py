"""What a sweep costs beside its training, and what two processes gain.

    python -m experiments.speed.sweep

Run it on an idle machine of two cores. Overhead: time from the end of one job to the end of the next, less what the job
itself spent on data, training and test. Gain: the same four jobs in one worker with one core, in two such workers
(joblib), and, for comparison, one after the other with all cores for each. Claims: overhead under 3 s; two workers are
at least 1.6 times as fast as one.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TINY = ("debug=tiny", "callbacks.media=null", "callbacks.branches=null", "callbacks.results.references=false")


def sweep(folder: Path, *overrides: str, threads: int | None = None) -> float:
    """Seconds of a whole command."""
    began = time.monotonic()
    command = [sys.executable, "-m", "lit3d.run", "-m", *overrides, f"hydra.sweep.dir={folder}"]
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    environment |= {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.monotonic() - began


def overheads(folder: Path) -> list[float]:
    """Seconds of each job but the first that are neither data nor training nor test."""
    jobs = sorted(folder.glob("*/status.json"), key=lambda path: int(path.parent.name.split("_")[0]))
    ends = [path.stat().st_mtime for path in jobs]
    own = [sum(json.loads((path.parent / "results.json").read_text())["seconds"].values()) for path in jobs]
    return [after - before - work for before, after, work in zip(ends, ends[1:], own[1:], strict=False)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--steps", type=int, default=150, help="of each job of the second part")
    parser.add_argument("--only", choices=("overhead", "gain"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        data = f"paths.data={home}/data"
        sweep(home / "first", *TINY, data, "seed=0")  # makes the dataset, compiles kernels
        if options.only != "gain":
            sweep(home / "overhead", *TINY, data, "logger=default", f"seed=range({options.jobs + 1})")
            found = overheads(home / "overhead")
            print("overhead of a job after the first: " + ", ".join(f"{s:.2f}" for s in found) + " s")
        if options.only != "overhead":
            work = (*TINY, data, f"trainer.max_steps={options.steps}", "data.batch_size=16", "test=false",
                    f"seed=range({options.jobs})")  # fmt: skip
            one = sweep(home / "one", *work, threads=1)
            every = sweep(home / "all", *work)
            two = sweep(home / "two", *work, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
            print(f"{options.jobs} jobs: one worker {one:.1f} s, two workers {two:.1f} s: {one / two:.2f} x as fast")
            print(f"one after the other on all cores: {every:.1f} s")


if __name__ == "__main__":
    main()
