"""What furniture stands on: styles shared by chairs, tables, sofas, beds, cabinets and benches.

Every style fills the space from the floor (y = 0) to `height`, within [-half_x, half_x] x [-half_z, half_z].
"""

from collections.abc import Callable
from itertools import product

import numpy as np

from lit3d.synthesis.grammar.assembly import Assembly
from lit3d.synthesis.grammar.primitives import (
    arc,
    beam,
    board,
    box,
    disc,
    ellipsoid,
    lathe,
    post,
    rounded_rectangle,
    slab,
    tube,
)

SIGNS = tuple(product((-1, 1), (-1, 1)))


def straight(a: Assembly, half_x: float, half_z: float, height: float, t: float) -> None:
    """Four square legs at the corners."""
    for sx, sz in SIGNS:
        leg = slab(rounded_rectangle(t, t, 0.15 * t, 2), 0, height)
        a.add("legs", leg.moved(sx * (half_x - t / 2), 0, sz * (half_z - t / 2)), "second")


def tapered(a: Assembly, half_x: float, half_z: float, height: float, t: float) -> None:
    """Four legs that get thinner towards the floor."""
    for sx, sz in SIGNS:
        x, z = sx * (half_x - t * 0.75), sz * (half_z - t * 0.75)
        a.add("legs", post((x, height, z), (x, 0, z), 1.5 * t, 0.6 * t), "second")


def splayed(a: Assembly, half_x: float, half_z: float, height: float, t: float) -> None:
    """Four round legs that lean outwards."""
    lean = min(0.3 * height, 0.35 * half_x, 0.35 * half_z)
    for sx, sz in SIGNS:
        top = (sx * (half_x - lean), height, sz * (half_z - lean))
        a.add("legs", post(top, (sx * half_x, 0, sz * half_z), 1.4 * t, 0.7 * t, sides=8), "second")


def turned(a: Assembly, half_x: float, half_z: float, height: float, t: float) -> None:
    """Four legs from a lathe, with bulges."""
    radius = t * np.array([0.35, 0.5, 0.3, 0.75, 0.85, 0.4, 0.7, 0.7])
    profile = np.stack([radius, height * np.array([0, 0.08, 0.16, 0.45, 0.62, 0.76, 0.8, 1.0])], axis=-1)
    for sx, sz in SIGNS:
        a.add("legs", lathe(profile, 8).moved(sx * (half_x - 0.85 * t), 0, sz * (half_z - 0.85 * t)), "second")


def hairpin(a: Assembly, half_x: float, half_z: float, height: float, t: float) -> None:
    """Four bent wires."""
    for sx, sz in SIGNS:
        foot = np.array((sx * (half_x - 0.3 * t), 0.25 * t, sz * (half_z - 0.3 * t)))
        inner = (min(4 * t, 0.8 * half_x), min(4 * t, 0.8 * half_z))
        for dx, dz in ((inner[0], 0.0), (0.0, inner[1])):
            a.add("legs", tube(np.array([foot, (foot[0] - sx * dx, height, foot[2] - sz * dz)]), 0.5 * t), "dark")


def star(a: Assembly, half_x: float, half_z: float, height: float, t: float) -> None:
    """A column on a star of five feet with castors."""
    reach, castor = 0.95 * min(half_x, half_z), min(0.6 * t, 0.08 * height)
    a.add("legs", disc((0, 2.2 * castor, 0), 0.6 * t, height - 2.2 * castor, 10), "metal")
    for k in range(5):
        x, z = arc(reach, 72 * k + 90, 72 * k + 90, 1)[0]
        a.add("legs", beam((0, 3 * castor, 0), (x, 2.2 * castor, z), t, 1.2 * castor), "dark")
        a.add("legs", ellipsoid((x, castor, z), (castor,) * 3, 8, 5), "dark")


def pedestal(a: Assembly, half_x: float, half_z: float, height: float, t: float) -> None:
    """A column on a round foot plate."""
    foot, plate = 0.85 * min(half_x, half_z), min(0.06 * height + 0.2 * t, 0.2 * height)
    profile = [(foot, 0), (foot, plate / 2), (1.4 * t, plate), (0.8 * t, 0.2 * height + plate), (0.8 * t, height)]
    a.add("legs", lathe(profile, 16), "metal")


def tulip(a: Assembly, half_x: float, half_z: float, height: float, t: float) -> None:
    """One flared foot, wide at the floor and under the top."""
    foot = 0.8 * min(half_x, half_z)
    radius = np.array([1, 0.97, 0.6, 0.3, 0.2, 0.24, 0.55]) * (foot - 0.6 * t) + 0.6 * t
    heights = height * np.array([0, 0.02, 0.07, 0.18, 0.5, 0.8, 1])
    a.add("legs", lathe(np.stack([radius, heights], axis=-1), 16), "white")


def sled(a: Assembly, half_x: float, half_z: float, height: float, t: float) -> None:
    """A bent frame at each side that runs along the floor."""
    x, z, r = half_x - t / 2, half_z - t / 2, t / 2
    path = [(x, height, z), (x, r, z), (x, r, -z), (x, height, -z)]
    a.pair("legs", tube(path, t, 4), "metal")


def cantilever(a: Assembly, half_x: float, half_z: float, height: float, t: float) -> None:
    """Front legs and floor runners only; the rear edge hangs free."""
    x, z, r, bend = half_x - t / 2, half_z - t / 2, t / 2, min(0.15 * height, 0.3 * half_z)
    corner = [(x, r + bend - dy, z - bend + dz) for dz, dy in arc(bend, 0, 90, 4)]
    a.pair("legs", tube([(x, height, z), *corner, (x, r, -z)], t, 8), "metal")
    a.add("legs", tube([(-x, r, -z), (x, r, -z)], t, 8), "metal")


def panels(a: Assembly, half_x: float, half_z: float, height: float, t: float) -> None:
    """A full board at each side."""
    a.pair("legs", board((half_x - t / 2, height / 2, 0), (t, height, 2 * half_z)), "second")


def cross(a: Assembly, half_x: float, half_z: float, height: float, t: float) -> None:
    """Two crossed bars at each side and a stretcher between the crossings."""
    for side in (-1, 1):
        x = side * (half_x - t)
        for sz, shift in ((-1, -0.2 * t), (1, 0.2 * t)):
            top, foot = (x + shift, height, -sz * (half_z - t / 2)), (x + shift, 0, sz * (half_z - t / 2))
            a.add("legs", post(top, foot, 1.1 * t, 1.1 * t), "second")
    a.add("stretchers", box((0, height / 2, 0), (2 * half_x - 2 * t, 0.8 * t, 0.8 * t)), "second")


def trestle(a: Assembly, half_x: float, half_z: float, height: float, t: float) -> None:
    """A post on a foot beam near each side and a stretcher between them."""
    x, foot = 0.72 * half_x, min(1.2 * t, 0.3 * height)
    a.pair("legs", box((x, foot / 2, 0), (1.2 * t, foot, 1.9 * half_z)), "second")
    a.pair("legs", box((x, height / 2, 0), (1.1 * t, height, min(2.5 * t, half_z))), "second")
    a.add("stretchers", box((0, 0.4 * height, 0), (2 * x, 1.2 * t, 0.6 * t)), "second")


def plinth(a: Assembly, half_x: float, half_z: float, height: float, t: float) -> None:
    """A closed foot set back from the edges."""
    a.add("legs", box((0, height / 2, 0), (2 * half_x - t, height, 2 * half_z - t)), "dark")


def frame(a: Assembly, half_x: float, half_z: float, height: float, t: float) -> None:
    """Four square legs, joined in a ring at the floor."""
    straight(a, half_x, half_z, height, t)
    x, z, bar = half_x - t / 2, half_z - t / 2, 0.8 * t
    for s in (-1, 1):
        a.add("stretchers", box((0, t / 2, s * z), (2 * x, bar, bar)), "second")
        a.add("stretchers", box((s * x, t / 2, 0), (bar, bar, 2 * z)), "second")


BASES: dict[str, Callable[[Assembly, float, float, float, float], None]] = {
    style.__name__: style
    for style in (
        straight, tapered, splayed, turned, hairpin, star, pedestal, tulip, sled, cantilever, panels, cross, trestle,
        plinth, frame,
    )
}  # fmt: skip


def stretchers(a: Assembly, style: str, half_x: float, half_z: float, y: float, t: float) -> None:
    """Bars between legs at height y: "none", "box" (a ring), "h" (two sides and a middle) or "front"."""
    if style in ("box", "h"):
        a.pair("stretchers", box((half_x, y, 0), (t, t, 2 * half_z)), "second")
    if style == "box":
        for s in (-1, 1):
            a.add("stretchers", box((0, y, s * half_z), (2 * half_x, t, t)), "second")
    if style == "h":
        a.add("stretchers", box((0, y, 0), (2 * half_x, t, t)), "second")
    if style == "front":
        a.add("stretchers", box((0, y, half_z), (2 * half_x, t, t)), "second")
