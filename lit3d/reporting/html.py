"""A report as one HTML file that needs nothing else: data, scripts and plotly's JavaScript inside."""

import json
from dataclasses import replace
from importlib import resources
from typing import Any

import numpy as np

from lit3d import __version__
from lit3d.metrics.point_sets import more_is_better
from lit3d.reporting import sections
from lit3d.reporting.contents import Contents, curve
from lit3d.reporting.free_points import sets_of
from lit3d.reporting.markup import escape, heading, paragraph, section
from lit3d.reporting.packing import Pool, floats
from lit3d.reporting.shapes import gallery
from lit3d.reporting.tables import Block
from lit3d.reporting.words import FAMILIES, head, main_metric

SCRIPTS = ("common.js", "tables.js", "charts.js", "images.js", "viewer.js", "gallery.js", "points.js")
# nothing may be loaded from anywhere: the page works offline, or not at all
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
PARTS = {"findings": "Findings", "varied": "Varied", "scores": "Scores", "categories": "Categories", "images": "Images",
         "gallery": "Gallery", "points": "Point sets", "curves": "Curves", "distributions": "Distributions",
         "failures": "Failures", "system": "System"}  # fmt: skip


def render(contents: Contents, title: str) -> str:
    """The whole page."""
    from plotly.offline import get_plotlyjs

    data, notes = page_data(contents)
    for i, run in enumerate(contents.runs):
        if run.name in notes:
            contents.runs[i] = replace(run, notes=(*run.notes, notes[run.name]))
    body = "".join(part for part in _body(contents, data))
    shown = [k for k in PARTS if f'<section id="{k}"' in body]
    menu = "".join(f'<a href="#{k}">{PARTS[k]}</a>' for k in shown)
    style, *scripts = (_asset(name) for name in ("style.css", *SCRIPTS))
    packed = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return "\n".join([
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{style}</style></head><body>",
        f"<header><h1>{escape(title)}</h1><nav>{menu}</nav></header><main>{body}</main>",
        f"<footer>lit3d {escape(__version__)}</footer>",
        f'<script type="application/json" id="data">{packed}</script>',
        f"<script>{get_plotlyjs()}</script>", *(f"<script>{text}</script>" for text in scripts), "</body></html>\n",
    ])  # fmt: skip


def _asset(name: str) -> str:
    return resources.files("lit3d.reporting").joinpath("page", name).read_text(encoding="utf-8")


def _body(contents: Contents, data: dict[str, Any]) -> list[str]:
    models, views = bool(contents.blocks), any(block["views"] for block in data["blocks"])
    scored = any(split["scores"] for block in data["blocks"] for split in block["splits"])
    families = [heading(f"{f.name}: {f.dimension}D") + sections.family_table(f)
                + f'<div class="family" data-family="{i}"></div>' for i, f in enumerate(contents.families)]  # fmt: skip
    return [
        *sections.static_parts(contents),
        section("images", "By image", '<div class="fill"></div>') if scored else "",
        section("gallery", "The same views across runs", '<div class="fill"></div>') if models and views else "",
        section("points", "Free point sets", *([paragraph(FAMILIES, "note"), *families] if families else [])),
        section("curves", "Learning curves", '<div class="fill"></div>') if data["curves"] else "",
        section("distributions", "Distributions over images", '<div class="fill"></div>') if scored else "",
        sections.failures(contents), sections.system(contents),
    ]  # fmt: skip


def page_data(contents: Contents) -> tuple[dict[str, Any], dict[str, str]]:
    """What the scripts read, and notes by run about what could not be drawn."""
    pool = Pool()
    notes: dict[str, str] = {}
    found: list[dict[str, Any]] = []
    for block in contents.blocks:
        views, wrong = gallery(contents.runs, contents.members(block), pool)
        notes |= wrong
        found.append(_block(contents, block) | {"views": views})
    sets = []
    for family in contents.families:
        shown, wrong = sets_of(family, contents.runs, pool)
        notes |= wrong
        sets.append(shown | {"name": family.name, "dimension": family.dimension, "runs": family.members})
    metrics = list(dict.fromkeys(m for block in contents.blocks for s in block.splits for m in s.metrics))
    names = list(dict.fromkeys(k for run in contents.runs for k in run.curves))
    return {
        "runs": [{"name": run.name, "setting": contents.setting_of(i), "seed": run.results.get("seed")}
                 for i, run in enumerate(contents.runs)],
        "settings": [s.label for s in contents.settings], "heads": {m: head(m) for m in metrics},
        "more": [m for m in metrics if more_is_better(m)], "blocks": found, "families": sets,
        "curves": {k: {str(i): curve(run, k) for i, run in enumerate(contents.runs) if k in run.curves} for k in names},
        "pool": pool.texts,
    }, notes  # fmt: skip


def _block(contents: Contents, block: Block) -> dict[str, Any]:
    """Scores of each run on each image; an image that a run was not scored on has NaN."""
    splits = []
    for split in block.splits:
        at = {key: i for i, key in enumerate(split.samples)}
        scores: dict[str, dict[str, str]] = {}
        for i in contents.members(block):
            run = contents.runs[i]
            mine = [(k, at[s[1:]]) for k, s in enumerate(run.samples) if s[0] == split.name]
            if mine:
                own = {m: v for m, v in run.scores.items() if m in split.metrics}
                scores[str(i)] = {m: floats(_spread(v, mine, len(at))) for m, v in own.items()}
        objects, categories, views = zip(*split.samples, strict=True) if split.samples else ((), (), ())
        splits.append({"name": split.name, "metrics": split.metrics, "main": main_metric(split), "objects": objects,
                       "categories": categories, "views": views, "scores": scores})  # fmt: skip
    return {"title": block.title, "settings": block.settings, "baseline": block.baseline,
            "runs": contents.members(block), "splits": splits}  # fmt: skip


def _spread(values: np.ndarray, mine: list[tuple[int, int]], count: int) -> np.ndarray:
    """Scores in the order of a split's images."""
    spread = np.full(count, np.nan)
    sources, places = zip(*mine, strict=True)
    spread[list(places)] = values[list(sources)]
    return spread
