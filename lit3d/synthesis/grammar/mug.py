"""Mugs, cups, beakers and steins."""

from types import SimpleNamespace

import numpy as np

from lit3d.synthesis.grammar.assembly import Assembly, Category
from lit3d.synthesis.grammar.attribute import choice, integer, real
from lit3d.synthesis.grammar.palette import COLOUR_ATTRIBUTES
from lit3d.synthesis.grammar.primitives import Solid, circle, disc, ellipsoid, lathe, sweep, tube

# Outer radius at shares of the height, from foot to rim, in units of the largest radius.
BODIES = {
    "straight": (1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
    "cone": (0.6, 0.68, 0.76, 0.84, 0.92, 1.0),
    "barrel": (0.72, 0.9, 1.0, 1.0, 0.9, 0.76),
    "tulip": (0.5, 0.86, 0.96, 0.84, 0.8, 1.0),
    "bowl": (0.38, 0.72, 0.88, 0.95, 0.98, 1.0),
    "waist": (1.0, 0.84, 0.72, 0.7, 0.8, 0.95),
    "stein": (1.0, 0.92, 0.86, 0.8, 0.75, 0.72),
}
_SHARES = np.array((0.0, 0.16, 0.4, 0.62, 0.82, 1.0))

ATTRIBUTES = (
    choice("body", "outline of the body", **dict.fromkeys(BODIES, 1.0) | {"waist": 0.5}),
    choice("section", "the body seen from above", round=4, octagon=1, square=1),
    choice("handle", "form of the handle", ring=3, ear=2, square=2, hook=1.5, none=1),
    choice("second_handle", "another handle on the opposite side", no=4, yes=1),
    choice("foot", "what the body stands on", none=3, ring=1.5, stem=1.5),
    choice("lid", "what covers the rim", none=6, flat=0.7, dome=0.8, knob=0.8),
    choice("saucer", "plate below", none=3, plate=1.5, tray=0.8),
    choice("inside", "what stands inside", none=3, spoon=1, straw=1, full=1.5),
    choice("band", "raised band around the body", none=3, one=1, two=1),
    integer("handle_sides", 4, 9, "sides of the handle's section"),
    real("handle_angle", 0.0, 360.0, "direction of the handle in degrees from +x, counter-clockwise from above"),
    real("radius", 0.25, 0.8, "largest radius in units of the height"),
    real("wall", 0.04, 0.14, "thickness of the wall in units of the radius"),
    real("handle_reach", 0.2, 0.6, "how far the handle stands out, in units of the height"),
    real("handle_span", 0.35, 0.75, "height of the handle in units of the height"),
    real("handle_thickness", 0.05, 0.14, "thickness of the handle in units of the height"),
    real("foot_height", 0.06, 0.4, "height of the foot in units of the height"),
    real("saucer_radius", 1.3, 2.2, "radius of a saucer in units of the radius"),
    real("level", 0.3, 0.9, "how full it is, as a share of the height"),
    *COLOUR_ATTRIBUTES,
)  # fmt: skip


def build(a: Assembly, p: SimpleNamespace) -> None:
    """Body of height 1, turned so that the handle points along `handle_angle`."""
    parts = Assembly()
    foot = _foot(parts, p)
    _body(parts, p, foot)
    if p.handle != "none":
        parts.add("handle", _handle(p, foot), "second")
        if p.second_handle == "yes":
            parts.add("handle", _handle(p, foot).turned("y", 180), "second")
    _band(parts, p, foot)
    _lid(parts, p, foot)
    _saucer(parts, p)
    _inside(parts, p, foot)
    for name, solid, colour in parts.parts():
        a.add(name, solid.turned("y", p.handle_angle), colour)


def _radius(p: SimpleNamespace, share: float) -> float:
    """Outer radius of the body at a share of its height (apothem for a square or octagon)."""
    flat = {"round": 1.0, "octagon": np.cos(np.pi / 8), "square": np.sqrt(0.5)}[p.section]
    return float(p.radius * np.interp(share, _SHARES, BODIES[p.body])) * float(flat)


def _segments(p: SimpleNamespace) -> int:
    return {"round": 28, "octagon": 8, "square": 4}[p.section]


def _body(a: Assembly, p: SimpleNamespace, foot: float) -> None:
    """A hollow shell: up the outside, over the rim, down the inside; its bottom is closed."""
    outer = p.radius * np.array(BODIES[p.body])
    wall = p.wall * p.radius
    inner = np.stack([outer[:0:-1] - wall, _SHARES[:0:-1]], axis=-1)
    bottom = [(outer[0] - min(wall, 0.4 * outer[0]), min(1.2 * wall, 0.12)), (0.0, min(1.2 * wall, 0.12))]
    rim = [(outer[-1] - wall / 2, 1.0 + 0.3 * wall)]
    profile = np.concatenate([[(0.0, 0.0)], np.stack([outer, _SHARES], axis=-1), rim, inner, bottom])
    a.add("body", lathe(profile, _segments(p)).moved(0, foot, 0))


def _foot(a: Assembly, p: SimpleNamespace) -> float:
    """Adds the foot; returns its height."""
    r = _radius(p, 0.0)
    if p.foot == "ring":
        height = 0.35 * p.foot_height
        a.add("foot", disc((0, 0, 0), 0.8 * r, height + 0.01, 20), "second")
        return height
    if p.foot == "stem":
        height = p.foot_height
        profile = [(0.95 * r, 0), (0.9 * r, 0.1 * height), (0.3 * r, 0.45 * height), (0.7 * r, height + 0.01)]
        a.add("foot", lathe(profile, 20), "second")
        return height
    return 0.0


def _handle(p: SimpleNamespace, foot: float) -> Solid:
    """A bow at +x whose ends lie inside the wall."""
    low, high = 0.52 - p.handle_span / 2, 0.52 + p.handle_span / 2
    x0, x1 = _radius(p, low), _radius(p, high)
    depth, reach = 0.4 * p.wall * p.radius, p.handle_reach
    start, end = np.array((x1 - depth, high)), np.array((x0 - depth, low))
    if p.handle == "hook":
        path = np.array([start, (max(x0, x1) + reach, high - 0.02), (max(x0, x1) + 0.8 * reach, (low + high) / 2)])
        end = path[-1] - (0.1 * reach, 0.35 * p.handle_span)
        path = np.concatenate([path, [end]])
    elif p.handle == "square":
        x = max(x0, x1) + reach
        path = np.array([start, (x - 0.05, high), (x, high - 0.05), (x, low + 0.05), (x - 0.05, low), end])
    else:
        angle = np.radians(np.linspace(90, -90, 11))
        along = (1 - np.sin(angle))[:, None] / 2
        path = start + along * (end - start) + np.stack([np.cos(angle), np.zeros(11)], axis=-1) * reach
        if p.handle == "ear":
            path[:, 1] += 0.12 * np.cos(angle) * (1 + np.sin(angle))
    section = circle(p.handle_sides) * np.array((0.65, 0.45)) * p.handle_thickness
    space = np.stack([path[:, 0], path[:, 1] + foot, np.zeros(len(path))], axis=-1)
    return sweep(space, section)


def _band(a: Assembly, p: SimpleNamespace, foot: float) -> None:
    for share in {"none": (), "one": (0.5,), "two": (0.22, 0.78)}[p.band]:
        flat = {"round": 1.0, "octagon": np.cos(np.pi / 8), "square": np.sqrt(0.5)}[p.section]
        r, t = _radius(p, share) / flat, 0.035
        low, high = _radius(p, share - t) / flat, _radius(p, share + t) / flat
        profile = [(0.9 * r, share - t), (low + 0.03, share - t), (high + 0.03, share + t), (0.9 * r, share + t)]
        a.add("band", lathe(profile, _segments(p), closed=True).moved(0, foot, 0), "accent")


def _lid(a: Assembly, p: SimpleNamespace, foot: float) -> None:
    if p.lid == "none":
        return
    r, y = _radius(p, 1.0) * 1.06, foot + 0.985
    if p.lid == "dome":
        profile = [(r, 0), (r, 0.05), (0.85 * r, 0.3 * r), (0.5 * r, 0.5 * r), (0.0, 0.58 * r)]
        a.add("lid", lathe(profile, 24).moved(0, y, 0), "second")
    else:
        a.add("lid", disc((0, y, 0), r, 0.06, 24), "second")
    if p.lid == "knob":
        a.add("lid", ellipsoid((0, y + 0.12, 0), (0.1, 0.09, 0.1), 10, 6), "accent")


def _saucer(a: Assembly, p: SimpleNamespace) -> None:
    if p.saucer == "none":
        return
    r = p.saucer_radius * max(p.radius, 0.4) * (1.0 if p.saucer == "plate" else 0.9)
    if p.saucer == "plate":
        profile = [(0, -0.03), (0.6 * r, -0.03), (r, 0.09), (0.97 * r, 0.11), (0.6 * r, 0.01), (0, 0.01)]
        a.add("saucer", lathe(profile, 24), "second")
    else:
        a.add("saucer", lathe([(1.3 * r, -0.05), (1.35 * r, 0.02)], 4), "accent")


def _inside(a: Assembly, p: SimpleNamespace, foot: float) -> None:
    if p.lid != "none" or p.inside == "none":
        return
    if p.inside == "full":
        r = _radius(p, p.level) - 0.5 * p.wall * p.radius
        a.add("drink", disc((0, foot + p.level - 0.04, 0), r, 0.04, _segments(p)), "dark")
        return
    r = 0.6 * min(_radius(p, 0.2), _radius(p, 1.0))
    low, high = np.array((-0.9 * r, foot + 0.1, 0.2 * r)), np.array((0.8 * r, foot + 1.45, 0.3 * r))
    a.add(p.inside, tube([low, high], 0.07 if p.inside == "straw" else 0.05, 8), "metal")
    if p.inside == "spoon":
        a.add("spoon", ellipsoid(high, (0.08, 0.14, 0.04), 10, 6), "metal")


MUG = Category("mug", ATTRIBUTES, build)
