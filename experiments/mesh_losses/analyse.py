"""Tables and figures of finished runs: what does each regulariser cost, and what does it save?

    python -m experiments.mesh_losses.analyse outputs/mesh_losses
    python -m experiments.mesh_losses.analyse outputs/mesh_losses --out /tmp/meshes

Every run folder needs results.json and per_sample.csv, one of each objective also checkpoints/best.ckpt and its
dataset where it was. Objectives that were not trained are left out. Writes network.csv, network.png and trade.png.
Differences are from all regularisers with the same set distance, object by object; their intervals are 95 %, from a
bootstrap that draws objects, each with the mean over its views and the seeds. The spread is the standard deviation over
seeds.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.mesh_losses.figure import draw_predictions, draw_trade
from experiments.mesh_losses.variants import ABLATIONS, DISTANCES, VARIANTS
from experiments.runs import analysis_parser, by_variant
from experiments.scores import Row, differences, score_rows, show, wide, write_table
from lit3d.errors import UserError

HERE = Path(__file__).parent
F, USABLE = "fscore_5pct_10k", ("flipped", "folded", "self_intersection")  # what the verdict is about
HEADS = {
    F: "F@5 % 10k", "fscore_5pct": "F@5 %", "chamfer_l1": "CD-L1", "emd": "EMD", "edge_spread": "edge spread",
    "roughness": "roughness", "self_intersection": "through others", "flipped": "flipped", "folded": "folded",
    "euler": "Euler",
}  # fmt: skip
COMPARED = {score: head for score, head in HEADS.items() if score not in ("fscore_5pct", "euler")}
TEMPLATE = "template"


def families(runs: Mapping[str, Sequence[Path]]) -> dict[str, dict[str, Sequence[Path]]]:
    """The runs of each set distance, all regularisers first.

    Raises:
        UserError: those with all regularisers are missing, from which the others differ.
    """
    found = {}
    for distance in DISTANCES:
        names = [name for name in (f"{distance}_{a}" for a in ABLATIONS) if name in runs]
        if names and names[0] != f"{distance}_full":
            raise UserError(
                f"{names[0]} is compared with {distance}_full, which was not trained: "
                f"python -m experiments.mesh_losses.train --only {distance}_full"
            )
        if names:
            found[distance] = {name: runs[name] for name in names}
    return found


def template_rows(results: Iterable[Mapping[str, Any]]) -> list[Row]:
    """A row for each score of the undeformed template, of the first run that scored it."""
    rows = (one.get("references", {}).get("test", {}).get(TEMPLATE, {}).get("mean", {}) for one in results)
    mean = next((row for row in rows if row), {})
    return [{"variant": TEMPLATE, "score": score, "mean": mean[score]} for score in HEADS if score in mean]


def verdict(rows: Sequence[Row]) -> list[str]:
    """For each objective but the first, which has all terms: what the terms left out do to F-score and to the mesh."""
    of = {(row["variant"], row["score"]): row for row in rows}
    full, lines = rows[0]["variant"], []
    for variant in (v for v, score in of if score == F and v != full):
        f = of[variant, F]
        mean, low, high = (0.0 - f[f"difference_{k}"] for k in ("mean", "high", "low"))
        what = "cost" if high < 0 else "raise" if low > 0 else "do not change"
        mesh = ", ".join(f"{HEADS[s]} {of[full, s]['mean']:.1%} with and {of[variant, s]['mean']:.1%} without"
                         for s in USABLE)  # fmt: skip
        distance, name = variant.split("_", 1)
        terms = "all regularisers" if name == "none" else name.removeprefix("no_")
        lines.append(
            f"{distance}: {terms} {what if name == 'none' else ONE[what]} F-score ({mean:+.3f}, {low:+.3f} to "
            f"{high:+.3f}; {of[full, F]['mean']:.3f} with and {f['mean']:.3f} without); {mesh}"
        )
    return lines


ONE = {"cost": "costs", "raise": "raises", "do not change": "does not change"}


def analyse(folder: Path, out: Path) -> list[str]:
    """Everything; returns the verdict.

    Raises:
        UserError: no runs, none with all regularisers, or a checkpoint that cannot be loaded.
    """
    runs = by_variant(folder, tuple(VARIANTS), "python -m experiments.mesh_losses.train")
    of_distance = families(runs)
    results = {v: [json.loads((f / "results.json").read_text()) for f in folders] for v, folders in runs.items()}
    rows = {distance: score_rows(found, HEADS) for distance, found in of_distance.items()}
    template = template_rows(one for found in results.values() for one in found)
    out.mkdir(parents=True, exist_ok=True)
    write_table(out / "network.csv", [*(row for found in rows.values() for row in found), *template])
    for distance, found in rows.items():
        show(f"{distance}: mean ± spread over seeds", wide([*found, *template], HEADS, _digits))
        lines = differences(found, COMPARED, lambda score: _digits(score) + (score != "roughness"))
        show(f"{distance}: less {found[0]['variant']}, mean (95 % interval over objects)", lines)
    points = {v: [(one["test"]["self_intersection"], one["test"][F]) for one in results[v]]
              for found in of_distance.values() for v in found}  # fmt: skip
    draw_trade(points, out / "trade.png")
    weights = Path("checkpoints") / "best.ckpt"  # runs without theirs are in the tables alone
    kept = {v: [f for f in folders if (f / weights).is_file()] for v, folders in runs.items()}
    first = {distance: {v: kept[v][0] for v in found if kept[v]} for distance, found in of_distance.items()}
    if any(first.values()):
        draw_predictions(first, out / "network.png")
    return [line for found in rows.values() for line in verdict(found)]


def _digits(score: str) -> int:
    return 1 if score == "roughness" else 4 if score in ("chamfer_l1", "emd") else 0 if score == "euler" else 3


def main() -> None:
    arguments = analysis_parser("mesh_losses", HERE, __doc__).parse_args()
    print("\n".join(analyse(arguments.runs, arguments.out)))


if __name__ == "__main__":
    main()
