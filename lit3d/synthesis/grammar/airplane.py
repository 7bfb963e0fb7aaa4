"""Airplanes: airliners, gliders, propeller planes, fighters, biplanes."""

from types import SimpleNamespace

import numpy as np

from lit3d.synthesis.grammar.assembly import Assembly, Category
from lit3d.synthesis.grammar.attribute import choice, integer, real
from lit3d.synthesis.grammar.palette import COLOUR_ATTRIBUTES
from lit3d.synthesis.grammar.primitives import Solid, Vector, beam, box, ellipsoid, hull, loft, tube

ATTRIBUTES = (
    choice("nose", "form of the nose", round=3, pointed=2, blunt=1.5, spinner=1.5),
    choice("wing", "plan of the wing", swept=3, straight=3, delta=1.5, forward=1),
    choice("wing_place", "height of the wing on the fuselage", low=2, middle=1, high=2),
    choice("biplane", "second wing above", no=5, yes=1),
    choice("tail", "form of the tail", conventional=3, tee=2, vee=1.5, twin=1.5, cross=1),
    choice("engines", "how it is driven", wing2=2, wing4=1.5, rear2=1.5, propeller=2, wing_propellers=1.5, none=1),
    choice("cockpit", "form of the cockpit", windscreen=2, bubble=2, tandem=1),
    choice("gear", "what it lands on", none=2, wheels=2, floats=1),
    choice("tips", "what ends the wing", plain=2, winglet=1.5, tank=1.5),
    choice("canard", "small wing at the nose", no=4, yes=1),
    integer("blades", 2, 5, "blades of a propeller"),
    real("radius", 0.035, 0.1, "radius of the fuselage; its length is 1"),
    real("oval", 0.8, 1.35, "height of the fuselage's section over its width"),
    real("nose_length", 0.08, 0.28, "length of the nose"),
    real("tail_length", 0.2, 0.5, "length of the tapered rear"),
    real("span", 0.55, 1.7, "span of the wing"),
    real("chord", 0.12, 0.32, "depth of the wing at its root"),
    real("taper", 0.2, 0.95, "depth of the wing at its tip over its root's"),
    real("sweep", 8.0, 45.0, "angle of a swept wing in degrees"),
    real("dihedral", -6.0, 12.0, "angle of the wing above the horizon in degrees"),
    real("wing_position", -0.12, 0.14, "place of the wing along the fuselage, forwards of the middle"),
    real("tail_size", 0.09, 0.22, "height of the fin"),
    real("engine_size", 0.6, 1.3, "size of the engines"),
    *COLOUR_ATTRIBUTES,
)  # fmt: skip


def build(a: Assembly, p: SimpleNamespace) -> None:
    """Fuselage of length 1 along z, nose at +z."""
    _fuselage(a, p)
    y = {"low": -0.65, "middle": 0.0, "high": 0.75}[p.wing_place] * p.radius * p.oval
    _wings(a, p, y)
    _tail(a, p)
    _engines(a, p, y)
    _gear(a, p, y)


# Section of a wing: (along the depth, across the wing), leading edge first; a flat lens.
LENS = np.array(
    [(0, 0), (-0.12, 0.42), (-0.35, 0.5), (-0.7, 0.28), (-1, 0.03), (-1, -0.03), (-0.7, -0.22), (-0.35, -0.4),
     (-0.12, -0.36)]
)  # fmt: skip


def _surface(root: Vector, tip: Vector, chords: tuple[float, float], thickness: float = 0.11) -> Solid:
    """A wing between the leading edges at `root` and `tip`, as thick as `thickness` of its depth (`chords`)."""
    span = np.subtract(tip, root)
    across = np.array((-span[1], span[0], 0.0)) / np.hypot(span[0], span[1])
    rings = [
        np.asarray(edge) + chord * (LENS[:, :1] * (0, 0, 1) + thickness * LENS[:, 1:] * across)
        for edge, chord in zip((root, tip), chords, strict=True)
    ]
    return loft(np.stack(rings))


def _fuselage(a: Assembly, p: SimpleNamespace) -> None:
    rx, ry, nose, tail = p.radius, p.radius * p.oval, 0.5 - p.nose_length, -0.5 + p.tail_length
    fronts: dict[str, list[tuple[float, float, float]]] = {
        "round": [(0.5, 0, 0), (0.35, -0.05, 0.6), (0.15, 0, 0.9)],
        "pointed": [(0.5, 0, 0), (0.3, -0.02, 0.35), (0.1, 0, 0.82)],
        "blunt": [(0.5, -0.1, 0.45), (0.42, -0.05, 0.75), (0.2, 0, 0.97)],
        "spinner": [(0.5, 0, 0.5), (0.3, 0, 0.65), (0.1, 0, 0.85)],
    }
    front = fronts[p.nose]
    stations = [(nose + 2 * p.nose_length * z, y * ry, share * rx, share * ry) for z, y, share in front]
    stations += [(nose, 0, rx, ry), (tail, 0, rx, ry), (0.5 * tail - 0.25, 0.2 * ry, 0.7 * rx, 0.72 * ry)]
    stations += [(-0.47, 0.55 * ry, 0.22 * rx, 0.3 * ry), (-0.5, 0.6 * ry, 0, 0)]
    a.add("fuselage", hull(stations, 14))
    if p.cockpit == "windscreen":
        a.add("cockpit", hull([(nose - 0.03, ry * 0.85, 0, 0), (nose - 0.01, ry * 0.82, 0.5 * rx, 0.25 * ry),
                               (nose + 0.25 * p.nose_length, 0.5 * ry, 0.6 * rx, 0.3 * ry),
                               (nose + 0.4 * p.nose_length, 0.35 * ry, 0, 0)], 10), "glass")  # fmt: skip
        return
    for k in range(2 if p.cockpit == "tandem" else 1):
        z = nose - 0.06 - 0.16 * k
        a.add("cockpit", ellipsoid((0, 0.92 * ry, z), (0.62 * rx, 0.75 * ry, 0.1), 12, 7), "glass")


def _wings(a: Assembly, p: SimpleNamespace, y: float) -> None:
    reach, chord = p.span / 2, p.chord
    sweep = {"swept": p.sweep, "straight": 0.0, "delta": 0.0, "forward": -0.6 * p.sweep}[p.wing]
    back, rise = reach * np.tan(np.radians(sweep)), reach * np.tan(np.radians(p.dihedral))
    tip_chord = p.taper * chord
    if p.wing == "delta":
        chord, tip_chord = 1.9 * chord, 0.3 * tip_chord
        back, reach = 1.75 * p.chord - 0.2 * tip_chord, 0.7 * reach
    elif p.wing == "straight":
        back = 0.3 * (chord - tip_chord)
    z = p.wing_position + 0.45 * chord + 0.25 * max(back, 0.0) * (p.wing == "swept")
    tip = (reach, y + rise, z - back)
    a.pair("wings", _surface((0, y, z), tip, (chord, tip_chord)), "second")
    if p.biplane == "yes":
        up = 0.11 + 1.2 * p.radius
        lifted = (reach, tip[1] + up, tip[2])
        a.pair("wings", _surface((0, y + up, z), lifted, (0.9 * chord, 0.9 * tip_chord)), "second")
        for share in (0.12, 0.7):
            low = np.array((share * reach, y + share * rise, z - share * back - 0.35 * tip_chord - 0.02))
            a.pair("struts", beam(low, np.add(low, (0, up, 0)), 0.012, 0.02), "dark")
    if p.tips == "winglet":
        top = (tip[0] + 0.03, tip[1] + 0.11, tip[2] - 0.6 * tip_chord)
        a.pair(
            "winglets", _surface((tip[0] - 0.004, tip[1] - 0.01, tip[2]), top, (tip_chord, 0.45 * tip_chord)), "accent"
        )
    if p.tips == "tank":
        radius, middle = 0.022 + 0.2 * p.radius, tip[2] - tip_chord / 2
        tank = [(middle + 0.13, tip[1], 0, 0), (middle + 0.07, tip[1], radius, radius)]
        tank += [(middle - 0.07, tip[1], radius, radius), (middle - 0.15, tip[1], 0, 0)]
        a.pair("tip tanks", hull(tank, 8).moved(tip[0]), "accent")
    if p.canard == "yes":
        root = (0, 0.1 * p.radius, 0.5 - 0.9 * p.nose_length)
        a.pair("canards", _surface(root, (0.14 + p.radius, root[1] + 0.01, root[2] - 0.06), (0.09, 0.04)), "accent")


def _tail(a: Assembly, p: SimpleNamespace) -> None:
    size, y, z = p.tail_size, 0.5 * p.radius * p.oval, -0.5
    chord, wide, lean = 0.9 * size, 0.75 * size + 0.1, 0.55 * size
    lead = z + chord + 0.01
    if p.tail == "vee":
        a.pair(
            "tail",
            _surface((0, y - 0.01, lead), (0.85 * wide, y + 0.9 * size, lead - lean), (chord, 0.55 * chord)),
            "accent",
        )
        return
    height = {"tee": 0.97, "cross": 0.5}.get(p.tail, 0.0) * size
    stabiliser_lead = lead - lean * height / size + (0.02 if height else 0.0)
    tip = (wide, y + height + 0.02, stabiliser_lead - 0.4 * lean)
    a.pair("tail", _surface((0, y + height, stabiliser_lead), tip, (0.75 * chord, 0.45 * chord)), "second")
    if p.tail == "twin":
        edge = (wide - 0.01, tip[1] - 0.3 * size, tip[2] + 0.1 * chord)
        a.pair(
            "fin",
            _surface(edge, (wide, tip[1] + 0.7 * size, tip[2] - 0.2 * chord), (0.7 * chord, 0.5 * chord)),
            "accent",
        )
        return
    a.add("fin", _surface((0, y - 0.01, lead), (0, y + size, lead - lean), (1.1 * chord, 0.6 * chord)), "accent")


def _nacelle(radius: float, length: float) -> Solid:
    """A jet engine along z, intake at +z."""
    shape = [(0.5, 0.85), (0.45, 1), (0.0, 1), (-0.5, 0.6)]
    return hull([(z * length, 0, share * radius, share * radius) for z, share in shape], 12)


def _propeller(a: Assembly, p: SimpleNamespace, x: float, y: float, z: float, radius: float) -> None:
    hub = [(z + dz, y, share * radius, share * radius) for dz, share in ((-0.01, 0.25), (0.02, 0.15), (0.045, 0))]
    a.add("propeller", hull(hub, 8).moved(x), "dark")
    for k in range(p.blades):
        blade = box((0, radius / 2, 0), (0.22 * radius, radius, 0.012)).turned("y", 25)
        blade = blade.turned("z", 360 / p.blades * k + 20)
        a.add("propeller", blade.moved(x, y, z + 0.012), "dark")


def _engines(a: Assembly, p: SimpleNamespace, wing_y: float) -> None:
    size, rise = p.engine_size, np.tan(np.radians(p.dihedral))
    z = p.wing_position + 0.4 * p.chord
    delta = 0.7 if p.wing == "delta" else 1.0
    angle = {"swept": p.sweep, "forward": -0.6 * p.sweep, "delta": 38.66}.get(p.wing, 0.0)
    slope = np.tan(np.radians(angle))
    places = (0.32, 0.6) if p.engines == "wing4" else (0.36,)
    if p.engines in ("wing2", "wing4", "wing_propellers"):
        for share in places:
            x = share * p.span / 2 * delta + 0.6 * p.radius
            y, along = wing_y + x * rise, z - 0.75 * x * slope + 0.02
            if p.engines == "wing_propellers":
                a.pair("engines", _nacelle(0.028 * size, 0.2).moved(x, y, along), "accent")
                for side in (-1, 1):
                    _propeller(a, p, side * x, y, along + 0.1, 0.1 * size)
                continue
            a.pair("engines", _nacelle(0.04 * size, 0.15 * size).moved(x, y - 0.05 * size, along), "accent")
            a.pair("pylons", box((x, y - 0.02 * size, along - 0.02), (0.012, 0.05 * size, 0.09 * size)), "metal")
    if p.engines == "rear2":
        x, y, z = p.radius + 0.035 * size, 0.4 * p.radius, -0.27
        a.pair("engines", _nacelle(0.036 * size, 0.17 * size).moved(x, y, z), "accent")
        a.pair("pylons", box((x - 0.5 * p.radius - 0.015 * size, y, z), (p.radius + 0.03, 0.012, 0.07)), "metal")
    if p.engines == "propeller":
        _propeller(a, p, 0, 0, 0.5, 0.11 * size + 0.4 * p.radius)


def _gear(a: Assembly, p: SimpleNamespace, wing_y: float) -> None:
    bottom, x = -p.radius * p.oval, 0.07 + p.radius
    if p.gear == "wheels":
        for sx, z in ((-1, 0.0), (1, 0.0), (0, 0.36)):
            top, foot = (sx * 0.5 * p.radius, 0.4 * bottom, z), (sx * x, bottom - 0.08, z)
            a.add("gear", tube([top, foot], 0.015), "metal")
            wheel = hull([(-0.013, 0, 0.035, 0.035), (0.013, 0, 0.035, 0.035)], 12).turned("y", 90)
            a.add("wheels", wheel.moved(*foot), "dark")
    if p.gear == "floats":
        y = bottom - 0.1
        shape = [(0.34, 0.03, 0, 0), (0.26, 0.01, 0.028, 0.022), (0.05, 0, 0.034, 0.03), (-0.25, 0.015, 0, 0)]
        a.pair("floats", hull([(z, y + dy, rx, ry) for z, dy, rx, ry in shape], 8).moved(x), "accent")
        for z in (0.15, -0.05):
            a.pair("gear", tube([(0.4 * p.radius, 0.5 * bottom, z), (x, y, z)], 0.014), "metal")


AIRPLANE = Category("airplane", ATTRIBUTES, build)
