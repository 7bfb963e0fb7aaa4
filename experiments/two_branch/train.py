"""Train the four heads, each with some seeds, one after the other; runs that are finished are left as they are.

    python -m experiments.two_branch.train --seeds 0 1 2                # the whole experiment
    python -m experiments.two_branch.train --heads two_branch --seeds 0 trainer.max_steps=500

Any override of `python -m lit3d.run` is taken. Runs lie in <out>/<head>_<seed>.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from experiments.two_branch.heads import HEADS
from lit3d.config import compose
from lit3d.training import train


def run(head: str, seed: int, out: Path, overrides: Sequence[str] = ()) -> Path:
    """One run, unless its folder says that it finished."""
    folder = out / f"{head}_{seed}"
    status = folder / "status.json"
    if not status.is_file() or json.loads(status.read_text())["status"] != "finished":
        given = [*HEADS[head], f"seed={seed}", f"name=two_branch-{head}", "logger=csv", "callbacks.media.every=0"]
        train(compose("run", [*given, *overrides, f"paths.output={folder}"]))
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="as for python -m lit3d.run")
    parser.add_argument("--heads", nargs="+", choices=HEADS, default=list(HEADS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--out", type=Path, default=Path("outputs/two_branch"))
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        for head in arguments.heads:
            print(f"{head}, seed {seed}: {run(head, seed, arguments.out, arguments.overrides)}", flush=True)


if __name__ == "__main__":
    main()
