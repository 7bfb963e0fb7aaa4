"""Lamps: table, floor, desk, arc, pendant and chandelier."""

from types import SimpleNamespace

import numpy as np

from lit3d.synthesis.grammar.assembly import Assembly, Category
from lit3d.synthesis.grammar.attribute import choice, integer, real
from lit3d.synthesis.grammar.palette import COLOUR_ATTRIBUTES
from lit3d.synthesis.grammar.primitives import Solid, arc, box, disc, ellipsoid, lathe, post, torus, tube

ATTRIBUTES = (
    choice("kind", "how the light is carried", table=3, floor=2.5, desk=2, arc=1.5, pendant=2, chandelier=2),
    choice("shade", "form of the shade", cone=3, drum=2.5, dome=2, globe=1.5, bell=1.5, square=1.5),
    choice("base", "what it stands on or hangs from", disc=2, square=1.5, dome=1.5, tripod=1.5, block=1),
    choice("body", "what the stem of a table or floor lamp is", rod=2, urn=2, beads=1.5, square=1, twin=1),
    choice("rings", "ring around the shade or the arms", none=3, one=1, two=0.7),
    choice("extra", "second light or tray at the stem (left is -x)", none=3, left=1, right=1, tray=1),
    choice("finial", "what ends the shade", none=2, ball=1, rod=1),
    integer("arms", 3, 8, "arms of a chandelier"),
    real("height", 0.5, 1.7, "height of the stem in units of a shade of middle size"),
    real("shade_radius", 0.2, 0.6, "largest radius of the shade"),
    real("shade_height", 0.2, 0.75, "height of the shade"),
    real("shade_top", 0.2, 0.8, "upper radius of a cone or square shade, as a share of the lower"),
    real("base_radius", 0.16, 0.48, "radius of the base"),
    real("stem", 0.025, 0.07, "thickness of the stem"),
    real("bulge", 0.1, 0.34, "radius of an urn or of beads"),
    real("reach", 0.4, 1.3, "how far an arm or an arc reaches"),
    real("bend", 20.0, 70.0, "angle of the lower arm of a desk lamp above the floor in degrees"),
    real("turn", -70.0, 70.0, "direction of arm or arc about the vertical in degrees, 0 is to the right"),
    *COLOUR_ATTRIBUTES,
)  # fmt: skip


def build(a: Assembly, p: SimpleNamespace) -> None:
    """The base at y = 0, except for hanging lamps, whose ceiling plate is at y = 0."""
    kinds = {"desk": _desk, "arc": _arc, "pendant": _pendant, "chandelier": _chandelier}
    kinds.get(p.kind, _standing)(a, p)


def _shade(p: SimpleNamespace, scale: float = 1.0, segments: int = 20) -> Solid:
    """A hollow shade, open below, whose lower rim is at y = 0."""
    r, h, t = p.shade_radius * scale, p.shade_height * scale, 0.02 * scale
    top = p.shade_top
    outer = {
        "cone": [(1, 0), (top, 1)],
        "drum": [(1, 0), (1, 1)],
        "dome": [(1, 0), (0.95, 0.35), (0.78, 0.65), (0.45, 0.9), (0.15, 1)],
        "bell": [(1, 0), (0.72, 0.2), (0.58, 0.5), (0.48, 0.8), (0.25, 1)],
        "globe": [(0.5, 0), (0.87, 0.2), (1, 0.5), (0.87, 0.8), (0.3, 1)],
        "square": [(1.2, 0), (1.2 * top, 1)],
    }[p.shade]
    profile = np.array(outer) * (r, h)
    inner = profile - (t, 0.0)
    inner[-1, 1] -= t
    inner[:, 0] = np.maximum(inner[:, 0], 0.3 * profile[:, 0])
    shell = np.concatenate([[(0.0, h - t)], inner[::-1], profile, [(0.0, h)]])
    return lathe(shell, 4 if p.shade == "square" else segments)


def _light(a: Assembly, p: SimpleNamespace, x: float, y: float, z: float, scale: float = 1.0) -> None:
    """Shade and bulb; (x, y, z) is the middle of the shade's lower rim."""
    a.add("shade", _shade(p, scale).moved(x, y, z), "main")
    h, r = p.shade_height * scale, 0.3 * p.shade_radius * scale
    a.add("bulb", ellipsoid((x, y + 0.4 * h, z), (r, 0.35 * h, r), 8, 5), "glow")
    a.add("socket", disc((x, y + 0.6 * h, z), 0.03, 0.4 * h, 8), "brass")


def _base(a: Assembly, p: SimpleNamespace) -> None:
    r = p.base_radius
    if p.base == "disc":
        a.add("base", disc((0, 0, 0), r, 0.05, 20), "second")
    elif p.base == "square":
        a.add("base", box((0, 0.035, 0), (1.6 * r, 0.07, 1.6 * r)), "second")
    elif p.base == "dome":
        a.add("base", lathe([(r, 0), (0.95 * r, 0.06), (0.6 * r, 0.13), (0.0, 0.17)], 20), "second")
    elif p.base == "block":
        a.add("base", box((0, 0.12, 0), (0.9 * r, 0.24, 0.9 * r)), "second")
    else:
        for k in range(3):
            x, z = arc(1.3 * r, 120 * k + 30, 120 * k + 30, 1)[0]
            a.add("base", post((0.06 * x, 0.35, 0.06 * z), (x, 0, z), 0.06, 0.04, 6), "second")


def _standing(a: Assembly, p: SimpleNamespace) -> None:
    """Table or floor lamp: the stem carries one shade (and one light more at a side)."""
    floor = p.kind == "floor"
    height = (1.4 + 0.9 * p.height) if floor else 0.35 + 0.45 * p.height
    _base(a, p)
    _stem(a, p, height)
    rim = height - 0.75 * p.shade_height
    _light(a, p, 0, rim, 0)
    top = rim + p.shade_height
    if p.finial == "ball":
        a.add("finial", ellipsoid((0, top + 0.05, 0), (0.05, 0.06, 0.05), 8, 6), "brass")
    if p.finial == "rod":
        a.add("finial", disc((0, top - 0.05, 0), 0.02, 0.2, 8), "brass")
    for k in range({"none": 0, "one": 1, "two": 2}[p.rings]):
        y, share = rim + (0.02 if k == 0 else 0.12 * p.shade_height), 1.06 if p.shade != "globe" else 0.75
        a.add("rings", torus((0, y, 0), share * p.shade_radius, 0.035, 20), "accent")
    _extra(a, p, height)


def _stem(a: Assembly, p: SimpleNamespace, height: float) -> None:
    t, y0 = p.stem, 0.03 if p.base != "tripod" else 0.3
    if p.body == "twin":
        a.pair("stem", disc((0.07, y0, 0), t / 2, 0.7 * height - y0, 8), "metal")
        a.add("stem", box((0, 0.7 * height, 0), (0.2, 0.05, 0.06)), "metal")
        a.add("stem", disc((0, 0.68 * height, 0), t / 2, 0.32 * height, 8), "metal")
        return
    if p.body == "square":
        a.add("stem", box((0, (y0 + height) / 2, 0), (1.6 * t, height - y0, 1.6 * t)), "second")
        return
    a.add("stem", disc((0, y0, 0), t / 2, height - y0, 8), "metal")
    body = 0.6 * height
    if p.body == "urn":
        share = np.array([(0.4, 0), (0.8, 0.2), (1, 0.45), (0.85, 0.7), (0.4, 0.9), (0.3, 1)])
        a.add("body", lathe(share * (p.bulge, body - y0), 18).moved(0, y0, 0), "accent")
    if p.body == "beads":
        count = 3
        radius = (body - y0) / (2 * count)
        for k in range(count):
            r = min(p.bulge, 2.0 * radius)
            a.add("body", ellipsoid((0, y0 + (2 * k + 1) * radius, 0), (r, 1.05 * radius, r), 12, 7), "accent")


def _extra(a: Assembly, p: SimpleNamespace, height: float) -> None:
    if p.extra == "none":
        return
    y = 0.42 * height
    if p.extra == "tray":
        a.add("tray", disc((0, y, 0), 0.3 + 0.2 * p.base_radius, 0.03, 20), "accent")
        return
    side = -1 if p.extra == "left" else 1
    scale = 0.45
    x = side * (0.25 + 0.25 * p.reach)
    a.add("arm", tube([(0, y, 0), (0.7 * x, y - 0.05, 0), (x, y + 0.12, 0)], 0.035), "metal")
    _light(a, p, x, y + 0.12 - 0.8 * scale * p.shade_height, 0, scale)


def _desk(a: Assembly, p: SimpleNamespace) -> None:
    """Two straight arms with joints; the shade hangs tilted from the end."""
    _base(a, p)
    parts, t = Assembly(), p.stem
    length, low = 0.5 * p.height + 0.3, np.radians(p.bend)
    foot = np.array((0.0, 0.04 if p.base != "block" else 0.2, 0.0))
    if p.base == "tripod":
        foot[1] = 0.3
    elbow = foot + length * np.array((-np.cos(low), np.sin(low) + 0.3, 0)) * 0.8
    wrist = elbow + p.reach * np.array((0.9, 0.35, 0))
    for dz in (-0.03, 0.03) if p.body == "twin" else (0.0,):
        for start, end in ((foot, elbow), (elbow, wrist)):
            parts.add("arm", tube([start, end], 0.8 * t, 8).moved(z=dz), "metal")
    for joint in (foot, elbow, wrist):
        parts.add("joints", ellipsoid(joint, (0.9 * t,) * 3, 8, 6), "dark")
    head = Assembly()
    _light(head, p, wrist[0], wrist[1] - 0.75 * p.shade_height * 0.6, 0, 0.6)
    for name, solid, colour in head.parts():
        parts.add(name, solid.turned("z", 0.5 * p.bend, wrist), colour)
    for name, solid, colour in parts.parts():
        a.add(name, solid.turned("y", p.turn), colour)


def _arc(a: Assembly, p: SimpleNamespace) -> None:
    """A bow from the base over to a hanging shade."""
    _base(a, p)
    height = 1.0 + p.height
    bow = arc(1.0, 180, 20, 12) * (p.reach, 0.45 * height) + (p.reach, 0.55 * height)
    path = np.concatenate([[(0.0, 0.03)], bow])
    space = np.stack([path[:, 0], path[:, 1], np.zeros(len(path))], axis=-1)
    parts = Assembly()
    parts.add("stem", tube(space, p.stem, 8), "metal")
    end = space[-1]
    cord = 0.08 + 0.5 * p.shade_height
    parts.add("cord", tube([end, end - (0, cord, 0)], 0.02), "dark")
    _light(parts, p, end[0], end[1] - cord - 0.6 * p.shade_height, 0, 0.9)
    if p.extra in ("left", "tray"):
        parts.add("weight", ellipsoid((0, 0.2, 0), (0.14, 0.17, 0.14), 10, 6), "dark")
    for name, solid, colour in parts.parts():
        a.add(name, solid.turned("y", p.turn), colour)


def _pendant(a: Assembly, p: SimpleNamespace) -> None:
    """A shade on a cord below the ceiling plate, or two or three of them on a bar."""
    a.add("ceiling plate", disc((0, -0.04, 0), 0.6 * p.base_radius, 0.05, 16), "second")
    cord = 0.25 + 0.6 * p.height
    lights = {"none": (0.0,), "tray": (0.0,), "left": (-0.5, 0.5), "right": (-1.0, 0.0, 1.0)}[p.extra]
    bar = 0.4 * cord
    a.add("cord", tube([(0, 0, 0), (0, -bar - 0.02, 0)], 0.6 * p.stem), "dark")
    if len(lights) > 1:
        a.add("bar", box((0, -bar, 0), (2 * p.reach * lights[-1] + 0.1, 0.05, 0.05)), "metal")
    for k, share in enumerate(lights):
        x, y, scale = share * p.reach, -cord * (1.0, 1.35, 0.8)[k], 1.0 if len(lights) == 1 else 0.6
        a.add("cord", tube([(x, -bar + 0.01, 0), (x, y, 0)], 0.4 * p.stem), "dark")
        _light(a, p, x, y - 0.9 * scale * p.shade_height, 0, scale)
        for ring in range({"none": 0, "one": 1, "two": 2}[p.rings]):
            y_ring, share_ring = y - (0.88 - 0.12 * ring) * scale * p.shade_height, 1.06 if p.shade != "globe" else 0.75
            a.add("rings", torus((x, y_ring, 0), share_ring * scale * p.shade_radius, 0.035, 16), "accent")


def _chandelier(a: Assembly, p: SimpleNamespace) -> None:
    """Curved arms around a turned stem, a light on each."""
    a.add("ceiling plate", disc((0, -0.04, 0), 0.5 * p.base_radius, 0.05, 16), "second")
    cord, reach = 0.3 + 0.4 * p.height, 0.35 + 0.5 * p.reach
    a.add("cord", tube([(0, 0, 0), (0, -cord - 0.05, 0)], 0.03), "dark")
    share = np.array([(0.1, 0), (0.5, -0.1), (0.25, -0.25), (1, -0.5), (0.6, -0.75), (0.0, -1.0)])
    a.add("body", lathe(share * (0.6 * p.bulge, 0.6), 12).moved(0, -cord, 0), "brass")
    scale = min(0.5, 1.3 * reach / (p.arms * p.shade_radius))
    for k in range(p.arms):
        c, s = arc(1.0, 360 / p.arms * k + p.turn, 360 / p.arms * k + p.turn, 1)[0]
        radial = np.array([(0, -0.3), (0.35, -0.5), (0.75, -0.48), (1.0, -0.25)]) * (reach, 0.7) + (0, -cord)
        path = np.stack([radial[:, 0] * c, radial[:, 1], radial[:, 0] * s], axis=-1)
        a.add("arms", tube(path, 0.8 * p.stem), "brass")
        a.add("shade", _shade(p, scale, 10).moved(path[-1, 0], path[-1, 1] - 0.01, path[-1, 2]), "main")
        a.add("bulb", disc((path[-1, 0], path[-1, 1] - 0.02, path[-1, 2]), 0.035, scale * p.shade_height, 6), "glow")
    if p.rings != "none":
        a.add("rings", torus((0, -cord - 0.34, 0), 0.75 * reach, 0.05, 24), "accent")
    if p.rings == "two":
        a.add("rings", torus((0, -cord - 0.25, 0), 0.45 * reach, 0.04, 20), "accent")


LAMP = Category("lamp", ATTRIBUTES, build)
