"""Sofas, corner sofas and settees."""

from types import SimpleNamespace

import numpy as np

from lit3d.synthesis.grammar.assembly import Assembly, Category
from lit3d.synthesis.grammar.attribute import choice, integer, real
from lit3d.synthesis.grammar.bases import BASES
from lit3d.synthesis.grammar.palette import COLOUR_ATTRIBUTES
from lit3d.synthesis.grammar.primitives import box, circle, cushion, extrusion, front, lathe, post, sector

ATTRIBUTES = (
    choice("form", "the sofa seen from above", straight=5, curved=1.5),
    choice("arms", "form of the arm rests", box=3, rolled=2, sloped=2, thin=1.5, pad=1.5, none=1.5),
    choice("arm_side", "which sides have arm rests (left is -x)", both=4, left=1, right=1),
    choice("chaise", "side whose seat reaches forwards", none=3, left=1, right=1),
    choice("corner", "second row of seats with a back of its own", none=3, left=1, right=1),
    choice("back", "form of the back", box=3, cushions=3, camel=1.5, sloped=2, bolster=1, low=1, none=0.8),
    choice("legs", "what it stands on", tapered=2, straight=2, plinth=2, sled=1, splayed=1.5, turned=1),
    choice("seat", "form of the seat", cushions=3, single=2, bare=1),
    choice("beside", "small table beside it, or stool in front", none=4, table_left=1, table_right=1, stool_left=0.8,
           stool_right=0.8),
    choice("pillows", "loose pillows", none=2, left=1, right=1, both=1),
    integer("seats", 1, 4, "seats side by side"),
    real("seat_width", 0.45, 0.95, "width of one seat in m"),
    real("depth", 0.55, 1.3, "depth in m"),
    real("seat_height", 0.25, 0.6, "height of the seat in m"),
    real("back_height", 0.12, 1.0, "height of the back above the seat in m"),
    real("back_thickness", 0.08, 0.35, "thickness of the back in m"),
    real("arm_height", 0.04, 0.5, "height of the arm rests above the seat in m"),
    real("arm_width", 0.07, 0.42, "width of an arm rest in m"),
    real("leg_height", 0.03, 0.3, "height of the legs in m"),
    real("reach", 0.35, 1.5, "how far a chaise or corner reaches forwards in m"),
    real("bow", 60.0, 160.0, "angle that a curved sofa spans in degrees"),
    *COLOUR_ATTRIBUTES,
)  # fmt: skip


def build(a: Assembly, p: SimpleNamespace) -> None:
    """Base, seat cushions, back at -z, arms at both ends, then what makes it lopsided."""
    width = p.seats * p.seat_width
    leg = min(p.leg_height, 0.5 * p.seat_height)
    if p.beside != "none":
        _beside(a, p, width, *p.beside.split("_"))
    if p.form == "curved":
        _curved(a, p, (p.seats + 1) * p.seat_width, leg)
        return
    base_top = leg + 0.55 * (p.seat_height - leg)
    BASES[p.legs](a, 0.48 * width, 0.46 * p.depth, leg + 0.01, 0.05)
    a.add("base", box((0, (leg + base_top) / 2, 0), (width, base_top - leg, p.depth)))
    _seat(a, p, width, base_top)
    _back(a, p, width, leg)
    _arms(a, p, width, leg)
    if p.chaise not in ("none", p.corner):
        _chaise(a, p, width, base_top, -1 if p.chaise == "left" else 1)
    if p.corner != "none":
        _corner(a, p, width, leg, -1 if p.corner == "left" else 1)
    for side in {"none": (), "left": (-1,), "right": (1,), "both": (-1, 1)}[p.pillows]:
        size = 0.8 * p.seat_width
        pillow = cushion((0, 0, 0), (size, 0.14, 0.75 * size), 0.8).turned("x", 65).turned("y", -side * 15)
        x, z = side * (width / 2 - 0.55 * size), -p.depth / 2 + p.back_thickness + 0.2
        a.add("pillows", pillow.moved(x, p.seat_height + 0.32 * size, z), "accent")


def _seat(a: Assembly, p: SimpleNamespace, width: float, base_top: float) -> None:
    if p.seat == "bare":
        a.add("seat", box((0, (base_top + p.seat_height) / 2, 0), (width, p.seat_height - base_top + 0.01, p.depth)))
        return
    count = p.seats if p.seat == "cushions" else 1
    each, height = width / count, p.seat_height - base_top + 0.02
    for k in range(count):
        centre = (-width / 2 + (k + 0.5) * each, p.seat_height - height / 2, 0.01)
        a.add("seat", cushion(centre, (0.99 * each, height, p.depth)), "second")


def _camel(width: float, height: float) -> np.ndarray:
    """Front view (m, 2) of a back whose middle is raised."""
    x = np.linspace(-0.5, 0.5, 13)
    y = height * (0.7 + 0.3 * np.cos(np.pi * x) ** 2)
    return np.concatenate([[(-width / 2, 0.0), (width / 2, 0.0)], np.stack([x * width, y], axis=-1)[::-1]])


def _back(a: Assembly, p: SimpleNamespace, width: float, leg: float) -> None:
    t, h, z0 = p.back_thickness, p.back_height, -p.depth / 2
    if p.back == "none":
        return
    if p.back == "sloped":
        y1, lean = p.seat_height + h, 0.35 * h
        z1, z2 = z0 + t + 0.05, z0 - lean
        side = [(z0, leg), (z1, leg), (z1, p.seat_height), (z2 + 0.4 * t, y1), (z2, y1)]
        a.add("back", extrusion(np.array(side), width))
        return
    if p.back == "camel":
        a.add("back", front(_camel(width, p.seat_height + h - leg), t).moved(0, leg, z0 + t / 2))
        return
    share = {"low": 0.4, "cushions": 0.6, "bolster": 0.5}.get(p.back, 1.0)
    top = p.seat_height + share * h
    a.add("back", box((0, (leg + top) / 2, z0 + t / 2), (width, top - leg, t)))
    if p.back == "cushions":
        for k in range(p.seats):
            x = -width / 2 + (k + 0.5) * p.seat_width
            pad = cushion((0, 0, 0), (0.97 * p.seat_width, 0.2, h), 0.6).turned("x", 80)
            a.add("back cushions", pad.moved(x, p.seat_height + 0.5 * h, z0 + t + 0.08), "second")
    if p.back == "bolster":
        roll = front(circle(14) * 0.13, 0.94 * width).turned("y", 90)
        a.add("back cushions", roll.moved(0, p.seat_height + 0.12, z0 + t + 0.12), "second")


def _arms(a: Assembly, p: SimpleNamespace, width: float, leg: float) -> None:
    if p.arms == "none":
        return
    y, w, d = p.seat_height + p.arm_height, p.arm_width, p.depth
    for side in {"both": (-1, 1), "left": (-1,), "right": (1,)}[p.arm_side]:
        if p.corner == ("left" if side < 0 else "right"):
            continue
        if p.arms == "thin":
            w = 0.04
        x = side * (width / 2 + w / 2 - 0.005)
        if p.arms == "pad":
            for z in (-0.3 * d, 0.3 * d):
                a.add("arms", box((side * (width / 2 + 0.02), (leg + y) / 2, z), (0.05, y - leg, 0.06)), "dark")
            a.add("arms", cushion((x, y, 0), (w, 0.07, 0.8 * d)), "main")
        elif p.arms == "sloped":
            profile = np.array([(-d / 2, leg), (d / 2, leg), (d / 2, p.seat_height), (-d / 2, y + 0.15)])
            a.add("arms", extrusion(profile, w).moved(x))
        else:
            a.add("arms", box((x, (leg + y) / 2, 0), (w, y - leg, d)))
        if p.arms == "rolled":
            roll = front(circle(14) * 0.65 * w, d + 0.02)
            a.add("arms", roll.moved(x + side * 0.15 * w, y, 0.01))


def _chaise(a: Assembly, p: SimpleNamespace, width: float, base_top: float, side: int) -> None:
    """A seat that reaches forwards at one side."""
    x, z = side * (width - p.seat_width) / 2, p.depth / 2 + p.reach / 2 - 0.02
    leg = min(p.leg_height, 0.5 * p.seat_height)
    a.add("base", box((x, (leg + base_top) / 2, z), (p.seat_width, base_top - leg, p.reach)))
    height = p.seat_height - base_top + 0.015
    a.add("seat", cushion((x, p.seat_height - height / 2, z), (p.seat_width, height, p.reach)), "second")
    for dx in (-1, 1):
        leg_x = x + dx * (p.seat_width / 2 - 0.05)
        a.add("legs", box((leg_x, leg / 2, z + p.reach / 2 - 0.05), (0.05, leg + 0.01, 0.05)), "second")


def _corner(a: Assembly, p: SimpleNamespace, width: float, leg: float, side: int) -> None:
    """A second row of seats at a right angle, with its back outwards."""
    deep, length, t = 0.7 * p.depth, p.reach + p.depth, p.back_thickness
    x, z = side * (width / 2 + deep / 2 - 0.01), (length - p.depth) / 2
    a.add("base", box((x, (0.3 * leg + p.seat_height) / 2, z), (deep, p.seat_height - 0.3 * leg, length)), "main")
    top = p.seat_height + max(0.7 * p.back_height, 0.12)
    a.add("back", box((x + side * (deep - t) / 2, (leg + top) / 2, z), (t, top - leg, length)))
    a.add("seat", cushion((x - side * t / 2, p.seat_height, z), (deep - t, 0.1, length)), "second")


def _curved(a: Assembly, p: SimpleNamespace, width: float, leg: float) -> None:
    """Seat and back along an arc, on short posts; `width` is the length of the outer arc's chord."""
    radius = width / (2 * np.sin(np.radians(p.bow / 2)))
    inner, t = max(radius - p.depth, 0.2 * radius), min(p.back_thickness, 0.3 * p.depth)
    shift, top = (radius + inner) / 2, p.seat_height + 0.12 + 0.6 * p.back_height
    a.add("base", sector(inner, radius, p.bow, leg, p.seat_height - 0.08).moved(z=shift))
    seat = sector(inner - 0.02, radius - t / 2, p.bow - 2, p.seat_height - 0.1, p.seat_height)
    a.add("seat", seat.moved(z=shift), "second")
    if p.back != "none":
        a.add("back", sector(radius - t, radius, p.bow, leg, top).moved(z=shift))
    ends = {"both": (-1, 1), "left": (-1,), "right": (1,)}[p.arm_side] if p.arms != "none" else ()
    for side in ends:
        arm_top = p.seat_height + p.arm_height
        size = (0.6 * p.arm_width + 0.05, arm_top - leg, 0.98 * (radius - inner))
        arm = box((0, (leg + arm_top) / 2, -(radius + inner) / 2), size)
        a.add("arms", arm.turned("y", -side * p.bow / 2).moved(z=shift))
    for angle in np.linspace(-0.42, 0.42, 4) * p.bow:
        for r in (inner + 0.08, radius - 0.08):
            foot = post((0, leg + 0.01, -r), (0, 0, -r), 0.06, 0.04, 6)
            a.add("legs", foot.turned("y", -angle).moved(z=shift), "second")


def _beside(a: Assembly, p: SimpleNamespace, width: float, what: str, where: str) -> None:
    """A small table beyond the arm, or a stool in front of the seats."""
    side = -1 if where == "left" else 1
    if what == "stool":
        size, z = 0.7 * p.seat_width, p.depth / 2 + 0.25 + 0.3 * p.reach + 0.3 * p.seat_width
        x = side * (width / 2 - 0.6 * size) if p.chaise == p.corner == "none" else 0.0
        h = p.seat_height
        a.add("stool", cushion((x, 0.62 * h, z), (size, 0.6 * h, size)), "second")
        a.add("stool", box((x, 0.2 * h, z), (0.7 * size, 0.4 * h, 0.7 * size)), "dark")
        return
    radius, height = 0.18 + 0.2 * p.arm_width, p.seat_height + p.arm_height
    x = side * (width / 2 + p.arm_width + radius + 0.05 + (0.7 * p.depth if p.corner == where else 0.0))
    profile = [(0.8 * radius, 0), (0.15 * radius, 0.06), (0.15 * radius, 0.93), (radius, 0.94), (radius, 1)]
    a.add("side table", lathe(np.array(profile) * (1, height), 14).moved(x, 0, -0.1), "accent")


SOFA = Category("sofa", ATTRIBUTES, build)
