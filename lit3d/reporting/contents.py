"""Everything that a report says, before it is written in some format."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lit3d.errors import UserError
from lit3d.reporting.folders import LeftOut, Run, read_runs
from lit3d.reporting.free_points import Family, families
from lit3d.reporting.settings import Setting, Varied, compare
from lit3d.reporting.tables import Block, blocks, facts_of

CURVE = 240  # points of a curve, at most


@dataclass(frozen=True)
class Contents:
    """What a report says.

    Attributes:
        runs: those that can be used.
        left_out: those that cannot, with reasons.
        varied: what differs between the runs.
        fixed: what does not.
        settings: runs that differ in the seed alone.
        blocks: scores of models, by dataset and number of points.
        families: free point sets, by shape family.
    """

    runs: list[Run]
    left_out: list[LeftOut]
    varied: list[Varied]
    fixed: dict[str, str]
    settings: list[Setting]
    blocks: list[Block]
    families: list[Family]

    def setting_of(self, i: int) -> str:
        """The label of run i."""
        return next(s.label for s in self.settings if i in s.runs)

    def members(self, block: Block) -> list[int]:
        """Positions of a block's runs."""
        return [i for s in self.settings if s.label in block.settings for i in s.runs if not self.runs[i].of_points]


def gather(paths: Sequence[str | Path], baseline: str | None = None) -> Contents:
    """Read run folders and compare them.

    Raises:
        UserError: no such folders, no run that can be used, a baseline that is none.
    """
    runs, left_out = read_runs(paths)
    if not runs:
        reasons = "; ".join(f"{item.name}: {item.reason}" for item in left_out[:5])
        raise UserError(f"none of {len(left_out)} run folders can be used: {reasons}")
    varied, fixed, settings = compare(runs)
    return Contents(
        runs, left_out, varied, fixed, settings, blocks(runs, settings, baseline), families(runs, settings)
    )


def curve(run: Run, name: str) -> dict[str, Any]:
    """A curve by step and by seconds; `estimated` where the run kept no times and its pace is taken as even."""
    steps, values = run.curves[name]
    chosen = np.unique(np.linspace(0, len(steps) - 1, min(CURVE, len(steps))).astype(int))
    steps, values = steps[chosen], values[chosen]
    if run.times:
        at = sorted(run.times)
        seconds, estimated = np.interp(steps, at, [run.times[s] for s in at]), False
    else:
        took = facts_of(run).get("training seconds") or 0.0
        seconds, estimated = steps / max(1, int(run.results.get("steps") or steps[-1] or 1)) * took, True
    return {
        "steps": steps.tolist(), "values": [float(f"{v:.5g}") if np.isfinite(v) else None for v in values],
        "seconds": [round(float(s), 2) for s in seconds], "estimated": estimated,
    }  # fmt: skip
