"""Small pieces of HTML: whatever comes from a run folder is escaped here and nowhere else."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any


@dataclass(frozen=True)
class Td:
    """A cell: its text, what it sorts by, and a class."""

    text: str
    sort: float | None = None
    kind: str = ""
    title: str = ""


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]], kind: str = "") -> str:
    """A table that a click on a head sorts; cells are `Td` or text, and rows that begin with a reference stay below."""
    top = "".join(f'<th scope="col" tabindex="0">{escape(h)}</th>' for h in heads)
    body = "".join(f"<tr{_row_kind(row)}>{''.join(map(_td, row))}</tr>" for row in rows)
    inner = f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="wide"><table class="sortable {kind}">{inner}</table></div>'


def _row_kind(row: Sequence[Any]) -> str:
    first = row[0]
    return ' class="beside"' if isinstance(first, Td) and first.kind == "reference" else ""


def _td(cell: Td | str) -> str:
    if isinstance(cell, str):
        return f"<td>{escape(cell)}</td>"
    sort = "" if cell.sort is None else f' data-sort="{cell.sort!r}"'
    kind = f' class="{escape(cell.kind)}"' if cell.kind else ""
    title = f' title="{escape(cell.title)}"' if cell.title else ""
    return f"<td{sort}{kind}{title}>{escape(cell.text)}</td>"


def section(name: str, title: str, *parts: str) -> str:
    """A part of the page with a heading that the table of contents leads to; nothing where it has no parts."""
    inner = "".join(part for part in parts if part)
    return f'<section id="{escape(name)}"><h2>{escape(title)}</h2>{inner}</section>' if inner else ""


def paragraph(text: str, kind: str = "") -> str:
    """Some text."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def heading(text: str) -> str:
    """A heading inside a section."""
    return f"<h3>{escape(text)}</h3>"


def folded(title: str, inner: str) -> str:
    """What is open only on demand."""
    return f"<details><summary>{escape(title)}</summary>{inner}</details>" if inner else ""
