"""Beds: single and double, four-poster, bunk and storage beds."""

from types import SimpleNamespace

import numpy as np

from lit3d.synthesis.grammar.assembly import Assembly, Category
from lit3d.synthesis.grammar.attribute import choice, integer, real
from lit3d.synthesis.grammar.bases import BASES, SIGNS
from lit3d.synthesis.grammar.palette import COLOUR_ATTRIBUTES
from lit3d.synthesis.grammar.primitives import beam, box, cushion, front, tube

ATTRIBUTES = (
    choice("frame", "what carries the mattress", legs=3, box=2, drawers=2, platform=1.5),
    choice("legs", "style of the legs", straight=2, tapered=2, splayed=1, turned=2, sled=1),
    choice("headboard", "board at the head (-z)", panel=3, arch=2, spindles=2, padded=2, rails=1.5, none=1),
    choice("footboard", "board at the foot (+z)", none=3, panel=2, spindles=1.5, low=1.5),
    choice("upper", "what is above the bed", none=5, posts=1.2, canopy=1.5, bunk=1.5, half_canopy=0.8),
    choice("ladder", "side of the ladder of a bunk bed (left is -x)", left=1, right=1),
    choice("guard", "rail along a side", none=4, left=1, right=1, both=0.7),
    choice("night_stand", "small cabinet beside the head", none=3, left=1, right=1, both=1),
    choice("blanket", "how much of the mattress is covered", none=1, half=1.5, full=1.5, strip=1),
    choice("chest", "chest at the foot", none=3, low=1, high=1),
    integer("pillows", 0, 3, "pillows at the head"),
    real("width", 0.7, 2.2, "width of the mattress in m"),
    real("length", 1.3, 2.3, "length of the mattress in m"),
    real("frame_height", 0.1, 0.65, "height of the frame's upper side in m"),
    real("mattress", 0.09, 0.4, "thickness of the mattress in m"),
    real("head_height", 0.25, 1.4, "height of the headboard above the frame in m"),
    real("foot_height", 0.12, 0.8, "height of the footboard above the frame in m"),
    real("post_height", 1.3, 2.4, "height of posts and upper bed in m"),
    real("thickness", 0.03, 0.11, "thickness of boards and posts in m"),
    *COLOUR_ATTRIBUTES,
)  # fmt: skip


def build(a: Assembly, p: SimpleNamespace) -> None:
    """Head at -z; x is 0 in the middle of the mattress."""
    half_x, half_z = p.width / 2 + 0.5 * p.thickness, p.length / 2 + 0.5 * p.thickness
    _frame(a, p, half_x, half_z)
    _mattress(a, p, p.frame_height)
    _board(a, p, p.headboard, -half_z, p.head_height)
    low = p.footboard == "low"
    _board(a, p, "panel" if low else p.footboard, half_z, 0.12 if low else p.foot_height)
    _upper(a, p, half_x, half_z)
    for side in {"none": (), "left": (-1,), "right": (1,), "both": (-1, 1)}[p.guard]:
        _guard(a, side * half_x, p.frame_height, p.mattress + 0.18, 0.1 * p.length, 0.6 * p.length)
    if p.chest != "none":
        height = p.frame_height + (0.0 if p.chest == "low" else p.mattress + 0.1)
        a.add("chest", box((0, height / 2, half_z + 0.2), (0.8 * p.width, height, 0.42)), "accent")
    for side in {"none": (), "left": (-1,), "right": (1,), "both": (-1, 1)}[p.night_stand]:
        _night_stand(a, p, side, half_x, half_z)


def _frame(a: Assembly, p: SimpleNamespace, half_x: float, half_z: float) -> None:
    h, width, length = p.frame_height, 2 * half_x, 2 * half_z
    if p.frame == "platform":
        a.add("frame", box((0, h - 0.05, 0), (1.15 * width, 0.1, 1.08 * length)))
        a.add("legs", box((0, h / 2 - 0.04, 0), (0.6 * width, h - 0.08, 0.7 * length)), "dark")
        return
    if p.frame == "legs":
        rail = min(0.14, 0.5 * h)
        _rails(a, half_x, half_z, h - rail, h)
        BASES[p.legs](a, half_x, half_z, h - 0.5 * rail, 0.5 * p.thickness + 0.03)
        return
    _rails(a, half_x, half_z, 0.0, h)
    if p.frame == "drawers":
        for side in (-1, 1):
            for z in (-0.25 * length, 0.25 * length):
                a.add("drawers", box((side * half_x, h / 2, z), (0.05, 0.7 * h, 0.44 * length)), "second")
                a.add("handles", box((side * (half_x + 0.03), h / 2, z), (0.03, 0.03, 0.15 * length)), "metal")


def _rails(a: Assembly, half_x: float, half_z: float, low: float, high: float) -> None:
    """Four boards around the mattress."""
    y, height, t = (low + high) / 2 + 0.02, high - low + 0.04, 0.05
    a.pair("frame", box((half_x - t / 2, y, 0), (t, height, 2 * half_z)))
    for s in (-1, 1):
        a.add("frame", box((0, y, s * (half_z - t / 2)), (2 * half_x - 0.01, height, t)))


def _mattress(a: Assembly, p: SimpleNamespace, y: float) -> None:
    top = y + p.mattress
    a.add("mattress", cushion((0, (y + top) / 2 - 0.01, 0), (p.width, p.mattress + 0.02, p.length), 0.4), "white")
    share = {"none": 0.0, "half": 0.5, "full": 0.72, "strip": 0.2}[p.blanket]
    if share:
        length = share * p.length
        size = (p.width + 0.05, 0.6 * p.mattress + 0.03, length)
        centre = (0, top + 0.03 - size[1] / 2, p.length / 2 + 0.02 - length / 2)
        a.add("blanket", cushion(centre, size, 0.3), "second")
    for k in range(p.pillows):
        each = 0.94 * p.width / p.pillows
        x = -0.47 * p.width + (k + 0.5) * each
        pillow = cushion((0, 0, 0), (0.92 * each, 0.13, 0.36), 0.8).turned("x", 18)
        a.add("pillows", pillow.moved(x, top + 0.07, -p.length / 2 + 0.24), "accent")


def _board(a: Assembly, p: SimpleNamespace, style: str, z: float, height: float) -> None:
    """A board across the bed at `z` that rises `height` above the frame."""
    if style == "none":
        return
    w, t, y0 = p.width + 2 * p.thickness, p.thickness, 0.3 * p.frame_height
    y1 = p.frame_height + height
    name = "headboard" if z < 0 else "footboard"
    if style == "panel":
        a.add(name, box((0, (y0 + y1) / 2, z), (w, y1 - y0, t)))
    elif style == "padded":
        a.add(name, box((0, (y0 + y1) / 2, z), (w, y1 - y0, 0.5 * t)))
        pad = cushion((0, 0, 0), (0.97 * w, 0.14, 0.95 * height), 0.7).turned("x", 90)
        a.add(name, pad.moved(0, y1 - 0.47 * height, z + np.sign(-z) * 0.06), "second")
    elif style == "arch":
        x = np.linspace(-0.5, 0.5, 13)
        top = y1 - y0 - 0.45 * height * (1 - np.cos(np.pi * x))
        outline = np.concatenate([[(-w / 2, 0.0), (w / 2, 0.0)], np.stack([x * w, top], axis=-1)[::-1]])
        a.add(name, front(outline, t).moved(0, y0, z))
    else:
        a.pair(name, box((w / 2 - t / 2, (y1 + 0.04) / 2, z), (1.2 * t, y1 + 0.04, 1.2 * t)))
        levels = (p.frame_height, y1 - 0.02) if style == "spindles" else np.linspace(p.frame_height, y1 - 0.02, 4)
        for y in levels:
            a.add(name, box((0, y, z), (w - t, 0.05, 0.6 * t)), "second")
        if style == "spindles":
            for x in np.linspace(-0.42 * w, 0.42 * w, 9):
                a.add(name, tube([(x, p.frame_height, z), (x, y1 - 0.02, z)], 0.025), "second")


def _upper(a: Assembly, p: SimpleNamespace, half_x: float, half_z: float) -> None:
    if p.upper == "none":
        return
    t, top = p.thickness, p.post_height
    for sx, sz in SIGNS:
        if p.upper != "half_canopy" or sz < 0:
            a.add("posts", box((sx * half_x, top / 2, sz * half_z), (1.3 * t, top, 1.3 * t)))
    if p.upper == "canopy":
        for s in (-1, 1):
            a.add("canopy", box((0, top, s * half_z), (2 * half_x, t, t)))
            a.add("canopy", box((s * half_x, top, 0), (t, t, 2 * half_z)))
        a.add("canopy", box((0, top + 0.4 * t, 0), (2 * half_x, 0.02, 2 * half_z)), "second")
    if p.upper == "half_canopy":
        a.add("canopy", box((0, top, -0.6 * half_z), (2 * half_x + t, 0.6 * t + 0.03, 0.9 * half_z)), "second")
    if p.upper == "bunk":
        y = top - 0.35
        a.add("upper bed", box((0, y, 0), (2 * half_x, 0.1, 2 * half_z)))
        a.add("upper bed", cushion((0, y + 0.11, 0), (p.width, 0.15, p.length)), "white")
        for side in (-1, 1):
            _guard(a, side * half_x, y, 0.3, 0.0, 1.8 * half_z)
        _ladder(a, (-1 if p.ladder == "left" else 1) * (half_x + 0.01), y + 0.25, 0.5 * half_z)


def _ladder(a: Assembly, x: float, top: float, z: float) -> None:
    lean = np.sign(x) * 0.25
    for dz in (-0.2, 0.2):
        a.add("ladder", beam((x + lean, 0.03, z + dz), (x, top, z + dz), 0.05, 0.05), "accent")
    for share in np.linspace(0.15, 0.9, 5):
        a.add("ladder", box((x + lean * (1 - share), share * top, z), (0.05, 0.03, 0.4)), "accent")


def _guard(a: Assembly, x: float, y: float, height: float, z: float, length: float) -> None:
    a.add("guard", box((x, y + height, z), (0.035, 0.06, length)), "second")
    for share in (-0.5, 0.0, 0.5):
        a.add("guard", box((x, y + height / 2, z + share * (length - 0.06)), (0.03, height, 0.05)), "second")


def _night_stand(a: Assembly, p: SimpleNamespace, side: int, half_x: float, half_z: float) -> None:
    w, h = 0.2 + 0.15 * p.width, p.frame_height + 0.8 * p.mattress
    x, z = side * (half_x + w / 2 - 0.01), -half_z + 0.22
    a.add("night stand", box((x, 0.5 * h + 0.03, z), (w, h - 0.06, 0.4)))
    a.add("night stand", box((x, 0.6 * h, z + 0.2), (0.85 * w, 0.3 * h, 0.03)), "second")
    a.add("night stand", box((x, 0.035, z), (0.9 * w, 0.07, 0.36)), "dark")


BED = Category("bed", ATTRIBUTES, build)
