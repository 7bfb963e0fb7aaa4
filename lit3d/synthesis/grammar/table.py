"""Tables and desks."""

from types import SimpleNamespace

import numpy as np

from lit3d.synthesis.grammar.assembly import Assembly, Category
from lit3d.synthesis.grammar.attribute import choice, integer, real
from lit3d.synthesis.grammar.bases import BASES, stretchers
from lit3d.synthesis.grammar.palette import COLOUR_ATTRIBUTES
from lit3d.synthesis.grammar.primitives import arc, box, circle, rounded_rectangle, slab

ATTRIBUTES = (
    choice("base", "what the top stands on", straight=3, tapered=2, splayed=1, turned=2, hairpin=1, pedestal=2,
           tulip=1, sled=1, panels=2, cross=1.5, trestle=1.5, frame=1),
    choice("top", "outline of the top", rectangle=4, rounded=2, ellipse=2, octagon=1, half_round=1, corner=1.5),
    choice("corner_side", "side to which a corner top reaches forwards (left is -x)", left=1, right=1),
    choice("drawers", "chest of drawers under the top", none=3, left=1.3, right=1.3, both=1),
    choice("shelf", "board below the top", none=3, low=1, middle=1),
    choice("apron", "boards under the edge of the top", none=2, thin=2, deep=1),
    choice("screen", "board between the legs at the back", none=3, half=1, full=1),
    choice("riser", "shelf that stands on the top", none=4, left=1, right=1, back=1.5),
    choice("stretcher", "bars between straight legs", none=3, box=1, h=1),
    integer("drawer_count", 2, 5, "drawers in a chest"),
    real("width", 0.5, 2.1, "width of the top in m"),
    real("depth", 0.4, 1.2, "depth of the top in m"),
    real("height", 0.3, 1.1, "height of the top in m"),
    real("top_thickness", 0.02, 0.1, "thickness of the top in m"),
    real("leg_thickness", 0.03, 0.12, "thickness of a leg in m"),
    real("inset", 0.0, 0.16, "how far the legs stand in from the edge, as a share of width and depth"),
    real("riser_height", 0.15, 0.5, "height of the shelf on the top in m"),
    *COLOUR_ATTRIBUTES,
)  # fmt: skip


def build(a: Assembly, p: SimpleNamespace) -> None:
    """Top with its upper side at `height`, the user sits at +z."""
    under = p.height - p.top_thickness
    a.add("top", slab(_outline(p), under, p.height))
    fit = 0.72 if p.top in ("ellipse", "half_round") else 0.98
    half_x, half_z = p.width * (0.5 - p.inset) * fit, p.depth * (0.5 - p.inset) * fit
    BASES[p.base](a, half_x, half_z, under + 0.004, p.leg_thickness)
    if p.base in ("straight", "tapered", "turned"):
        t = p.leg_thickness
        stretchers(a, p.stretcher, half_x - t / 2, half_z - t / 2, 0.2 * under, 0.5 * t)
    if p.top == "corner":
        _wing(a, p, under)
    _drawers(a, p, under, half_x, half_z)
    _boards(a, p, under, half_x, half_z)
    _riser(a, p)


def _outline(p: SimpleNamespace) -> np.ndarray:
    """The top seen from above, (m, 2) in (x, z)."""
    w, d = p.width, p.depth
    if p.top == "ellipse":
        return circle(28) * np.array((w / 2, d / 2))
    if p.top == "octagon":
        return rounded_rectangle(w, d, 0.3 * min(w, d), 3)
    if p.top == "half_round":
        return arc(1.0, 0, 180, 17) * np.array((w / 2, d)) - np.array((0.0, d / 2))
    return rounded_rectangle(w, d, 0.2 * d if p.top == "rounded" else 0.01, 6)


def _wing(a: Assembly, p: SimpleNamespace, under: float) -> None:
    """The second limb of a corner table, at one side towards the user."""
    side = -1 if p.corner_side == "left" else 1
    limb, reach = min(0.45 * p.width, 0.6), 0.4 * p.width + 0.2
    x, z = side * (p.width - limb) / 2, p.depth / 2 + reach / 2 - 0.01
    a.add("top", box((x, p.height - p.top_thickness / 2, z), (limb, 0.98 * p.top_thickness, reach)))
    t = p.leg_thickness
    for dx in (-1, 1):
        leg = (x + dx * (limb / 2 - t), under / 2, z + reach / 2 - t)
        a.add("legs", box(leg, (t, under, t)), "second")


def _drawers(a: Assembly, p: SimpleNamespace, under: float, half_x: float, half_z: float) -> None:
    sides = {"none": (), "left": (-1,), "right": (1,), "both": (-1, 1)}[p.drawers]
    width, height = 0.52 * half_x, under * 0.82
    for side in sides:
        x = side * (half_x - width / 2)
        a.add("drawers", box((x, under - height / 2, 0), (width, height, 1.8 * half_z)))
        step = height / p.drawer_count
        for k in range(p.drawer_count):
            y = under - (k + 0.5) * step
            a.add("drawer fronts", box((x, y, 0.9 * half_z), (0.9 * width, 0.86 * step, 0.03)), "second")
            a.add("handles", box((x, y, 0.9 * half_z + 0.025), (0.3 * width, 0.02, 0.025)), "metal")


def _boards(a: Assembly, p: SimpleNamespace, under: float, half_x: float, half_z: float) -> None:
    """Apron, lower shelf and the screen at the back."""
    single = p.base in ("pedestal", "tulip")
    if p.apron != "none" and not single:
        height = (0.06 if p.apron == "thin" else 0.16) * min(1.0, under)
        for s in (-1, 1):
            a.add("apron", box((0, under - height / 2, s * (half_z - 0.03)), (2 * half_x - 0.04, height, 0.02)))
            a.add("apron", box((s * (half_x - 0.03), under - height / 2, 0), (0.02, height, 2 * half_z - 0.04)))
    if p.shelf != "none" and not single:
        y = under * (0.2 if p.shelf == "low" else 0.5)
        a.add("shelf", box((0, y, 0), (2 * half_x - 0.01, 0.025, 1.9 * half_z)), "accent")
    if p.screen != "none" and not single:
        height = under * (0.45 if p.screen == "half" else 0.92)
        a.add("screen", box((0, under - height / 2, -half_z + 0.03), (2 * half_x - 0.02, height, 0.025)))


def _riser(a: Assembly, p: SimpleNamespace) -> None:
    if p.riser == "none":
        return
    fit = 0.6 if p.top in ("ellipse", "half_round") else 0.96
    w, d, t = p.width * fit, 0.26 * p.depth * fit, 0.025
    if p.riser == "back":
        x, z = 0.0, -0.5 * p.depth * fit + d / 2
    else:
        x, z = (-0.3 if p.riser == "left" else 0.3) * w, 0.0
        w, d = 0.35 * w, 0.7 * p.depth * fit
    top = p.height + p.riser_height
    a.add("riser", box((x, top, z), (w, t, d)), "accent")
    for dx in (-1, 0, 1) if p.riser == "back" else (-1, 1):
        a.add("riser", box((x + dx * (w / 2 - t), p.height + p.riser_height / 2, z), (t, p.riser_height, d)), "accent")


TABLE = Category("table", ATTRIBUTES, build)
