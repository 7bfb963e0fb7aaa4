"""Chairs: dining and office chairs, armchairs, stools."""

from types import SimpleNamespace

import numpy as np

from lit3d.synthesis.grammar.assembly import Assembly, Category
from lit3d.synthesis.grammar.attribute import choice, real
from lit3d.synthesis.grammar.bases import BASES, stretchers
from lit3d.synthesis.grammar.palette import COLOUR_ATTRIBUTES
from lit3d.synthesis.grammar.primitives import (
    Solid,
    arc,
    box,
    circle,
    cushion,
    front,
    level,
    loft,
    post,
    rounded_rectangle,
    slab,
    tube,
    wall,
)

ATTRIBUTES = (
    choice("legs", "what the seat stands on", straight=3, tapered=2, splayed=2, turned=1, star=2, pedestal=1,
           tulip=1, sled=2, cantilever=1.5, panels=1),
    choice("seat", "outline of the seat", square=3, round=2, trapezoid=2, soft=2),
    choice("back", "form of the back rest", solid=3, slats=2, spindles=2, frame=2, curved=2, oval=1.5, none=1),
    choice("top", "what ends the back rest above", plain=3, rail=2, pillow=1.5),
    choice("arms", "arm rests", none=4, open=2, closed=2),
    choice("arm_side", "which sides have arm rests (left is -x)", both=4, left=1, right=1),
    choice("tablet", "writing board at one side of a chair with a back", none=6, left=1, right=1),
    choice("stretcher", "bars between straight legs", none=3, box=1, h=1, front=1),
    choice("padding", "cushion on the seat", none=3, flat=1, thick=1),
    real("width", 0.34, 0.8, "width of the seat in m"),
    real("depth", 0.34, 0.72, "depth of the seat in m"),
    real("seat_height", 0.24, 0.72, "height of the seat in m"),
    real("seat_thickness", 0.02, 0.13, "thickness of the seat in m"),
    real("back_height", 0.2, 0.95, "height of the back rest above the seat in m"),
    real("back_tilt", 0.0, 22.0, "lean of the back rest in degrees"),
    real("leg_thickness", 0.022, 0.065, "thickness of a leg in m"),
    real("arm_height", 0.14, 0.28, "height of the arm rests above the seat in m"),
    *COLOUR_ATTRIBUTES,
)  # fmt: skip


def build(a: Assembly, p: SimpleNamespace) -> None:
    """Seat with its upper side at `seat_height`, the back at -z."""
    under = p.seat_height - p.seat_thickness
    fit = {"round": 0.36, "trapezoid": 0.41}.get(p.seat, 0.47)
    BASES[p.legs](a, fit * p.width, fit * p.depth, under + 0.005, p.leg_thickness)
    if p.legs in ("straight", "tapered", "turned"):
        inset = p.leg_thickness * (0.5 if p.legs == "straight" else 0.8)
        half_x, half_z = fit * p.width - inset, fit * p.depth - inset
        stretchers(a, p.stretcher, half_x, half_z, 0.4 * under, 0.5 * p.leg_thickness)
    _seat(a, p)
    back = Assembly()
    if p.back != "none":
        _back(back, p)
        _top(back, p)
    pivot = (0.0, p.seat_height, -p.depth / 2)
    for name, solid, colour in back.parts():
        a.add(name, solid.turned("x", -p.back_tilt, pivot), colour)
    _arms(a, p)
    _tablet(a, p)


def _outline(p: SimpleNamespace) -> np.ndarray:
    """The seat seen from above, (m, 2) in (x, z)."""
    w, d = p.width, p.depth
    if p.seat == "round":
        return circle(20) * np.array((w / 2, d / 2))
    if p.seat == "trapezoid":
        outline = rounded_rectangle(w, d, 0.03, 4)
        return outline * np.stack([0.86 + 0.28 * outline[:, 1] / d, np.ones(len(outline))], axis=-1)
    radius = 0.3 * min(w, d) if p.seat == "soft" else 0.03
    return rounded_rectangle(w, d, radius, 4)


def _seat(a: Assembly, p: SimpleNamespace) -> None:
    outline = _outline(p)
    a.add("seat", slab(outline, p.seat_height - p.seat_thickness, p.seat_height))
    if p.padding != "none":
        height = 0.03 if p.padding == "flat" else 0.09
        steps = ((0.9, -0.004), (0.9, 0.6 * height), (0.765, height))
        rings = [level(share * outline, p.seat_height + y) for share, y in steps]
        a.add("padding", loft(np.stack(rings)), "second")


def _curved_back(width: float, y0: float, y1: float, z: float, t: float) -> Solid:
    """An upright shell that wraps forwards at both sides."""
    outer, inner = (arc(r, 200, 340, 9) * (1.0, 0.8) + (0.0, 0.4 * width + z) for r in (width / 2, width / 2 - t))
    return wall(outer, inner, y0, y1)


def _back(a: Assembly, p: SimpleNamespace) -> None:
    """The upright back; the caller tilts it."""
    t = max(0.6 * p.leg_thickness, 0.02)
    y0, y1 = p.seat_height - 0.3 * p.seat_thickness, p.seat_height + p.back_height
    w, z, middle, h = 0.94 * p.width, -p.depth / 2 + t / 2, (y0 + y1) / 2, y1 - y0
    if p.seat == "trapezoid":
        w *= 0.75
    if p.back == "solid":
        a.add("back", box((0, middle, z), (w, h, max(t, 0.5 * p.seat_thickness))))
        return
    if p.back == "curved":
        a.add("back", _curved_back(w, y0, y1, -p.depth / 2, t))
        return
    if p.back == "oval":
        radius_y = 0.36 * h
        a.add("back", front(circle(20) * np.array((w / 2, radius_y)), 1.2 * t).moved(0, y1 - radius_y, z))
        a.pair("back posts", box((0.25 * w, y0 + 0.25 * h, z), (t, 0.5 * h, t)), "second")
        return
    a.pair("back posts", box((w / 2 - t / 2, middle, z), (t, h, t)), "second")
    a.add("back", box((0, y1 - t, z), (w - t, 2 * t, 0.8 * t)))
    if p.back == "slats":
        for y in np.linspace(y0 + 0.3 * h, y1 - 0.22 * h, 2 + int(h > 0.45)):
            a.add("back", box((0, y, z), (w - t, 0.13 * h, 0.5 * t)))
    if p.back == "spindles":
        for x in np.linspace(-0.36 * w, 0.36 * w, 5):
            a.add("back", tube([(x, y0, z), (x, y1 - t, z)], 0.5 * t))
    if p.back == "frame":
        a.add("back", box((0, y0 + 0.3 * h, z), (w - t, 1.5 * t, 0.8 * t)))


def _top(a: Assembly, p: SimpleNamespace) -> None:
    y, z = p.seat_height + p.back_height, -p.depth / 2 + 0.02
    if p.top == "rail":
        a.add("top rail", box((0, y, z), (1.05 * p.width, 0.06, 0.04)), "second")
    if p.top == "pillow":
        a.add("headrest", cushion((0, y - 0.02, z + 0.05), (0.6 * p.width, 0.15, 0.11)), "second")


def _arms(a: Assembly, p: SimpleNamespace) -> None:
    if p.arms == "none":
        return
    t, length, y = 0.045, 0.88 * p.depth, p.seat_height + p.arm_height
    fit = 0.45 if p.seat in ("round", "trapezoid") else 0.5
    for side in {"both": (-1, 1), "left": (-1,), "right": (1,)}[p.arm_side]:
        x, z = side * (fit * p.width - 0.01), -p.depth / 2 + length / 2
        if p.arms == "closed":
            under = p.seat_height - p.seat_thickness
            a.add("arms", box((x, (y + under) / 2, z), (0.08, y - under, length)))
            continue
        a.add("arms", box((x, y, z), (0.05, 0.03, length)), "second")
        foot = (x, p.seat_height - p.seat_thickness / 2, z + 0.3 * length)
        a.add("arm posts", post((x, y, z + 0.42 * length), foot, t, 0.8 * t), "second")
        if p.back in ("none", "oval"):
            a.add("arm posts", post((x, y, -0.4 * p.depth), (x, foot[1], -0.4 * p.depth), t, t), "second")


def _tablet(a: Assembly, p: SimpleNamespace) -> None:
    if p.tablet == "none" or p.back == "none":
        return
    side = -1 if p.tablet == "left" else 1
    x, y, z = side * 0.45 * p.width, p.seat_height + p.arm_height + 0.03, 0.15 * p.depth
    a.add("tablet posts", post((x, y, z), (x, p.seat_height - p.seat_thickness, z), 0.04, 0.04), "metal")
    outline = rounded_rectangle(0.3, 0.85 * p.depth, 0.08)
    a.add("tablet", slab(outline, y, y + 0.025).moved(x - side * 0.03, 0, z), "accent")


CHAIR = Category("chair", ATTRIBUTES, build)
