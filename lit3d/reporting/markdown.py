"""A report as Markdown: for papers, notes and terminals."""

import re
from collections.abc import Iterator, Sequence

from lit3d.reporting.contents import Contents
from lit3d.reporting.tables import Block, Split, verdict
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


def render(contents: Contents, title: str) -> str:
    """The whole text."""
    return "\n".join(_lines(contents, title)) + "\n"


def _lines(contents: Contents, title: str) -> Iterator[str]:
    yield from (f"# {_plain(title)}", "")
    yield from (f"- {_plain(text)}" for text in headlines(contents))
    if contents.varied:
        yield from ("", "## What varied", "")
        yield from _table(["varied", "values"], [
            [v.name, ", ".join(dict.fromkeys(v.values))] for v in contents.varied if not v.follows])  # fmt: skip
    if contents.blocks:
        yield from ("", "## Scores", "", METHOD)
    for block in contents.blocks:
        for split in block.splits:
            yield from ("", f"### {_plain(block.title)}: {split.name}", "")
            yield from _scores(split)
            yield from _gains(block, split)
            yield from _categories(split)
    for family in contents.families:
        yield from ("", f"## Free point sets: {_plain(family.name)}", "")
        yield from _table(["setting", "runs", *family.metrics], [
            [label, str(max(c.runs for c in cells.values())), *(cell_text("emd", cells.get(m)) for m in family.metrics)]
            for label, cells in family.cells.items()])  # fmt: skip
    if contents.left_out:
        yield from ("", "## Left out", "")
        yield from _table(["folder", "reason"], [[item.name, item.reason] for item in contents.left_out])


def _scores(split: Split) -> Iterator[str]:
    for title, heads in known_tables(split):
        yield from (_plain(title), "") if title else ()
        yield from _table(["setting", "runs", "images", *heads.values()], _score_rows(split, list(heads)), escaped=True)
        yield ""
    yield from (warning(split), "") if warning(split) else ()


def _score_rows(split: Split, metrics: Sequence[str]) -> list[list[str]]:
    rows = []
    for label, cells in split.cells.items():
        if not any(m in cells for m in metrics):
            continue
        texts = [cell_text(m, cells.get(m)) for m in metrics]
        marked = [f"**{t}**" if label in split.best.get(m, ()) else t for m, t in zip(metrics, texts, strict=True)]
        runs = str(max((c.runs for c in cells.values()), default=0))
        rows.append([_plain(label), runs, split.images[label], *marked])
    beside = [[f"*{name}*", "", "", *(number(m, row[m]) if m in row else "–" for m in metrics)]
              for name, row in split.references.items() if any(m in row for m in metrics)]  # fmt: skip
    return rows + beside


def _gains(block: Block, split: Split) -> Iterator[str]:
    known = [m for _, heads in known_tables(split) for m in heads]
    rows = [
        [label, head(m), gain_text(m, row[m]), p_text(row[m].p_holm), verdict(row[m]),
         f"{row[m].images} / {row[m].objects}"]
        for label, row in (split.gains.get("") or {}).items() for m in known if m in row
    ]  # fmt: skip
    if rows:
        yield from (f"Gain over {_plain(block.baseline)}:", "")
        yield from _table(["setting", "score", "gain (95 %)", "p", "", "images / objects"], rows)


def _categories(split: Split) -> Iterator[str]:
    metric = main_metric(split)
    if metric is None or not split.classes:
        return
    labels = [label for label in split.cells if metric in split.cells[label]]
    rows = [[category, *(cell_text(metric, means.get(k, {}).get(metric)) for k in labels)]
            for category, means in split.classes.items()]  # fmt: skip
    yield from ("", f"By category, {head(metric)}:", "")
    yield from _table(["category", *labels], rows)


def _plain(text: str) -> str:
    """Text of a run folder: a bar would end a cell, a line break the row, and what looks like a tag would be one."""
    return re.sub(r"<(?=[a-zA-Z/!?])", "&lt;", " ".join(text.split()).replace("|", "\\|"))


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], escaped: bool = False) -> Iterator[str]:
    """A pipe table, padded so that it can be read as it is."""
    body = [[text if escaped else _plain(text) for text in row] for row in rows]
    every = [[_plain(h) for h in heads], *body]
    widths = [max(len(row[i]) for row in every) for i in range(len(heads))]
    for n, row in enumerate(every):
        yield "| " + " | ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)) + " |"
        if n == 0:
            yield "|" + "|".join("-" * (w + 2) for w in widths) + "|"
