"""Tables and figure of finished runs: scores at equal parameters, who draws what, how good the parameterisation is.

    python -m experiments.two_branch.analyse outputs/two_branch
    python -m experiments.two_branch.analyse outputs/two_branch --samples 100 --out /tmp/two_branch

Every run folder needs results.json, per_sample.csv and checkpoints/best.ckpt, and its dataset where it was. Writes
scores.csv, branches.csv, parameterisation.csv and two_branch.png. Intervals are 95 %, from a bootstrap that draws
objects, each with the mean over its views and the seeds.
"""

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments.runs import analysis_parser, by_variant
from experiments.scores import Row, compared, interval, show, write_table
from experiments.two_branch.figure import draw
from experiments.two_branch.heads import HEADS
from lit3d.build import instantiate, load_module
from lit3d.callbacks.branch_numbers import Measured, measure
from lit3d.metrics.branches import KINDS

HERE = Path(__file__).parent
SCORES = ("fscore_2pct", "fscore_5pct", "chamfer_l1", "emd")
PERCENTS = (2, 5)
CSV_ONLY = ("_low", "_high", "_random", "_equal")  # endings of columns for which the screen is too narrow


def score_rows(runs: Mapping[str, Sequence[Path]]) -> list[Row]:
    """A row for each head and score: the mean, and the paired difference from the first head."""
    rows = []
    facts = {head: json.loads((folders[0] / "results.json").read_text()) for head, folders in runs.items()}
    for score in (s for s in SCORES if all(s in f["test"] for f in facts.values())):
        for head, found in compared(runs, score).items():
            names = {"head": head, "seeds": len(runs[head]), "parameters": facts[head]["parameters"], "score": score}
            rows.append(names | found)
    return rows


def measured(folders: Sequence[Path], samples: int | None) -> list[Measured]:
    """The branches of each run, on the test objects of its own dataset."""
    found = []
    for folder in folders:
        module = load_module(folder / "checkpoints" / "best.ckpt")
        data = instantiate(module.config["data"], seed=module.config["seed"])
        data.setup()
        found.append(measure(module, data, "test", samples))
    return found


def branch_rows(head: str, runs: Sequence[Measured]) -> list[Row]:
    """A row for each branch and kind: what it is spent on, its recall, and its gain over as many random points."""
    rows = []
    for branch in (b for b in ("fc", "upconv") if f"{b}/points" in runs[0].facts):
        for kind in KINDS:
            row: Row = {"head": head, "branch": branch, "points": runs[0].facts[f"{branch}/points"], "kind": kind}
            for name in (f"{branch}/share", "truth/share"):
                row[name.replace(branch, "own").replace("/", "_")] = interval(_column(runs, f"{name}/{kind}"))["mean"]
            for percent in PERCENTS:
                key = f"{branch}/recall_{percent}pct"
                own, chance = (_column(runs, f"{key}{suffix}/{kind}") for suffix in ("", "_random"))
                row[f"recall_{percent}pct"] = interval(own)["mean"]
                row[f"recall_{percent}pct_truth"] = interval(_column(runs, f"{key}_truth/{kind}"))["mean"]
                if chance:
                    row[f"recall_{percent}pct_random"] = interval(chance)["mean"]
                    gain = {name: np.subtract(own[name], chance[name]).tolist() for name in own}
                    row |= {f"gain_{percent}pct_{k}": v for k, v in interval(gain).items()}
                row |= _lead(runs, branch, kind, percent)
            rows.append(row)
    return rows


def _lead(runs: Sequence[Measured], branch: str, kind: str, percent: int) -> Row:
    """Recall less that of the other branch, both with as many points as the smaller has; empty for a single branch."""
    other = "upconv" if branch == "fc" else "fc"
    own, others = (_column(runs, f"{b}/recall_{percent}pct_equal/{kind}") for b in (branch, other))
    if not own:
        return {}
    less = {name: np.subtract(own[name], others[name]).tolist() for name in own}
    return {f"recall_{percent}pct_equal": interval(own)["mean"]} | {
        f"lead_{percent}pct_{k}": v for k, v in interval(less).items()
    }


def _column(runs: Sequence[Measured], key: str) -> dict[str, list[float]]:
    """Values of each object over runs, where there are any."""
    found = defaultdict(list)
    for run in runs:
        for name, row in zip(run.objects, run.rows, strict=True):
            if not math.isnan(row.get(key, math.nan)):
                found[name].append(row[key])
    return dict(found)


def parameterisation_rows(head: str, runs: Sequence[Measured]) -> list[Row]:
    """A row for each branch: purity against chance, and of a grid its smoothness; means over seeds."""
    summaries = [run.summary() for run in runs]
    rows = []
    for branch in (b for b in ("fc", "upconv") if f"{b}/points" in runs[0].facts):
        row: Row = {"head": head, "branch": branch}
        row["purity"] = np.mean([s[f"{branch}/purity"] for s in summaries])
        row["purity_permuted"] = np.mean([s[f"{branch}/purity_permuted"] for s in summaries])
        if branch == "upconv":
            for key in ("neighbour_ratio", "neighbour_ratio_flat", "fold_over_share"):
                row[key] = np.mean([s[f"grid/{key}"] for s in summaries])
        rows.append(row)
    return rows


def verdict(rows: Sequence[Row], percent: int = 2) -> list[str]:
    """For each head with two branches and each kind: the branch that recalls more with equally many points, if any."""
    lines = []
    key = f"lead_{percent}pct"
    for row in (r for r in rows if r["branch"] == "fc" and f"{key}_low" in r):
        lead, low, high = (row[f"{key}_{k}"] for k in ("mean", "low", "high"))
        better = "fc" if low > 0 else "upconv" if high < 0 else "neither branch"
        facts = f"fc less upconv, recall at {percent} %: {lead:+.4f} ({low:+.4f} to {high:+.4f})"
        lines.append(f"{row['head']}: {row['kind']} is drawn better by {better}; {facts}")
    return lines


def analyse(folder: Path, out: Path, samples: int | None = None) -> list[str]:
    """Everything; returns the verdict.

    Raises:
        UserError: no runs, or a checkpoint that cannot be loaded.
    """
    runs = by_variant(folder, HEADS, "python -m experiments.two_branch.train")
    tables: dict[str, list[Row]] = {"scores": score_rows(runs), "branches": [], "parameterisation": []}
    for head, folders in runs.items():
        found = measured(folders, samples)
        tables["branches"] += branch_rows(head, found)
        tables["parameterisation"] += parameterisation_rows(head, found)
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        write_table(out / f"{name}.csv", rows)
        columns = dict.fromkeys(key for row in rows for key in row if name != "branches" or not key.endswith(CSV_ONLY))
        show(name, rows, list(columns))
    draw(tables["scores"], tables["branches"], tables["parameterisation"], out / "two_branch.png")
    return [line for percent in PERCENTS for line in verdict(tables["branches"], percent)]


def main() -> None:
    parser = analysis_parser("two_branch", HERE, __doc__)
    parser.add_argument("--samples", type=int, help="test objects, spread evenly; all if left out")
    arguments = parser.parse_args()
    print("\n".join(analyse(arguments.runs, arguments.out, arguments.samples)))


if __name__ == "__main__":
    main()
