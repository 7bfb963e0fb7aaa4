"""What cars carry, draw and open: roof loads, spoilers, trailers, doors."""

from types import SimpleNamespace

import numpy as np

from lit3d.synthesis.grammar.assembly import Assembly
from lit3d.synthesis.grammar.primitives import box, cushion, disc, ellipsoid, tube

# Shares of the length from the rear (0) to the nose (1): cabin foot and roof, each (rear, front); relative height of
# the cabin over the body; and whether there is glass all around, see `_cabin`.
CABINS = {
    "sedan": (0.14, 0.30, 0.56, 0.72, 1.0),
    "hatch": (0.01, 0.12, 0.55, 0.72, 1.0),
    "wagon": (0.01, 0.06, 0.55, 0.70, 1.0),
    "coupe": (0.04, 0.34, 0.48, 0.68, 0.85),
    "pickup": (0.40, 0.43, 0.62, 0.74, 1.15),
    "van": (0.00, 0.02, 0.66, 0.86, 1.7),
    "bus": (0.00, 0.01, 0.96, 0.99, 2.0),
    "lorry": (0.66, 0.68, 0.90, 0.97, 1.5),
    "convertible": (0.0, 0.0, 0.0, 0.0, 0.0),
}


def along(p: SimpleNamespace, share: float) -> float:
    """Place along z at a share of the length, 0 at the rear and 1 at the nose."""
    return (share - 0.5) * p.length


def add_wheel(a: Assembly, p: SimpleNamespace, x: float, z: float, y: float, axis: str = "x") -> None:
    """A tyre and its hub, centred at (x, y, z), turning about `axis`."""
    r, w = p.wheel_radius, p.wheel_width
    for name, radius, width, colour in (("wheels", r, w, "dark"), ("hubs", 0.58 * r, w + 0.03, "metal")):
        solid = disc((0, -width / 2, 0), radius, width, 16).turned(*(("z", 90) if axis == "x" else ("x", 90)))
        a.add(name, solid.moved(x, y, z), colour)


def on_roof(a: Assembly, p: SimpleNamespace, roof: float) -> None:
    """What stands on the roof."""
    if p.body == "convertible" or p.roof == "none":
        return
    _, rear, nose, _, _ = CABINS[p.body]
    length, middle, width = (nose - rear) * p.length, along(p, (nose + rear) / 2), 0.85 * p.width * p.narrowing
    load = Assembly()
    if p.roof == "rack":
        load.pair("roof rack", box((width / 2 - 0.04, 0.07, 0), (0.06, 0.06, 0.95 * length)), "metal")
        for share in (-0.4, 0.0, 0.4):
            load.add("roof rack", box((0, 0.05, share * length), (width, 0.12, 0.06)), "metal")
    elif p.roof == "box":
        load.add(
            "roof box", ellipsoid((0, 0.12, 0), (0.36 * width, 0.1 + 0.5 * p.load_height, 0.55 * length)), "accent"
        )
    elif p.roof == "light":
        load.add("roof light", box((0, 0.06, 0.3 * length), (0.8 * width, 0.15, 0.16)), "accent")
    elif p.roof == "sign":
        load.add("roof sign", box((0, 0.5 * p.load_height, 0), (0.12, p.load_height + 0.05, 0.6 * length)), "white")
    elif p.roof == "luggage":
        for k, share in enumerate((-0.28, 0.05, 0.3)):
            height = p.load_height * (1.0, 0.7, 0.45)[k]
            centre = (0.08 * width * (k - 1), height / 2 - 0.01, share * length)
            load.add("luggage", box(centre, (0.8 * width, height, 0.26 * length)), ("accent", "second", "dark")[k])
    else:
        _ladder(load, width, length, p.load_height)
    for name, solid, colour in load.parts():
        a.add(name, solid.moved(0, roof, middle), colour)


def _ladder(a: Assembly, width: float, length: float, rise: float) -> None:
    """A fire engine's ladder that rises towards the rear."""
    foot, top = np.array((0.05, 0.45 * length)), np.array((0.05 + rise, -0.6 * length - 0.2))
    for x in (-0.16 * width, 0.16 * width):
        a.add("ladder", tube([(x, *foot), (x, *top)], 0.08, 4), "metal")
    for share in np.linspace(0.05, 0.95, 7):
        y, z = foot + share * (top - foot)
        a.add("ladder", tube([(-0.17 * width, y, z), (0.17 * width, y, z)], 0.06, 4), "metal")
    a.add("ladder", box((0, 0.1, 0.3 * length), (0.4 * width, 0.22, 0.2 * length)), "accent")


def rear(a: Assembly, p: SimpleNamespace, belt: float) -> None:
    """Spoiler and spare wheel."""
    end, width = along(p, 0.03), 0.9 * p.width
    if p.spoiler == "lip":
        a.add("spoiler", box((0, belt + 0.05, end), (width, 0.14, 0.12)).turned("x", 20, (0, belt, end)), "accent")
    if p.spoiler == "wing":
        a.add("spoiler", box((0, belt + 0.42, end + 0.05), (1.05 * width, 0.05, 0.34)), "accent")
        a.pair("spoiler", box((0.3 * width, belt + 0.2, end + 0.07), (0.06, 0.46, 0.2)), "dark")
    if p.spare != "none":
        x = {"middle": 0.0, "left": -0.22, "right": 0.22}[p.spare] * p.width
        add_wheel(a, p, x, along(p, 0.0) - 0.4 * p.wheel_width, max(belt - 0.5 * p.wheel_radius, p.wheel_radius), "z")


def details(a: Assembly, p: SimpleNamespace, belt: float) -> None:
    """Lamps, bumpers, mirrors and the tall pipe."""
    y = p.clearance + 0.45 * p.waist
    for name, z, colour in (("lamps", along(p, 0.985), "glow"), ("lamps", along(p, 0.015), "accent")):
        a.pair(name, box((0.36 * p.width, y, z), (0.18 * p.width, 0.12, 0.09)), colour)
    if p.bumper != "none":
        height, out = (0.16, 0.06) if p.bumper == "plain" else (0.34, 0.16)
        for share, sign in ((0.0, -1), (1.0, 1)):
            centre = (0, p.clearance + 0.22 * p.waist, along(p, share) + sign * (out - 0.1))
            a.add("bumpers", box(centre, (1.01 * p.width, height, 0.2)), "dark" if p.bumper == "plain" else "metal")
    a.pair("mirrors", box((0.53 * p.width, belt + 0.03, along(p, 0.66)), (0.14 * p.width, 0.14, 0.1)), "dark")
    if p.exhaust != "none":
        side = -1 if p.exhaust == "left" else 1
        x, z, top = side * 0.5 * p.width, along(p, 0.6), belt + 1.3 * p.cabin_height + 0.2
        a.add("pipe", tube([(x, p.clearance + 0.2 * p.waist, z), (x, top, z)], 0.12, 8), "metal")


def opened(a: Assembly, p: SimpleNamespace, belt: float) -> None:
    """A door, the bonnet or the boot lid that stands open."""
    t, turn = 0.05, p.open_angle
    if p.open in ("left", "right"):
        side = -1 if p.open == "left" else 1
        hinge = (side * p.width / 2, 0, along(p, 0.64))
        length = min(0.24 * p.length, 1.2)
        height = 0.8 * p.waist + (0.0 if p.body == "convertible" else 0.5 * p.cabin_height)
        door = box((hinge[0], p.clearance + 0.15 * p.waist + height / 2, hinge[2] - length / 2), (t, height, length))
        a.add("open door", door.turned("y", -side * turn, hinge), "second")
    if p.open == "bonnet":
        foot = CABINS[p.body][3] or 0.71
        length = max(0.97 - foot, 0.08) * p.length
        edge = (0.0, belt, along(p, 0.97) - length)
        lid = box((0, belt, edge[2] + length / 2), (0.9 * p.width, t, length))
        a.add("open bonnet", lid.turned("x", -0.7 * turn, edge), "second")
    if p.open == "boot":
        high = p.body in ("hatch", "wagon", "van", "bus")
        top = belt + (CABINS[p.body][4] * p.cabin_height if high else 0.0)
        length = max(0.8 * (top - p.clearance), 0.16 * p.length)
        edge = (0.0, top - 0.04, along(p, CABINS[p.body][1] + 0.01 if high else 0.03))
        lid = box((0, edge[1], edge[2] - length / 2), (0.88 * p.width, t, length))
        a.add("open boot", lid.turned("x", 0.8 * (turn - 40), edge), "second")


def trailer(a: Assembly, p: SimpleNamespace) -> None:
    """A drawbar and a trailer on one axle behind the car."""
    length, width, r = p.trailer_length, 0.92 * p.width, 0.8 * p.wheel_radius
    z, y = along(p, 0.0) - 0.5 - length / 2, 1.2 * r
    a.add("trailer", box((0, y, z + 0.3), (0.12, 0.1, length + 0.6)), "metal")
    height = {"box": 0.8 + p.cabin_height, "tank": 0.5 * width, "flat": 0.12}[p.trailer]
    if p.trailer == "tank":
        tank = disc((0, -length / 2, 0), 0.45 * width, length, 16).turned("x", 90)
        a.add("trailer", tank.moved(0, y + 0.42 * width, z), "second")
    else:
        a.add("trailer", cushion((0, y + height / 2, z), (width, height, length), 0.1), "second")
    if p.trailer == "flat":
        for share in (-0.25, 0.2):
            barrel = disc((share * width, y + 0.1, z + share * length), 0.2 * width, 0.3 + p.load_height, 12)
            a.add("cargo", barrel, "accent")
    for side in (-1, 1):
        wheel = disc((0, -0.1, 0), r, 0.2, 14).turned("z", 90)
        a.add("wheels", wheel.moved(side * 0.48 * width, r, z - 0.1 * length), "dark")
    a.add("axles", tube([(-0.48 * width, r, z - 0.1 * length), (0.48 * width, r, z - 0.1 * length)], 0.5 * r), "dark")
