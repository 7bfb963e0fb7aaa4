"""Print the numbers of mean shapes, mean over seeds, and worst seed where there are several.

    python -m experiments.mean_shape.table multirun/<sweep>

One block a family, loss and setting, in the paper's order.
"""

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.mean_shape.sets import FAMILIES, LOSSES, Result, ordered, read

DISTINGUISHING = ("model.points", "model.init", "data.sampling", "data.family.hidden.probability")


def setting(result: Result) -> tuple[str, ...]:
    """What distinguishes runs of one family and loss, apart from the seed."""
    return tuple(str(_at(result.run.config, key)) for key in DISTINGUISHING)


def _at(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = config.get(part, "") if isinstance(config, dict) else ""
    return config


def numbers(result: Result) -> dict[str, float]:
    """The numbers of a run by name."""
    found, radius = result.found, result.found["radius"]
    line = {"expected": result.expected, "off_member": found["off_member"], "between": found["between"],
            "radius": radius["mean"], "spread": radius["spread"]}  # fmt: skip
    for name, answer in found["answers"].items():
        line[f"emd to {name}"] = answer["emd"]
        line[f"radius / {name} - 1"] = radius["mean"] / answer["hidden"] - 1 if answer["hidden"] > 0 else float("nan")
    line |= {f"points at {k}": share * len(result.points) for k, share in found.get("at_places", {}).items()}
    return line | {"seconds": result.run.results["seconds"]["training"]}


def lines(results: Sequence[Result]) -> list[str]:
    """A line a family, loss and setting: each number as its mean, [smallest, largest] over seeds."""
    groups: dict[tuple[str, ...], list[Result]] = {}
    for family in ordered((r.family for r in results), FAMILIES):
        for loss in ordered((r.loss for r in results), LOSSES):
            for result in results:
                if (result.family, result.loss) == (family, loss):
                    groups.setdefault((family, loss, *setting(result)), []).append(result)
    text = []
    for key, members in groups.items():
        rows = [numbers(member) for member in members]
        text.append(f"{' '.join(k for k in key if k)}  ({len(rows)} seeds)")
        text += [f"    {name:<20} {_summary([row[name] for row in rows])}" for name in rows[0]]
    return text


def _summary(values: Sequence[float]) -> str:
    spread = f"  [{min(values):.4f}, {max(values):.4f}]" if len(values) > 1 else ""
    return f"{np.mean(values):.4f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("runs", nargs="+", help="run folders or sweeps")
    print("\n".join(lines(read(parser.parse_args().runs))))


if __name__ == "__main__":
    main()
