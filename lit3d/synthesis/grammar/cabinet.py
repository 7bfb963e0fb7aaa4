"""Cabinets: wardrobes, bookcases, chests of drawers, sideboards."""

from types import SimpleNamespace

import numpy as np

from lit3d.synthesis.grammar.assembly import Assembly, Category
from lit3d.synthesis.grammar.attribute import choice, integer, real
from lit3d.synthesis.grammar.bases import BASES
from lit3d.synthesis.grammar.palette import COLOUR_ATTRIBUTES
from lit3d.synthesis.grammar.primitives import board, box, cushion, disc, ellipsoid, front, lathe

ATTRIBUTES = (
    choice("fronts", "what closes the compartments", doors=2.5, drawers=2.5, open=3, mixed=2),
    choice("base", "what it stands on", plinth=2, straight=2, tapered=1.5, splayed=1.5, sled=1, frame=1, none=1.5),
    choice("crown", "what ends it above", none=2, plate=2, cornice=1.5, pediment=1, gallery=1),
    choice("handle", "handles of doors and drawers", knob=2, bar=2, none=1),
    choice("open_door", "which outer door stands open (left is -x)", none=2, left=1, right=1, both=1),
    choice("wing", "lower open shelf at one side", none=3, left=1, right=1),
    choice("hutch", "narrower second cabinet on top", none=3, shelves=1.2, closed=1),
    choice("on_top", "what stands on it", none=3, vase=1, box=1, books=1),
    choice("back", "back of open compartments", board=3, none=1),
    integer("columns", 1, 4, "compartments side by side"),
    integer("rows", 1, 5, "compartments above each other"),
    real("width", 0.4, 1.9, "width in m"),
    real("height", 0.4, 1.9, "height of the body in m"),
    real("depth", 0.2, 0.9, "depth in m"),
    real("base_height", 0.04, 0.35, "height of the base in m"),
    real("board", 0.018, 0.05, "thickness of the boards in m"),
    real("open_angle", 25.0, 115.0, "angle of an open door in degrees"),
    real("wing_width", 0.25, 0.8, "width of the side shelf in m"),
    real("hutch_height", 0.3, 0.9, "height of the second cabinet in m"),
    *COLOUR_ATTRIBUTES,
)  # fmt: skip


def build(a: Assembly, p: SimpleNamespace) -> None:
    """Body above the base, doors at +z."""
    floor = 0.0 if p.base == "none" else p.base_height
    if p.base != "none":
        BASES[p.base](a, 0.48 * p.width, 0.46 * p.depth, floor + 0.004, min(0.05, 0.12 * p.depth))
    _body(a, p, floor)
    top = floor + p.height
    _crown(a, p, top)
    if p.wing != "none":
        _wing(a, p, -1 if p.wing == "left" else 1)
    if p.hutch != "none":
        _hutch(a, p, top)
    elif p.crown in ("none", "plate"):
        _on_top(a, p, top)


def _body(a: Assembly, p: SimpleNamespace, floor: float) -> None:
    """Hollow where one can see in: open compartments and behind open doors; else a solid block."""
    column, row = p.width / p.columns, p.height / p.rows
    open_columns = _open_columns(p)
    kinds = np.array([[_kind(p, c, r, c in open_columns) for c in range(p.columns)] for r in range(p.rows)])
    if (kinds != "open").all():
        a.add("body", cushion((0, floor + p.height / 2, 0), (p.width, p.height, p.depth), 0.03))
    else:
        _boards(a, p, floor, kinds)
    for r in range(p.rows):
        for c in range(p.columns):
            x, y = -p.width / 2 + (c + 0.5) * column, floor + (r + 0.5) * row
            if kinds[r, c] == "drawer":
                a.add("drawers", box((x, y, p.depth / 2), (column - 0.03, row - 0.03, 0.04)), "second")
                _handle(a, p, x, y, 0.0, column)
    for c in range(p.columns):
        rows = np.flatnonzero(kinds[:, c] == "door")
        if c in open_columns:
            _open_door(a, p, c, floor)
        elif len(rows):
            y0, y1 = floor + rows[0] * row, floor + (rows[-1] + 1) * row
            x = -p.width / 2 + (c + 0.5) * column
            a.add("doors", box((x, (y0 + y1) / 2, p.depth / 2), (column - 0.025, y1 - y0 - 0.025, 0.04)), "second")
            _handle(a, p, x + 0.35 * column * (1 if c % 2 == 0 else -1), (y0 + y1) / 2, 0.12 * (y1 - y0), column)


def _open_columns(p: SimpleNamespace) -> set[int]:
    """Columns whose door stands open."""
    if p.fronts != "doors":
        return set()
    return {"none": set(), "left": {0}, "right": {p.columns - 1}, "both": {0, p.columns - 1}}[p.open_door]


def _kind(p: SimpleNamespace, column: int, row: int, opened: bool) -> str:
    """What closes a compartment: "open", "drawer" or "door"; rows count from the floor."""
    if p.fronts == "open" or opened:
        return "open"
    if p.fronts == "mixed":
        return ("drawer", "open", "door")[0 if row == 0 else 1 + column % 2]
    return "drawer" if p.fronts == "drawers" else "door"


def _boards(a: Assembly, p: SimpleNamespace, floor: float, kinds: np.ndarray) -> None:
    """Outer boards, partitions, and a solid filling in each closed compartment."""
    t, w, h, d, y = p.board, p.width, p.height, p.depth, floor + p.height / 2
    a.pair("body", board((w / 2 - t / 2, y, 0), (t, h, d), 0.005))
    for s in (-1, 1):
        a.add("body", box((0, y + s * (h - t) / 2, 0), (w, t, d)))
    if p.back == "board":
        a.add("back", box((0, y, -d / 2 + 0.01), (w - 0.01, h - 0.01, 0.015)), "accent")
    column, row = w / p.columns, h / p.rows
    for c in range(1, p.columns):
        a.add("partitions", box((-w / 2 + c * column, y, 0.005), (0.8 * t, h - t, d - 0.02)))
    for r in range(1, p.rows):
        a.add("shelves", box((0, floor + r * row, 0.005), (w - t, 0.8 * t, d - 0.02)))
    for r, c in zip(*np.nonzero(kinds != "open"), strict=True):
        centre = (-w / 2 + (c + 0.5) * column, floor + (r + 0.5) * row, 0)
        a.add("body", box(centre, (column - 0.004, row - 0.004, d - 0.004)))


def _handle(a: Assembly, p: SimpleNamespace, x: float, y: float, half_height: float, column: float) -> None:
    """A knob or a bar; bars stand upright where `half_height` > 0 (doors)."""
    z = p.depth / 2 + 0.03
    if p.handle == "knob":
        a.add("handles", ellipsoid((x, y, z), (0.022, 0.022, 0.025), 8, 5), "metal")
    if p.handle == "bar":
        size = (0.02, 2 * half_height, 0.04) if half_height else (0.4 * column, 0.02, 0.04)
        a.add("handles", box((x, y, z), size), "metal")


def _open_door(a: Assembly, p: SimpleNamespace, column: int, floor: float) -> None:
    """A door turned about its outer edge."""
    left = column == 0 and not (p.open_door == "right" and p.columns == 1)
    width = p.width / p.columns - 0.025
    edge = -p.width / 2 + 0.012 if left else p.width / 2 - 0.012
    centre = edge + (width / 2 if left else -width / 2)
    door = box((centre, floor + p.height / 2, p.depth / 2), (width, p.height - 0.025, 0.025))
    a.add("doors", door.turned("y", -p.open_angle if left else p.open_angle, (edge, 0, p.depth / 2)), "second")


def _crown(a: Assembly, p: SimpleNamespace, top: float) -> None:
    w, d = p.width, p.depth
    if p.crown == "plate":
        a.add("crown", box((0, top + 0.01, 0.01), (w + 0.06, 0.03, d + 0.06)), "accent")
    if p.hutch != "none":
        return
    if p.crown == "cornice":
        section = np.sqrt(0.5) * np.array([1.0, 1.06, 1.16, 1.16])
        lower = lathe(np.stack([section, [0, 0.03, 0.07, 0.1]], axis=-1), 4)
        a.add("crown", lower.scaled(w, 1.0, d).moved(0, top - 0.004, 0))
    if p.crown == "pediment":
        triangle = np.array([(-w / 2, 0.0), (w / 2, 0.0), (0.0, 0.15 + 0.12 * w)])
        a.add("crown", front(triangle, 0.06).moved(0, top - 0.004, d / 2 - 0.03), "accent")
    if p.crown == "gallery":
        h = 0.08 + 0.04 * p.height
        a.add("crown", box((0, top + h / 2 - 0.002, -d / 2 + 0.012), (w, h, 0.02)))
        a.pair("crown", box((w / 2 - 0.01, top + h / 2 - 0.002, 0), (0.018, h, d)))


def _wing(a: Assembly, p: SimpleNamespace, side: int) -> None:
    """An open shelf beside the body, half as high."""
    w, h, d, t = p.wing_width, 0.6 * p.height, 0.85 * p.depth, 0.025
    x = side * (p.width / 2 + w / 2 - 0.004)
    bottom = 0.0 if p.base == "none" else p.base_height
    a.add("wing", box((x + side * (w - t) / 2, (bottom + h) / 2, 0), (t, bottom + h, d)))
    for y in (bottom + t, bottom + h / 2, bottom + h - t / 2):
        a.add("wing", box((x, y, 0), (w, t, d)), "accent")


def _hutch(a: Assembly, p: SimpleNamespace, top: float) -> None:
    w, h, d, t = 0.92 * p.width, p.hutch_height, 0.55 * p.depth, 0.022
    z, y0 = -p.depth / 2 + d / 2 + 0.01, top - 0.004
    if p.hutch == "closed":
        a.add("hutch", box((0, y0 + h / 2, z), (w, h, d)))
        for k in range(p.columns):
            x = -w / 2 + (k + 0.5) * w / p.columns
            a.add("doors", box((x, y0 + h / 2, z + d / 2), (w / p.columns - 0.02, h - 0.04, 0.03)), "glass")
        return
    a.add("hutch", box((0, y0 + h / 2, z - d / 2), (w, h, t)), "accent")
    a.pair("hutch", box((w / 2, y0 + h / 2, z), (t, h, d)))
    for share in (0.5, 1.0):
        a.add("hutch", box((0, y0 + share * h - t / 2, z), (w, t, d)))


def _on_top(a: Assembly, p: SimpleNamespace, top: float) -> None:
    size, x = min(0.3 * p.width, 0.25), -0.25 * p.width
    if p.on_top == "vase":
        profile = [(0.25, 0), (0.5, 0.4), (0.45, 0.8), (0.2, 1.1), (0.3, 1.4)]
        a.add("vase", lathe(np.array(profile) * min(size, 0.7 * p.depth), 12).moved(x, top, 0), "accent")
    if p.on_top == "box":
        a.add("storage box", box((x, top + 0.3 * size, 0), (1.2 * size, 0.65 * size, 0.7 * p.depth)), "second")
    if p.on_top == "books":
        for k in range(4):
            book = (0.24 - 0.02 * k) * (0.6 + size)
            a.add("books", box((x + 0.035 * k, top + book / 2, 0), (0.03, book, 0.17)), ("second", "accent")[k % 2])
        a.add("books", disc((x + 0.18, top, 0), 0.04, 0.1, 10), "metal")


CABINET = Category("cabinet", ATTRIBUTES, build)
