"""Tables and the figure of finished runs: which representation of shape should one predict from one image?

    python -m experiments.representations.analyse outputs/representations
    python -m experiments.representations.analyse outputs/representations_time --out outputs/representations_time_tables

Every run folder needs results.json and per_sample.csv, the first of each representation also checkpoints/best.ckpt and
its dataset where it was. Representations that were not trained are left out. Writes scores.csv, references.csv,
choose.csv and representations.png. Differences are from the first representation, object by object; their intervals are
95 %, from a bootstrap that draws objects, each with the mean over its views and the seeds. The spread is the standard
deviation over seeds. Costs are measured on this machine as it is: leave it idle.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.representations.cost import measure
from experiments.representations.figure import draw
from experiments.representations.variants import VARIANTS, VISIBLE_ONLY
from experiments.runs import Run, analysis_parser, by_variant, read_runs
from experiments.scores import Row, compared, show, write_table
from experiments.sheets import PICKED, first_views, test_data
from lit3d.build import load_module

HERE = Path(__file__).parent
EQUAL = {  # n points of every representation
    "fscore_1pct": "F 1 %", "fscore_2pct": "F 2 %", "fscore_5pct": "F 5 %", "chamfer_l1": "CD-L1", "emd": "EMD",
    "iou": "IoU",
}  # fmt: skip
DENSE = {f"{name}_10k": f"{head}, 10k" for name, head in EQUAL.items() if name not in ("emd", "iou")}
DIFFERENCES = ("fscore_2pct", "fscore_5pct", "chamfer_l1", "emd")
ROWS = (  # worst to best
    "mean_shape", "mean_occupancy", "constant_depth", "clustering", "retrieval", "oracle", "ceiling",
    "true_visible_surface", "truth_resampled",
)  # fmt: skip
KEYS = ("image", "mask", "intrinsics", "pose", "points")


def label(variant: str) -> str:
    """Its name; what shows the visible part only says so in every table."""
    return f"{variant} (visible part only)" if variant in VISIBLE_ONLY else variant


def score_rows(runs: Mapping[str, Sequence[Path]]) -> list[Row]:
    """A row for each score and representation that has it."""
    found = {score: compared(runs, score) for score in (*EQUAL, *DENSE)}
    return [{"variant": label(v), "seeds": len(runs[v]), "score": score} | row
            for score, rows in found.items() for v, row in rows.items()]  # fmt: skip


def reference_rows(runs: Sequence[Run]) -> list[Row]:
    """A row for each score of what needs no network, each score by the first run that has it."""
    found: dict[str, dict[str, float]] = {}
    for run in runs:
        for name, row in run.results.get("references", {}).get("test", {}).items():
            found[name] = {**row["mean"], **found.get(name, {})}
    return [{"variant": name.replace("_", " "), "score": score, "mean": found[name][score]}
            for score in (*EQUAL, *DENSE) for name in ROWS if score in found.get(name, {})]  # fmt: skip


def wide(rows: Sequence[Row], heads: Mapping[str, str]) -> list[Row]:
    """A line for each representation or reference: mean and spread over seeds of each score."""
    lines: dict[str, Row] = {}
    for row in (r for r in rows if r["score"] in heads):
        spread = row.get("spread", math.nan)
        text = f"{row['mean']:.3f}" + ("" if math.isnan(spread) else f" ±{spread:.3f}")
        lines.setdefault(row["variant"], {"": row["variant"]})[heads[row["score"]]] = text
    return list(lines.values())


def differences(rows: Sequence[Row]) -> list[Row]:
    """A line for each representation but the first: how its scores differ, with intervals over objects."""
    lines: dict[str, Row] = {}
    for row in (r for r in rows if r["score"] in DIFFERENCES and r["variant"] != rows[0]["variant"]):
        mean, low, high = (f"{row[f'difference_{k}']:+.3f}" for k in ("mean", "low", "high"))
        lines.setdefault(row["variant"], {"": row["variant"]})[EQUAL[row["score"]]] = f"{mean} ({low} to {high})"
    return list(lines.values())


def choose_rows(runs: Mapping[str, Sequence[Run]], costs: Mapping[str, Row]) -> list[Row]:
    """What to choose: scores, costs, size of the output, failures, minutes of training of the first run."""
    rows = []
    for variant, found in runs.items():
        results = [run.results for run in found]
        means = {k: float(np.mean([r["test"][k] for r in results])) for k in ("fscore_5pct", "chamfer_l1")}
        failed = {"failures": sum(r["test_failures"] for r in results),
                  "images": sum(r["counts"]["images"] for r in results)}  # fmt: skip
        minutes = results[0]["seconds"]["training"] / 60  # other seeds may have been trained on another machine
        trained: Row = {"training_minutes": minutes, "steps": results[0]["steps"]}
        trained["learning_rate"] = f"{found[0].config['model']['optimizer']['lr']:g}"
        rows.append({"variant": label(variant)} | means | costs[variant] | failed | trained)
    return rows


def readable(row: Row) -> Row:
    """A line of the table *what to choose* as people read it."""
    size = f"{row['points']:,.0f}" + (f" / {row['triangles']:,.0f}" if row["triangles"] else "")
    closed = "" if math.isnan(row["watertight"]) else f"{row['watertight']:.0%}"
    return {
        "": row["variant"], "F 5 %": row["fscore_5pct"], "CD-L1": row["chamfer_l1"],
        "ms an image": f"{row['ms']:.0f}", "of these network": f"{row['ms_network']:.0f}",
        "parameters": f"{row['parameters'] / 1e6:.2f} M", "weights MB": f"{row['weights_mb']:.0f}",
        "memory MB": "" if math.isnan(row["memory_mb"]) else f"{row['memory_mb']:.0f}",
        "points / triangles": size, ".ply kB": f"{row['ply_bytes'] / 1e3:.0f}", "watertight": closed,
        "failures": f"{row['failures']} of {row['images']:,}", "training min": f"{row['training_minutes']:.1f}",
        "steps": row["steps"], "rate": row["learning_rate"],
    }  # fmt: skip


def spread_out(dataset: Any, count: int) -> list[Any]:
    """`count` samples, evenly over a dataset, or all."""
    return [dataset[int(i)] for i in np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round()]


def analyse(folder: Path, out: Path, samples: int = 24, pictured: int = len(PICKED)) -> list[str]:
    """Everything; returns what is missing.

    Args:
        folder: of runs.
        out: for tables and the figure.
        samples: test images that costs are measured on.
        pictured: images of the figure.
    """
    folders = by_variant(folder, tuple(VARIANTS), "python -m experiments.representations.train")
    runs = {variant: read_runs(found) for variant, found in folders.items()}
    modules = {v: load_module(found[0].folder / "checkpoints" / "best.ckpt") for v, found in runs.items()}
    data = test_data(next(iter(modules.values())))
    dataset = data.dataset("test", keys=KEYS)
    costs = {variant: measure(module, spread_out(dataset, samples)) for variant, module in modules.items()}
    scores, references = score_rows(folders), reference_rows([run for found in runs.values() for run in found])
    chosen = choose_rows(runs, costs)
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in (("scores", scores), ("references", references), ("choose", chosen)):
        write_table(out / f"{name}.csv", rows)
    n = runs[next(iter(runs))][0].results["counts"]["n"]
    show(f"n = {n:,} points of every representation (± over seeds), and answers without a network",
         wide([*scores, *references], EQUAL))  # fmt: skip
    show("10,000 points of those that are surfaces", wide([*scores, *references], DENSE))
    show(f"Differences from {next(iter(folders))} (95 % interval over objects)", differences(scores))
    show(f"What to choose (one image, one thread, median of {min(samples, len(dataset))})", list(map(readable, chosen)))
    draw(modules, data.opened, first_views(data, KEYS, pictured), out / "representations.png")
    return [f"not trained, so left out: {variant}" for variant in VARIANTS if variant not in folders]


def main() -> None:
    parser = analysis_parser("representations", HERE, __doc__)
    parser.add_argument("--samples", type=int, default=24, help="test images that costs are measured on")
    arguments = parser.parse_args()
    print("\n".join(analyse(arguments.runs, arguments.out, arguments.samples)))


if __name__ == "__main__":
    main()
