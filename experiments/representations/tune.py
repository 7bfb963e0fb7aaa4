"""The learning rate of each representation with its loss: short runs, scored on validation by the model's own monitor.

    python -m experiments.representations.tune trainer.max_steps=500
    python -m experiments.representations.tune --only voxel --rates 1e-3,3e-3 trainer.max_steps=500

Runs lie in <out>/<variant>_<rate>; those that are finished are left as they are. The best rates are printed as they
stand in variants.py. Rates are compared within a representation only: its monitor is the loss's own business
(val/chamfer_l1 of sets and meshes, val/iou of fields and voxels, val/abs_rel of depth).
"""

import argparse
import json
import math
from collections.abc import Sequence

import yaml

from experiments.representations.variants import TRIED, VARIANTS
from experiments.runs import run_once, variant_parser
from experiments.scores import Row, show


def tried(variant: str, rates: Sequence[str], arguments: argparse.Namespace) -> Row:
    """Best validation score at each rate, by the monitor of the model; which rate was best."""
    scores: dict[str, float] = {}
    for rate in rates:
        own = [*VARIANTS[variant], "logger=csv", "callbacks.media=null", "test=false", f"model.optimizer.lr={rate}"]
        folder = run_once([*own, *arguments.overrides], arguments.out / f"{variant}_{rate}")
        found = json.loads((folder / "status.json").read_text(encoding="utf-8")).get("score")
        scores[rate] = math.nan if found is None else found
    kept = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["callbacks"]["checkpoint"]
    sign = 1 if kept["mode"] == "max" else -1
    known = {rate: sign * score for rate, score in scores.items() if not math.isnan(score)}
    best = max(known, key=known.__getitem__) if known else ""
    return {"": variant, "by": f"{kept['monitor']} ({kept['mode']})"} | scores | {"best": best}


def main(given: Sequence[str] | None = None) -> None:
    """The command, with arguments of its own or the command line's."""
    parser = variant_parser(VARIANTS, "representations_rates", __doc__)
    parser.add_argument("--rates", default=",".join(f"{rate:g}" for rate in TRIED), help="such as 3e-4,1e-3")
    arguments = parser.parse_intermixed_args(given)
    rows = [tried(variant, arguments.rates.split(","), arguments) for variant in arguments.only]
    show("Learning rates, best validation score of a short run", rows)
    print("RATES = {" + ", ".join(f'"{row[""]}": {row["best"]}' for row in rows) + "}")


if __name__ == "__main__":
    main()
