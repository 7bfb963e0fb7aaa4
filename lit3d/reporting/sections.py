"""The parts of a page that need no script: what varied, scores, comparisons, failures, system facts."""

import math
from collections.abc import Iterator, Mapping, Sequence

from lit3d.reporting.contents import Contents
from lit3d.reporting.free_points import Family
from lit3d.reporting.markup import Td, folded, heading, paragraph, section, table
from lit3d.reporting.tables import Block, Cell, Gain, Split, facts_of, verdict
from lit3d.reporting.words import (
    METHOD,
    cell_text,
    gain_text,
    head,
    headlines,
    known_tables,
    main_metric,
    number,
    p_text,
    warning,
)
from lit3d.summary import FURTHER, HEADS


def opening(contents: Contents) -> str:
    """The findings in sentences."""
    items = "".join(f"<li>{paragraph(text)}</li>" for text in headlines(contents))
    return section("findings", "Findings", f"<ul>{items}</ul>")


def varied(contents: Contents) -> str:
    """What differed between runs, and what did not."""
    heads = ["varied", "values", "changes with it"]
    free, follow = ([v for v in contents.varied if v.follows is which] for which in (False, True))
    rows, bound = ([[Td(v.name, kind="key"), ", ".join(dict.fromkeys(v.values)), _few(v.others)] for v in part]
                   for part in (free, follow))  # fmt: skip
    by_run = [
        [str(i), run.name, contents.setting_of(i), *(v.values[i] for v in free)] for i, run in enumerate(contents.runs)
    ]
    fixed = [[Td(k, kind="key"), v] for k, v in contents.fixed.items()]
    return section(
        "varied", "What varied, what was held fixed",
        table(heads, rows) if rows else paragraph("Nothing but the folder."),
        folded(f"{len(bound)} further keys follow from these", table(heads, bound)) if bound else "",
        folded(f"{len(by_run)} runs", table(["", "run", "setting", *(v.name for v in free)], by_run)),
        folded(f"{len(fixed)} keys held fixed", table(["key", "value"], fixed)),
    )  # fmt: skip


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


# --- scores -----------------------------------------------------------------------------------------------------------


def scores(contents: Contents) -> str:
    """A table a split: settings, then the rows beside them."""
    parts = [paragraph(METHOD, "note")] if contents.blocks else []
    for block in contents.blocks:
        for split in block.splits:
            tables = known_tables(split)
            known = [m for _, heads in tables for m in heads]
            further = {m: head(m) for m in split.metrics if m not in known}
            parts += [heading(f"{block.title}: {split.name}")]
            parts += [paragraph(warning(split), "warning")] if warning(split) else []
            for title, heads in tables:
                parts += [paragraph(title, "caption") if title else "", _scores(split, heads)]
                parts += [_comparison(block, split, heads)]
            parts += [folded(f"{len(further)} further scores", _scores(split, further) if further else "")]
    return section("scores", "Scores", *parts)


def _scores(split: Split, heads: Mapping[str, str]) -> str:
    """Settings that have any of some scores, then the rows beside them."""
    labels = [label for label, cells in split.cells.items() if any(m in cells for m in heads)]
    rows = [[Td(label, kind="setting"), Td(str(_runs(split, label)), _runs(split, label)), split.images[label],
             *(_score(split, label, m) for m in heads)]
            for label in labels]  # fmt: skip
    beside = [[Td(name, kind="reference"), Td(""), Td(""), *(_reference(row, m) for m in heads)]
              for name, row in split.references.items() if any(m in row for m in heads)]  # fmt: skip
    return table(["setting", "runs", "images", *heads.values()], [*rows, *beside], "scores")


def _reference(row: Mapping[str, float], metric: str) -> Td:
    return Td(number(metric, row[metric]), row[metric]) if metric in row else Td("–")


def _runs(split: Split, label: str) -> int:
    return max((c.runs for c in split.cells[label].values()), default=0)


def _score(split: Split, label: str, metric: str) -> Td:
    cell = split.cells[label].get(metric)
    best = label in split.best.get(metric, ())
    return Td(cell_text(metric, cell), None if cell is None else cell.mean, "best" if best else "")


def _comparison(block: Block, split: Split, names: Mapping[str, str]) -> str:
    """Gains over the baseline, with p-values in hints and in a table of their own."""
    found = {label: row for label, row in (split.gains.get("") or {}).items() if any(m in row for m in names)}
    metrics = [m for m in names if any(m in row for row in found.values())]
    if not metrics:
        return ""
    gains = [[Td(label, kind="setting"), *(_gain(m, row.get(m)) for m in metrics)] for label, row in found.items()]
    p = [[Td(label, kind="setting"), *(_p(row.get(m)) for m in metrics)] for label, row in found.items()]
    images = max(row[m].images for row in found.values() for m in metrics if m in row)
    heads = ["setting", *(names[m] for m in metrics)]
    caption = f"Gain over {block.baseline}, image by image ({images} images); p in a cell's hint:"
    return "".join([
        paragraph(caption, "caption"), table(heads, gains, "gains"),
        folded("p-values after Holm's correction", table(heads, p)),
    ])  # fmt: skip


def _gain(metric: str, gain: Gain | None) -> Td:
    if gain is None:
        return Td("–")
    text = gain_text(metric, gain).replace(" (", "\n(")  # the interval in a line of its own
    return Td(text, gain.mean, verdict(gain).split(" ", 1)[0], _hint(gain))


def _hint(gain: Gain) -> str:
    p = f"p {p_text(gain.p_holm)} ({p_text(gain.p)} alone)"
    return f"{verdict(gain)}: {p}, {gain.images} images of {gain.objects} objects"


def _p(gain: Gain | None) -> Td:
    return Td("–") if gain is None else Td(p_text(gain.p_holm), gain.p_holm)


def categories(contents: Contents) -> str:
    """Means and gains by category, of the scores that the closing table of a run shows."""
    parts = []
    for block in contents.blocks:
        for split in block.splits:
            main = main_metric(split)
            known = [m for _, heads in known_tables(split) for m in heads] if split.classes else []
            tables = {m: _category_table(block, split, m) for m in sorted(known, key=lambda m: m != main)}
            if main in tables:
                parts += [heading(f"{block.title}: {split.name}, {head(main)}"), tables.pop(main)]
            parts.append(folded(f"{len(tables)} other scores", "".join(folded(_spelt(m), tables[m]) for m in tables)))
    note = paragraph("Green and red: better and worse than the baseline, p < 0.05 after correction; grey: cannot be "
                     "told. The gain, its interval and p are in a cell's hint.", "note")  # fmt: skip
    return section("categories", "By category", *([note, *parts] if any(parts) else []))


def _spelt(metric: str) -> str:
    """A score as its table calls it, with the end that tells it from one of the same name."""
    short = next((heads[metric] for heads in (HEADS, *FURTHER.values()) if metric in heads), head(metric))
    return f"{short}, of 10,000 points" if metric.endswith("_10k") else short


def _category_table(block: Block, split: Split, metric: str) -> str:
    labels = [label for label in split.cells if metric in split.cells[label]]
    rows = []
    for category, means in split.classes.items():
        gains = split.gains.get(category, {})
        cells = [_class_cell(block, metric, means.get(k, {}).get(metric), gains.get(k, {}).get(metric)) for k in labels]
        rows.append([Td(category, kind="setting"), *cells])
    return table(["category", *labels], rows, "classes")


def _class_cell(block: Block, metric: str, cell: Cell | None, gain: Gain | None) -> Td:
    """A mean, coloured where it can be told from the baseline's."""
    if cell is None:
        return Td("–")
    if gain is None:
        return Td(number(metric, cell.mean), cell.mean)
    hint = f"against {block.baseline}: {gain_text(metric, gain)}; {_hint(gain)}"
    return Td(number(metric, cell.mean), cell.mean, verdict(gain).split(" ", 1)[0], hint)


# --- free point sets --------------------------------------------------------------------------------------------------


def family_table(family: Family) -> str:
    """Numbers of the sets of one family."""
    rows = []
    for label, cells in family.cells.items():
        row: list[Td | str] = [Td(label, kind="setting"), Td(str(max(c.runs for c in cells.values())))]
        for metric in family.metrics:
            cell = cells.get(metric)
            error = family.errors.get(label, {}).get(metric)
            hint = "" if error is None or math.isnan(error) else f"standard error over fresh samples {error:.5f}"
            row.append(Td(cell_text("emd", cell), None if cell is None else cell.mean, "", hint))
        rows.append(row)
    return table(["setting", "runs", *family.metrics], rows, "scores")


# --- what can be wrong, and where it ran ------------------------------------------------------------------------------


def failures(contents: Contents) -> str:
    """Failures and coverage of runs; folders that are left out."""
    rows = []
    for block in contents.blocks:
        for split in block.splits:
            for name, (failed, images) in split.coverage.items():
                share = Td(f"{1 - failed / images:.1%}", 1 - failed / images) if images else Td("–")
                count = Td(str(failed), failed, "worse" if failed else "")
                rows.append([name, split.name, Td(str(images), images), count, share])
    notes = [[run.name, note] for run in contents.runs for note in run.notes]
    out = [[item.name, item.reason] for item in contents.left_out]
    return section(
        "failures", "Failures, coverage, what is left out",
        paragraph("An empty or non-finite prediction is a failure and counts with the worst score.", "note"),
        table(["run", "split", "images", "failures", "coverage"], rows) if rows else "",
        *([heading("Left out"), table(["folder", "reason"], out, "left-out")] if out else []),
        heading("Notes") + table(["run", "note"], notes, "notes") if notes else "",
    )  # fmt: skip


def system(contents: Contents) -> str:
    """What all runs share, then a row a run."""
    every = [facts_of(run) for run in contents.runs]
    keys = list(dict.fromkeys(k for found in every for k in found))
    same = {k: every[0].get(k) for k in keys if len({str(found.get(k)) for found in every}) == 1}
    differ = [k for k in keys if k not in same]
    rows = [[run.name, *(_fact(f.get(k)) for k in differ)] for run, f in zip(contents.runs, every, strict=True)]
    shared = ", ".join(f"{k} {v}" for k, v in same.items())
    return section("system", "System", paragraph(f"The same for all: {shared}.") if same else "",
                   table(["run", *differ], rows) if differ else "")  # fmt: skip


def _fact(value: object) -> Td:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Td(f"{value:,}" if isinstance(value, int) else f"{value:g}", float(value))
    return Td("–" if value is None else str(value))


def static_parts(contents: Contents) -> Iterator[str]:
    """All parts in the order of the page, without those that scripts fill."""
    yield from (opening(contents), varied(contents), scores(contents), categories(contents))
