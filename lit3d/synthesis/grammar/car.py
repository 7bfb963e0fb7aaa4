"""Cars: sedans, hatchbacks, pickups, vans, convertibles, buses and small lorries."""

from types import SimpleNamespace

import numpy as np

from lit3d.synthesis.grammar.assembly import Assembly, Category
from lit3d.synthesis.grammar.attribute import choice, integer, real
from lit3d.synthesis.grammar.car_extras import CABINS, add_wheel, along, details, on_roof, opened, rear, trailer
from lit3d.synthesis.grammar.palette import COLOUR_ATTRIBUTES
from lit3d.synthesis.grammar.primitives import Solid, box, disc, loft, triangulated, tube

ATTRIBUTES = (
    choice("body", "type of the car", sedan=2, hatch=2, wagon=1.3, coupe=1.3, pickup=2, van=1.5, bus=1.3, lorry=1.3,
           convertible=1.5),
    choice("nose", "form of the front", slanted=2, round=2, flat=1.5, wedge=1.5),
    choice("tail", "form of the rear", flat=2, round=2, raised=1),
    choice("spoiler", "wing at the rear", none=4, lip=1, wing=1.2),
    choice("roof", "what is on the roof", none=3, rack=1, box=1, light=0.7, sign=0.8, luggage=1.2, ladder=1),
    choice("spare", "wheel at the back", none=4, middle=1, left=0.6, right=0.6),
    choice("fenders", "wheel arches", none=2, flared=1.5, boards=1),
    choice("bumper", "bumpers", none=2, plain=2, bull=1),
    choice("exhaust", "tall pipe or mirror arm at one side (left is -x, seen from the rear)", none=4, left=1, right=1),
    choice("trailer", "what it draws", none=7, box=1, tank=0.8, flat=0.8),
    choice("open", "what stands open (left is -x)", none=3, left=1, right=1, bonnet=1, boot=1),
    choice("load", "what a pickup or lorry carries", none=1, box=1, barrels=1),
    integer("axles", 2, 4, "axles of a bus or lorry; other cars have two"),
    real("length", 2.4, 6.4, "length in m"),
    real("width", 1.2, 2.6, "width in m"),
    real("waist", 0.36, 1.0, "height of the lower body in m"),
    real("cabin_height", 0.3, 1.2, "height of the cabin in m"),
    real("clearance", 0.08, 0.6, "height of the body's under side above the ground in m"),
    real("wheel_radius", 0.22, 0.75, "radius of the wheels in m"),
    real("wheel_width", 0.12, 0.45, "width of the wheels in m"),
    real("load_height", 0.1, 1.1, "height of what is on the roof in m"),
    real("open_angle", 40.0, 85.0, "angle of an open door or lid in degrees"),
    real("track", -0.1, 0.3, "how far the wheels stand out, in units of their width"),
    real("trailer_length", 0.8, 4.5, "length of a trailer in m"),
    real("front_overhang", 0.13, 0.25, "from the front axle to the nose, as a share of the length"),
    real("rear_overhang", 0.13, 0.27, "from the rear axle to the rear, as a share of the length"),
    real("narrowing", 0.6, 1.0, "width of the roof over the width of the body"),
    *COLOUR_ATTRIBUTES,
)  # fmt: skip


def build(a: Assembly, p: SimpleNamespace) -> None:
    """The nose at +z, wheels on y = 0."""
    belt = p.clearance + p.waist
    _body(a, p, belt)
    if p.body == "convertible":
        _open_cabin(a, p, belt)
        roof = belt
    else:
        roof = _cabin(a, p, belt)
    if p.body in ("pickup", "lorry"):
        roof = max(roof, belt)
        _bed(a, p, belt)
    _wheels(a, p)
    on_roof(a, p, roof)
    rear(a, p, belt)
    details(a, p, belt)
    opened(a, p, belt)
    if p.trailer != "none":
        trailer(a, p)


def _side_profile(p: SimpleNamespace, belt: float) -> np.ndarray:
    """The lower body seen from the side, (m, 2) in (z, y), a simple polygon."""
    low, h = p.clearance, p.waist
    hood = belt if p.body in ("van", "bus", "lorry") else belt - {"slanted": 0.1, "wedge": 0.3}.get(p.nose, 0.03) * h
    front = {
        "slanted": [(0.97, low), (1.0, low + 0.35 * h), (0.98, hood - 0.1 * h), (0.93, hood)],
        "round": [(0.94, low), (0.99, low + 0.25 * h), (1.0, low + 0.55 * h), (0.97, hood - 0.14 * h), (0.9, hood)],
        "flat": [(1.0, low), (0.995, hood)],
        "wedge": [(0.96, low), (1.0, low + 0.28 * h), (0.97, low + 0.45 * h)],
    }[p.nose]
    rear = {
        "flat": [(0.0, belt), (0.005, low + 0.01)],
        "round": [(0.06, belt - 0.01), (0.01, belt - 0.2 * h), (0.0, low + 0.5 * h), (0.05, low + 0.01)],
        "raised": [(0.1, belt + 0.01), (0.0, belt + 0.14 * h), (0.02, low + 0.2 * h), (0.1, low + 0.01)],
    }[p.tail]
    middle = [(0.72, belt)]
    return np.array([(along(p, s), y) for s, y in [*front, *middle, *rear]])


def _tucked(profile: np.ndarray, width: float) -> Solid:
    """A side view (m, 2) across the car, whose upper and lower edges are drawn in a little at both flanks."""
    middle = profile.mean(axis=0)
    rings = []
    for x, scale in ((-0.5, 0.965), (-0.46, 1.0), (0.46, 1.0), (0.5, 0.965)):
        z, y = ((profile - middle) * scale + middle).T
        rings.append(np.stack([np.full(len(z), x * width), y, z], axis=-1))
    return loft(np.stack(rings), cap=triangulated(profile))


def _body(a: Assembly, p: SimpleNamespace, belt: float) -> None:
    a.add("body", _tucked(_side_profile(p, belt), p.width))


def _cabin(a: Assembly, p: SimpleNamespace, belt: float) -> float:
    """Glass between belt and roof, pillars as the roof's colour; returns the roof's height."""
    foot_rear, roof_rear, roof_front, foot_front, factor = CABINS[p.body]
    height = factor * p.cabin_height
    wide, top = 0.96 * p.width, 0.96 * p.width * p.narrowing
    solid = p.body in ("van", "lorry")

    def ring(y: float, share: float, width: float) -> np.ndarray:
        rear, nose = (along(p, r + (t - r) * share) for r, t in ((foot_rear, roof_rear), (foot_front, roof_front)))
        x = width / 2
        return np.array([(x, y, nose), (-x, y, nose), (-x, y, rear), (x, y, rear)])

    levels = [(belt - 0.02, 0.0, wide), (belt + 0.9 * height, 0.9, wide + 0.9 * (top - wide))]
    a.add("cabin", loft(np.stack([ring(*level) for level in levels])), "main" if solid else "glass")
    roof = [(belt + 0.85 * height, 0.85, wide + 0.83 * (top - wide)), (belt + height, 1.0, top)]
    rings = [ring(*level) * ((1.01, 1, 1) if k == 0 else (0.97, 1, 1)) for k, level in enumerate(roof)]
    a.add("roof", loft(np.stack(rings)))
    if solid:
        y, z = belt + 0.5 * height, along(p, roof_front - 0.05)
        a.add("windows", box((0, y, z), (wide + 0.5 * (top - wide) + 0.03, 0.45 * height, 0.1 * p.length)), "glass")
        slope = (foot_front - roof_front) * p.length / height
        low, high = belt + 0.2 * height, belt + 0.8 * height
        plate = [(-1, 0.015), (1, 0.015), (1, -0.05), (-1, -0.05)]
        shield = [
            [(s * 0.4 * p.width, y, along(p, foot_front) - (y - belt) * slope + dz) for s, dz in plate]
            for y in (low, high)
        ]
        a.add("windows", loft(np.array(shield)), "glass")
        return belt + height
    count = 6 if p.body == "bus" else 2
    for share in np.linspace(0.12, 0.88, count + 1)[1:-1] if count > 2 else (0.5,):
        z = along(p, foot_rear + (foot_front - foot_rear) * share)
        for side in (-1, 1):
            low, high = (side * (wide / 2 - 0.01), belt - 0.02, z), (side * (top / 2 - 0.01), belt + 0.97 * height, z)
            a.add("pillars", tube([low, high], 0.09, 4))
    return belt + height


def _open_cabin(a: Assembly, p: SimpleNamespace, belt: float) -> None:
    """Seats and a windscreen instead of a roof."""
    h, z = 0.75 * p.cabin_height, along(p, 0.66)
    shield = [(s * 0.42 * p.width, belt - 0.02, z + dz) for s, dz in ((-1, 0), (1, 0), (1, -0.06), (-1, -0.06))]
    upper = [(0.9 * x, belt + h, zz - 0.3 * h - 0.1) for x, _, zz in shield]
    a.add("windscreen", loft(np.array([shield, upper])), "glass")
    for row in (0.46, 0.28)[: 1 + (p.length > 3.6)]:
        for side in (-1, 1):
            seat = box((side * 0.23 * p.width, belt + 0.3 * h, along(p, row)), (0.36 * p.width, 0.75 * h, 0.14))
            a.add("seats", seat.turned("x", -12, (0, belt, along(p, row))), "second")
    a.add("cabin", box((0, belt + 0.005, along(p, 0.44)), (0.82 * p.width, 0.03, 0.42 * p.length)), "dark")


def _bed(a: Assembly, p: SimpleNamespace, belt: float) -> None:
    """Side walls of a pickup or the cargo body of a lorry, and the load."""
    end = CABINS[p.body][0]
    length, middle = end * p.length, along(p, end / 2)
    wall = 0.3 * p.waist + 0.08
    if p.body == "lorry" and p.load != "barrels":
        height = (1.0 if p.load == "none" else 1.5) * p.cabin_height + 0.3
        centre = (0, belt + height / 2 - 0.02, middle - 0.02 * p.length)
        a.add("cargo", box(centre, (1.02 * p.width, height, 0.95 * length)), "second")
        return
    a.pair("bed", box((0.47 * p.width, belt + wall / 2 - 0.01, middle), (0.05 * p.width, wall, length)))
    a.add("bed", box((0, belt + wall / 2 - 0.01, along(p, 0.012)), (0.94 * p.width, wall, 0.06)))
    if p.load == "box":
        a.add("cargo", box((0, belt + wall, middle), (0.7 * p.width, 2 * wall, 0.7 * length)), "accent")
    if p.load == "barrels":
        count = 3 if length > 1.5 else 2
        for k in range(count):
            z = along(p, 0.03) + (k + 0.5) * (length - 0.1) / count
            for side in (-1, 1):
                a.add("cargo", disc((side * 0.22 * p.width, belt - 0.01, z), 0.17 * p.width, 0.4 + wall, 12), "accent")


def _axles(p: SimpleNamespace) -> list[float]:
    """Place along z of every axle, rear first."""
    last, first = along(p, p.rear_overhang), along(p, 1 - p.front_overhang)
    extra = p.axles - 2 if p.body in ("bus", "lorry") else 0
    room = max(0, int((first - last - 2.2 * p.wheel_radius) / (2.2 * p.wheel_radius)))
    return [last + 2.2 * p.wheel_radius * k for k in range(min(extra, room) + 1)] + [first]


def _wheels(a: Assembly, p: SimpleNamespace) -> None:
    r, x = p.wheel_radius, p.width / 2 + (p.track - 0.3) * p.wheel_width
    for z in _axles(p):
        for side in (-1, 1):
            add_wheel(a, p, side * x, z, r)
            if p.fenders == "flared":
                y = 1.12 * r + 0.03
                a.add("fenders", box((side * x, y + 0.5 * r, z), (p.wheel_width + 0.04, 0.1, 1.9 * r)))
                for dz in (-1, 1):
                    edge = box((side * x, y + 0.2 * r, z + dz * 1.05 * r), (p.wheel_width + 0.04, 0.75 * r, 0.08))
                    a.add("fenders", edge.turned("x", -25 * dz, (0, y, z + dz * 1.05 * r)))
        a.add("axles", tube([(-x, r, z), (x, r, z)], 0.4 * r), "dark")
        a.add("axles", box((0, (r + p.clearance) / 2 + 0.05, z), (0.3, abs(p.clearance - r) + 0.2, 0.2)), "dark")
    if p.fenders == "boards":
        length = (1 - p.front_overhang - p.rear_overhang) * p.length - 2.2 * r
        if length > 0.3:
            middle = along(p, (p.rear_overhang + 1 - p.front_overhang) / 2)
            a.pair("boards", box((p.width / 2, p.clearance + 0.03, middle), (0.24, 0.05, length)), "dark")


CAR = Category("car", ATTRIBUTES, build)
