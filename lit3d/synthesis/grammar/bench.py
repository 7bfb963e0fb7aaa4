"""Benches: park, garden, picnic and corner benches, settles with a chest."""

from types import SimpleNamespace

import numpy as np

from lit3d.synthesis.grammar.assembly import Assembly, Category
from lit3d.synthesis.grammar.attribute import choice, integer, real
from lit3d.synthesis.grammar.bases import BASES
from lit3d.synthesis.grammar.palette import COLOUR_ATTRIBUTES
from lit3d.synthesis.grammar.primitives import Solid, board, box, cushion, extrusion, lathe, post, sector, tube

ATTRIBUTES = (
    choice("form", "the bench seen from above", straight=4, curved=1.5, corner=2),
    choice("side", "end that a corner reaches forwards from (left is -x)", left=1, right=1),
    choice("seat", "what one sits on", slats=3, plank=2, logs=1.5, padded=1.5),
    choice("back", "form of the back", none=2, slats=2, panel=2, bars=2, frame=1),
    choice("legs", "what carries it", straight=2, splayed=1.5, panels=2, cross=1.5, trestle=1, blocks=1.5, sled=1,
           chest=1),
    choice("arms", "which ends have arm rests", none=3, both=2, left=1, right=1, middle=0.8),
    choice("end", "what stands at one end", none=3, planter_left=1, planter_right=1, table_left=0.8, table_right=0.8),
    choice("extra", "what belongs to it", none=3, picnic=1.3, roof=1, shelf=1),
    choice("cushion", "pad on the seat", none=3, whole=1, left=0.7, right=0.7),
    integer("boards", 3, 6, "boards of seat or back"),
    real("width", 0.75, 2.3, "width in m"),
    real("depth", 0.28, 0.7, "depth of the seat in m"),
    real("seat_height", 0.28, 0.62, "height of the seat in m"),
    real("thickness", 0.025, 0.12, "thickness of the seat in m"),
    real("back_height", 0.22, 0.8, "height of the back above the seat in m"),
    real("back_tilt", 0.0, 20.0, "lean of the back in degrees"),
    real("leg_thickness", 0.04, 0.14, "thickness of a leg in m"),
    real("bow", 30.0, 110.0, "angle that a curved bench spans in degrees"),
    real("reach", 0.4, 1.2, "how far a corner reaches forwards in m"),
    *COLOUR_ATTRIBUTES,
)  # fmt: skip


def build(a: Assembly, p: SimpleNamespace) -> None:
    """Seat with its upper side at `seat_height`, the back at -z."""
    if p.form == "curved":
        _curved(a, p)
    else:
        _straight(a, p)
        if p.form == "corner":
            _corner(a, p, -1 if p.side == "left" else 1)
    for side in {"both": (-1, 1), "left": (-1,), "right": (1,), "middle": (0,)}.get(p.arms, ()):
        _arm(a, p, side * (p.width / 2 - 0.03))
    if p.end != "none":
        _end(a, p, *p.end.split("_"))
    _extra(a, p)


def _straight(a: Assembly, p: SimpleNamespace) -> None:
    under = p.seat_height - p.thickness
    _seat(a, p)
    if p.legs == "blocks":
        a.pair(
            "legs",
            board((0.32 * p.width, under / 2 + 0.002, 0), (0.16 * p.width, under + 0.004, 0.9 * p.depth)),
            "metal",
        )
    elif p.legs == "chest":
        a.add("chest", board((0, under / 2 + 0.002, 0), (0.94 * p.width, under + 0.004, 0.9 * p.depth)), "second")
    else:
        BASES[p.legs](a, 0.46 * p.width, 0.46 * p.depth, under + 0.006, p.leg_thickness)
    back = Assembly()
    _back(back, p)
    for name, solid, colour in back.parts():
        a.add(name, solid.turned("x", -p.back_tilt, (0, p.seat_height, -p.depth / 2)), colour)
    if p.cushion != "none":
        share = {"whole": 0.0, "left": -0.27, "right": 0.27}[p.cushion]
        size = (0.96 * p.width if p.cushion == "whole" else 0.42 * p.width, 0.08, 0.9 * p.depth)
        a.add("cushion", cushion((share * p.width, p.seat_height + 0.035, 0), size), "accent")


def _seat(a: Assembly, p: SimpleNamespace) -> None:
    y, t = p.seat_height - p.thickness / 2, p.thickness
    if p.seat == "plank":
        a.add("seat", cushion((0, y, 0), (p.width, t, p.depth), 0.3))
    elif p.seat == "padded":
        a.add("seat", cushion((0, y, 0), (p.width, t + 0.03, p.depth), 0.7))
    else:
        step = p.depth / p.boards
        for k in range(p.boards):
            z = -p.depth / 2 + (k + 0.5) * step
            if p.seat == "slats":
                a.add("seat", box((0, y, z), (p.width, t, 0.78 * step)))
            else:
                size = max(t, 0.9 * step)
                ends = [(s * p.width / 2, p.seat_height - size / 2, z) for s in (-1, 1)]
                a.add("seat", tube(ends, size, 8))
        for share in (-0.4, 0.4):
            a.add("seat", box((share * p.width, y - 0.4 * t, 0), (0.07, 0.5 * t + 0.02, 0.96 * p.depth)), "second")


def _back(a: Assembly, p: SimpleNamespace) -> None:
    """The upright back; the caller tilts it."""
    if p.back == "none":
        return
    t, z, y0, h = 0.035, -p.depth / 2, p.seat_height - p.thickness, p.back_height + p.thickness
    if p.back == "panel":
        a.add("back", box((0, y0 + h / 2, z), (p.width, h, t)))
        return
    for share in (-0.45, 0.0, 0.45) if p.width > 1.5 else (-0.45, 0.45):
        a.add("back posts", box((share * p.width, y0 + h / 2, z), (0.06, h, 0.05)), "second")
    a.add("back", box((0, y0 + h - 0.03, z + 0.01), (p.width, 0.08, t)))
    if p.back == "slats":
        for y in np.linspace(y0 + p.thickness + 0.1, y0 + h - 0.13, max(1, p.boards - 2)):
            a.add("back", box((0, y, z + 0.03), (p.width, 0.5 * p.back_height / p.boards + 0.02, 0.7 * t)))
    if p.back == "bars":
        for x in np.linspace(-0.42, 0.42, 5 + 2 * p.boards) * p.width:
            a.add("back", tube([(x, y0, z), (x, y0 + h - 0.03, z)], 0.025, 5), "metal")
    if p.back == "frame":
        a.add("back", box((0, y0 + 0.45 * h, z + 0.01), (p.width, 0.05, t)))


def _curved(a: Assembly, p: SimpleNamespace) -> None:
    """Seat and back along an arc; the middle of the arc's chord keeps the width."""
    radius = p.width / (2 * np.sin(np.radians(p.bow / 2)))
    inner, under = max(radius - p.depth, 0.15 * radius), p.seat_height - p.thickness
    shift = (radius + inner) / 2
    strips = 1 if p.seat in ("plank", "padded") else p.boards
    step = (radius - inner) / strips
    for k in range(strips):
        outer = inner + (k + (1.0 if strips == 1 else 0.8)) * step
        a.add("seat", sector(inner + k * step, outer, p.bow, under, p.seat_height).moved(z=shift))
    for angle in np.linspace(-0.42, 0.42, 3) * p.bow:
        solid: Solid
        if p.legs in ("blocks", "chest", "panels"):
            solid = box((0, under / 2, -(radius + inner) / 2), (0.2, under + 0.006, 0.85 * (radius - inner)))
            a.add("legs", solid.turned("y", -angle).moved(z=shift), "second")
            continue
        for r in (inner + p.leg_thickness, radius - p.leg_thickness):
            solid = post((0, under + 0.006, -r), (0, 0, -r), p.leg_thickness, p.leg_thickness, 6)
            a.add("legs", solid.turned("y", -angle).moved(z=shift), "second")
        bar = box((0, under, -(radius + inner) / 2), (0.07, 0.5 * p.thickness, 0.96 * (radius - inner)))
        a.add("legs", bar.turned("y", -angle).moved(z=shift), "second")
    if p.back != "none":
        top, low = p.seat_height + p.back_height, p.seat_height - p.thickness
        low = low if p.back == "panel" else p.seat_height + 0.6 * p.back_height
        a.add("back", sector(radius - 0.03, radius + 0.01, p.bow, low, top).moved(z=shift))
        for angle in np.linspace(-0.47, 0.47, 7 if p.back == "bars" else 3) * p.bow:
            bar = post((0, top - 0.02, 0.01 - radius), (0, under - 0.01, 0.01 - radius), 0.05, 0.05)
            a.add("back posts", bar.turned("y", -angle).moved(z=shift), "second")


def _corner(a: Assembly, p: SimpleNamespace, side: int) -> None:
    """A second limb at a right angle, with the back outwards."""
    x, z = side * (p.width - p.depth) / 2, p.depth / 2 + p.reach / 2 - 0.005
    under = p.seat_height - p.thickness
    overlap = 0.4 * p.depth
    limb = (p.depth, p.thickness, p.reach + overlap)
    a.add("seat", box((x, p.seat_height - p.thickness / 2, z - overlap / 2), limb))
    if p.legs in ("blocks", "chest", "panels"):
        a.add(
            "legs",
            box((x, under / 2 + 0.002, z + 0.3 * p.reach), (0.8 * p.depth, under + 0.004, 0.35 * p.reach)),
            "second",
        )
    else:
        for dx in (-1, 1):
            top = (x + dx * (0.4 * p.depth), under + 0.004, z + 0.42 * p.reach)
            a.add("legs", post(top, (top[0], 0, top[2]), p.leg_thickness, 0.8 * p.leg_thickness), "second")
    if p.back in ("panel", "slats"):
        y = p.seat_height + 0.45 * p.back_height
        a.add(
            "back", box((x + side * p.depth / 2, y - 0.03, z - 0.1), (0.03, 0.9 * p.back_height + 0.06, p.reach + 0.2))
        )


def _arm(a: Assembly, p: SimpleNamespace, x: float) -> None:
    """A rest on two posts."""
    y, half = p.seat_height + 0.22, 0.42 * p.depth
    # A curved bench bends forwards at its ends.
    z = 0.0
    if p.form == "curved":
        radius = p.width / (2 * np.sin(np.radians(p.bow / 2)))
        inner = max(radius - p.depth, 0.15 * radius)
        angle = np.radians(p.bow / 2) * 0.93
        r = (radius + inner) / 2
        if x:
            x, z = np.sign(x) * r * np.sin(angle), r - r * np.cos(angle)
        half = 0.4 * (radius - inner)
    a.add("arms", box((x, y, z), (0.06, 0.04, 2.1 * half)), "accent")
    for dz in (-half, half):
        foot = (x, p.seat_height - p.thickness, z + dz * 0.8)
        a.add("arm posts", post((x, y, z + dz * 0.8), foot, 0.05, 0.05), "accent")


def _end(a: Assembly, p: SimpleNamespace, what: str, where: str) -> None:
    side = -1 if where == "left" else 1
    size, h = 0.8 * p.depth + 0.08, p.seat_height
    x, z = side * (p.width / 2 + size / 2 - 0.01), 0.0
    if p.form == "curved":
        angle = np.radians(p.bow / 2)
        radius = p.width / (2 * np.sin(angle))
        inner = max(radius - p.depth, 0.15 * radius)
        z = (radius + inner) / 2 * (1 - np.cos(angle))
        x = side * ((radius + inner) / 2 * np.sin(angle) + 0.35 * size)
    if what == "planter":
        a.add("planter", box((x, 0.6 * h, z), (size, 1.2 * h, size)), "second")
        bush = [(0, 0), (0.6, 0.1), (0.95, 0.5), (0.8, 1.0), (0, 1.3)]
        a.add("plant", lathe(np.array(bush) * (0.6 * size, 0.7 * size), 10).moved(x, 1.15 * h, z), "accent")
        return
    a.add("side table", box((x, h + 0.02, z), (size, 0.04, size)), "accent")
    a.add("side table", post((x, h, z), (x, 0, z), 0.1, 0.1, 6), "second")
    a.add("side table", box((x, 0.02, z), (0.7 * size, 0.04, 0.7 * size)), "second")


def _extra(a: Assembly, p: SimpleNamespace) -> None:
    if p.extra == "none" or p.form == "curved":
        return
    w, d, h = p.width, p.depth, p.seat_height
    if p.extra == "shelf":
        a.add("shelf", box((0, 0.3 * h, 0), (0.92 * w, 0.03, 0.8 * d)), "accent")
    if p.extra == "picnic" and p.form == "straight":
        z = d / 2 + 0.55
        a.add("table", box((0, 1.65 * h, z), (w, 0.05, 0.75)))
        for s in (-1, 1):
            a.add("table legs", box((s * 0.36 * w, 0.55 * h, z - 0.28), (0.08, 0.07, d + 0.75)), "second")
            a.add("table legs", box((s * 0.36 * w, 0.75 * h, 0), (0.08, 0.45 * h, 0.08)), "second")
            for lean in (-0.25, 0.25):
                top = (s * 0.36 * w + 0.06 * lean, 1.65 * h, z + 0.6 * lean)
                a.add("table legs", post(top, (top[0], 0, z - lean * 1.2), 0.08, 0.08), "second")
    if p.extra == "roof":
        top, t = h + 1.35, 0.07
        for s in (-1, 1):
            a.add("roof posts", box((s * (w / 2 - t), top / 2, -d / 2 - 0.02), (t, top, t)), "second")
        rear, nose = -d / 2 - 0.25, d / 2 + 0.3
        tilt = [(rear, top), (nose, top - 0.12), (nose, top - 0.06), (rear, top + 0.06)]
        a.add("roof", extrusion(np.array(tilt), w + 0.2), "accent")


BENCH = Category("bench", ATTRIBUTES, build)
