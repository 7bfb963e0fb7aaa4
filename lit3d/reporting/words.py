"""How a report spells names, numbers and comparisons, in every format."""

from collections.abc import Iterator

from lit3d.reporting.contents import Contents
from lit3d.reporting.free_points import Family
from lit3d.reporting.tables import Block, Cell, Gain, Split, verdict
from lit3d.summary import FURTHER, HEADS

DIGITS = {"chamfer_l2sq": 5, "chamfer_l1": 4, "chamfer_l1_10k": 4, "emd": 4, "roughness": 1}
METHOD = (
    "Settings are runs that differ in the seed alone: ± is the standard deviation over their runs. A gain is the mean "
    "over images of the difference to the baseline, each image with itself, positive where it is better; its interval "
    "(95 %) is a bootstrap that draws whole objects, p a test that flips the sign of whole objects, corrected (Holm) "
    "for the number of settings. Both say how much the choice of test objects matters. How much another training run "
    "would matter is in ±."
)

FAMILIES = (
    "expected: the loss over fresh members. off_member: share of the points off the member they fit best; 0 looks like "
    "one real member. between: share of the points off every member. radius: distance from the middle; spread: its "
    "deviation over its mean. emd to the median, the mean: distance to that member (docs/mean_shape.md)."
)


def head(metric: str) -> str:
    """The short name of a score, with its protocol where it has one."""
    prefix, _, name = metric.rpartition("/")
    return f"{prefix} {HEADS.get(name, name)}".strip()


def known_tables(split: Split) -> list[tuple[str, dict[str, str]]]:
    """Title and heads of the tables that a run closes with, as far as any setting has such scores."""
    tables = [("", HEADS), *FURTHER.items()]
    found = [(title, {m: h for m, h in heads.items() if m in split.metrics}) for title, heads in tables]
    return [(title, heads) for title, heads in found if heads]


def number(metric: str, value: float) -> str:
    """A score with as many digits as it deserves."""
    return f"{value:.{DIGITS.get(metric.rsplit('/', 1)[-1], 3)}f}"


def cell_text(metric: str, cell: Cell | None) -> str:
    """Mean ± spread."""
    if cell is None:
        return "–"
    spread = "" if cell.spread is None else f" ± {number(metric, cell.spread)}"
    return number(metric, cell.mean) + spread


def gain_text(metric: str, gain: Gain) -> str:
    """A gain with its interval."""
    mean, low, high = (_signed(metric, v) for v in (gain.mean, gain.low, gain.high))
    return f"{mean} ({low} to {high})"


def _signed(metric: str, value: float) -> str:
    text = number(metric, value)
    return text if text.startswith("-") else f"+{text}"


def p_text(p: float) -> str:
    """A p-value."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def main_metric(split: Split) -> str | None:
    """The score that a page opens with: F at 5 %, else the first."""
    return "fscore_5pct" if "fscore_5pct" in split.metrics else next(iter(split.metrics), None)


def warning(split: Split) -> str:
    """What makes the means of a table hard to compare; nothing where all were scored on as many images."""
    if len(set(split.images.values())) < 2:
        return ""
    return "These were scored on different numbers of images: compare gains, which are over images that both have."


def headlines(contents: Contents) -> Iterator[str]:
    """What a person wants to know first, a sentence each."""
    runs, settings = len(contents.runs), len(contents.settings)
    varied = ", ".join(v.name for v in contents.varied if not v.follows) or "nothing"
    yield f"{runs} run{'s' * (runs > 1)} of {settings} setting{'s' * (settings > 1)}; varied: {varied}."
    for block in contents.blocks:
        for split in block.splits:
            yield from _headline(block, split)
    yield from map(_family_line, contents.families)
    if contents.left_out:
        yield f"{len(contents.left_out)} folders are left out, with their reasons below."


def _family_line(family: Family) -> str:
    found = [(cells["off_member"].mean, cell_text("off_member", cells["off_member"]), label)
             for label, cells in family.cells.items() if "off_member" in cells]  # fmt: skip
    shares = "; ".join(f"{text} by {label.removeprefix(f'{family.name}: ')}" for _, text, label in sorted(found)[:4])
    return f"{family.name}, free point sets: share of the points off the member they fit best: {shares or 'unknown'}."


def _headline(block: Block, split: Split) -> Iterator[str]:
    metric = main_metric(split)
    best = split.best.get(metric or "", [])
    if metric is None or len(best) != 1:
        return
    cell = split.cells[best[0]][metric]
    text = f"{block.title}, {split.name}: best {head(metric)} {cell_text(metric, cell)} by {best[0]}"
    gain = split.gains.get("", {}).get(best[0], {}).get(metric)
    if gain is not None:
        text += (
            f"; against {block.baseline} {gain_text(metric, gain)} over {gain.images} images of {gain.objects} "
            f"objects, p {p_text(gain.p_holm)}: {verdict(gain)}"
        )
    yield f"{text}."
