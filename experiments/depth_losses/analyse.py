"""Table and figures of finished runs: similar errors of depth, different normals?

    python -m experiments.depth_losses.analyse outputs/depth_losses
    python -m experiments.depth_losses.analyse outputs/depth_losses_furniture --out /tmp/furniture

Every run folder needs results.json and per_sample.csv, the first of each loss also checkpoints/best.ckpt and its
dataset where it was. Losses that were not trained are left out. Writes scores.csv, depth_losses.png and errors.png.
Differences are from the first loss, object by object; their intervals are 95 %, from a bootstrap that draws objects,
each with the mean over its views and the seeds. The spread is the standard deviation over seeds.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.depth_losses.figure import draw_errors, draw_predictions
from experiments.depth_losses.variants import VARIANTS
from experiments.runs import analysis_parser, by_variant
from experiments.scores import Row, differences, score_rows, show, wide, write_table

HERE = Path(__file__).parent
DEPTH, NORMAL = "abs_rel", "depth_normal_angle"  # which error of each kind the verdict and the figure are about
HEADS = {
    "abs_rel": "AbsRel", "abs_rel_median": "AbsRel*", "depth_mae": "MAE", "rmse": "RMSE",
    "depth_normal_angle": "angle", "depth_normal_angle_with_edges": "+edges", "depth_normal_angle_forward": "forward",
    "depth_normal_30deg": "< 30", "normal_angle": "head", "flying_pixels_median": "flying*",
    "visible_chamfer_l1": "vis. CD", "boundary_f1": "edge F1", "mask_iou": "IoU",
}  # fmt: skip
COMPARED = (
    DEPTH, "abs_rel_median", NORMAL, "depth_normal_angle_forward", "flying_pixels_median", "visible_chamfer_l1",
)  # fmt: skip


def reference_rows(results: Mapping[str, Any]) -> list[Row]:
    """A row for each score of each depth map that needs no network."""
    found = results.get("references", {}).get("test", {})
    maps = {name: row["mean"] for name, row in found.items() if DEPTH in row["mean"]}
    return [{"variant": name.replace("_", " "), "score": s, "mean": mean[s]} for s in HEADS
            for name, mean in maps.items() if s in mean]  # fmt: skip


def verdict(rows: Sequence[Row]) -> list[str]:
    """For each loss but the first: by how much it cuts the error of normals, and what that costs in depth."""
    of = {(row["variant"], row["score"]): row for row in rows}
    base, lines = rows[0]["variant"], []
    for variant in (v for v, score in of if score == DEPTH and v != base):
        normal, depth = of[variant, NORMAL], of[variant, DEPTH]
        before, depth_before = of[base, NORMAL]["mean"], of[base, DEPTH]["mean"]
        sign = 1 if normal["difference_mean"] > 0 else -1
        change, *ends = (sign * normal[f"difference_{k}"] / before for k in ("mean", "low", "high"))
        low, high = depth["difference_low"], depth["difference_high"]
        what = "less" if high < 0 else "more" if low > 0 else "equal"
        lines.append(
            f"{variant} {'raises' if sign > 0 else 'cuts'} the normal error by {change:.0%} ({min(ends):.0%} to "
            f"{max(ends):.0%}; {before:.1f} to {normal['mean']:.1f} degrees) at {what} depth error ({DEPTH} "
            f"{depth['mean']:.4f}, of {base} {depth_before:.4f}; difference {low:+.4f} to {high:+.4f})"
        )
    return lines


def analyse(folder: Path, out: Path) -> list[str]:
    """Everything; returns the verdict. Rows without a network are those of the first run that scored them.

    Raises:
        UserError: no runs, or a checkpoint that cannot be loaded.
    """
    runs = by_variant(folder, tuple(VARIANTS), "python -m experiments.depth_losses.train")
    results = {v: [json.loads((f / "results.json").read_text()) for f in folders] for v, folders in runs.items()}
    referenced = (one for found in results.values() for one in found if "references" in one)
    rows, references = score_rows(runs, HEADS), reference_rows(next(referenced, {}))
    out.mkdir(parents=True, exist_ok=True)
    write_table(out / "scores.csv", [*rows, *references])
    columns = ["", *dict.fromkeys(HEADS[score] for score in HEADS if any(r["score"] == score for r in rows))]
    lines = wide([*rows, *references], HEADS, lambda score: 1 if "angle" in score else 3)
    show("scores: mean ± spread over seeds; AbsRel* aligned by the median", lines, columns)
    lines = differences(rows, {s: HEADS[s] for s in COMPARED}, lambda score: 1 if "angle" in score else 4)
    show(f"less {rows[0]['variant']}: mean (95 % interval over objects)", lines)
    floor = {r["score"]: r["mean"] for r in references if r["variant"] == "true visible surface"}.get(NORMAL)
    pairs = {v: [(one["test"][DEPTH], one["test"][NORMAL]) for one in found] for v, found in results.items()}
    draw_errors(pairs, floor, out / "errors.png")
    draw_predictions({variant: folders[0] for variant, folders in runs.items()}, out / "depth_losses.png")
    return verdict(rows)


def main() -> None:
    arguments = analysis_parser("depth_losses", HERE, __doc__).parse_args()
    print("\n".join(analyse(arguments.runs, arguments.out)))


if __name__ == "__main__":
    main()
