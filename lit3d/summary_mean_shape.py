"""What a run of the mean-shape laboratory says when it ends."""

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table


def print_mean_shape(summary: dict[str, Any], where: str, console: Console) -> None:
    """A table of what the point set looks like, and where everything lies: in the run folder `where`."""
    title = f"{summary['family']['name']}: {summary['counts']['n']} free points, {'+'.join(summary['loss'])}"
    console.print(f"\n{title}; unit = longest side of the usual member", style="bold", highlight=False)
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    for name, value, meaning in rows(summary):
        table.add_row(name, value, meaning)
    console.print(table, highlight=False)
    took = ", ".join(f"{what} {value:.1f} s" for what, value in summary["seconds"].items())
    print(f"{summary['steps']} steps; {took}")
    print(f"Picture    {where}/media/mean_shape.png")
    print(f"Numbers    {where}/results.json, points.npz, metrics.csv")
    print("Try next   python -m lit3d.run -m experiment=mean_shape data/family=circle,corners loss=cd,emd")


def rows(summary: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(name, number, meaning)."""
    found, radius = summary["mean_shape"], summary["mean_shape"]["radius"]
    samples = summary["counts"]["samples"]
    lines = [(f"expected {k}", f"{v:.5f}", f"over {samples} fresh samples") for k, v in summary["test"].items()]
    lines += [
        ("off_member", f"{found['off_member']:.3f}", "share of the points off the member they fit best"),
        ("between", f"{found['between']:.3f}", "share of the points off every member"),
        ("radius", f"{radius['mean']:.4f}", f"mean distance from the origin; median {radius['median']:.4f}"),
        ("spread", f"{radius['spread']:.4f}", "standard deviation of the radius over its mean"),
    ]
    for value, share in found.get("at_places", {}).items():
        lines.append((f"at place {value}", f"{share:.3f}", "share of the points on this member only"))
    for name, answer in found["answers"].items():
        lines.append((f"emd to the {name}", f"{answer['emd']:.4f}", f"member with hidden {answer['hidden']:.4f}"))
    return lines
