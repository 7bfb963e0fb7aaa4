"""Objects of which a front view leaves one attribute open: what hides, and what is hidden behind it.

All that is drawn shows in the picture, all that does not is fixed or is the hidden value; else there would be further
hidden variables and the posterior would not be known. The hiding side faces +z, where cameras within 8 degrees of
azimuth and from 0 to 8 degrees of elevation stand. The hidden solids come last, so that no bit of the others depends
on them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from lit3d.synthesis.grammar.assembly import Assembly
from lit3d.synthesis.grammar.attribute import AttributeSpec, choice, integer, real
from lit3d.synthesis.grammar.cabinet import CABINET
from lit3d.synthesis.grammar.chair import CHAIR
from lit3d.synthesis.grammar.mug import BODIES, MUG
from lit3d.synthesis.grammar.palette import COLOUR_ATTRIBUTES
from lit3d.synthesis.grammar.primitives import box
from lit3d.synthesis.shape import Attribute, Shape

HIDDEN_VERSION = 1  # raised with every change that alters a shape or a draw


@dataclass(frozen=True)
class Kind:
    """A kind of ambiguous object.

    Attributes:
        name: key in `KINDS`, and the category of its objects.
        attribute: what the pictures do not tell.
        probabilities: of each value, unless others are asked for.
        drawn: the visible variables.
        visible: adds the parts that are seen.
        hidden: adds the parts that are not, for one value.
    """

    name: str
    attribute: str
    probabilities: Mapping[str, float]
    drawn: tuple[AttributeSpec, ...]
    visible: Callable[[Assembly, SimpleNamespace], None]
    hidden: Callable[[Assembly, SimpleNamespace, str], None]

    def build(self, attributes: Mapping[str, Attribute], value: str) -> Shape:
        """The object with the given visible attributes and hidden value, not normalised."""
        assembly, p = Assembly(), SimpleNamespace(**attributes)
        self.visible(assembly, p)
        self.hidden(assembly, p, value)
        return assembly.shape({**attributes, self.attribute: value})


def _with(fixed: Mapping[str, Attribute], p: SimpleNamespace) -> SimpleNamespace:
    return SimpleNamespace(**(dict(fixed) | vars(p)))


# ---- a mug, pressed flat, whose broad handle stands out at the back, left or right

_FLAT = 0.3  # depth over width of the body
_MUG: dict[str, Attribute] = {
    "handle": "none", "second_handle": "no", "saucer": "none", "inside": "none", "handle_angle": 0.0, "wall": 0.1,
    "section": "round",
}  # fmt: skip
_HANDLE = (0.12, 0.76)  # from, to: shares of the body's height


def _mug(a: Assembly, p: SimpleNamespace) -> None:
    whole = Assembly()
    MUG.builder(whole, _with(_MUG, p))
    for name, solid, colour in whole.parts():
        a.add(name, solid.scaled(1.0, 1.0, _FLAT), colour)


def _handle(a: Assembly, p: SimpleNamespace, value: str) -> None:
    """A loop of three boards, as broad as the narrowest place of the body that hides it allows."""
    foot = 0.35 * p.foot_height if p.foot == "ring" else 0.0
    shares, widths = np.linspace(*_HANDLE, 14), BODIES[p.body]
    half = 0.88 * p.radius * float(np.interp(shares, (0.0, 0.16, 0.4, 0.62, 0.82, 1.0), widths).min())
    side, breadth, t = (-1 if value == "left" else 1), 0.8 * half, 0.14
    x, low, high = side * (half - breadth / 2), foot + _HANDLE[0], foot + _HANDLE[1]
    start, end = -0.4 * _FLAT * p.radius, -(1.99 - _FLAT) * p.radius  # in the body; as deep as wide
    for y in (low + t / 2, high - t / 2):
        a.add("handle", box((x, y, (start + end) / 2), (breadth, t, start - end)), "second")
    a.add("handle", box((x, (low + high) / 2, end + t / 2), (0.998 * breadth, high - low, 0.998 * t)), "second")


# ---- a cabinet behind its front

_CABINET: dict[str, Attribute] = {
    "open_door": "none", "wing": "none", "hutch": "none", "on_top": "none", "back": "board", "depth": 0.12,
    "board": 0.02, "open_angle": 45.0, "wing_width": 0.3, "hutch_height": 0.3,
}  # fmt: skip
_FRONT = (
    choice("fronts", "what closes the compartments", doors=1, drawers=1),
    choice("base", "what it stands on", plinth=1, none=1),
    choice("crown", "what ends it above", none=1, plate=1, pediment=1),
    choice("handle", "handles of doors and drawers", knob=2, bar=2, none=1),
    integer("columns", 1, 4, "compartments side by side"),
    integer("rows", 1, 5, "compartments above each other"),
    real("width", 0.95, 1.15, "width in m"),
    real("height", 0.95, 1.15, "height of the body in m"),
    real("base_height", 0.04, 0.12, "height of the base in m"),
    *COLOUR_ATTRIBUTES,
)
DEPTHS = {"shallow": 0.2, "middle": 0.55, "deep": 1.0}  # in units of the larger of width and height


def _cabinet(a: Assembly, p: SimpleNamespace) -> None:
    CABINET.builder(a, _with(_CABINET, p))


def _carcass(a: Assembly, p: SimpleNamespace, value: str) -> None:
    """The body behind the front frame, a little smaller than it."""
    floor = p.base_height if p.base == "plinth" else 0.0
    start, end = -0.03, 0.06 - DEPTHS[value] * max(p.width, p.height)
    z, depth = (start + end) / 2, start - end
    a.add("carcass", box((0, floor + p.height / 2, z), (0.95 * p.width, 0.95 * p.height, depth)))
    if floor:
        a.add("carcass", box((0, (floor + 0.03 * p.height) / 2, z),
                             (0.85 * p.width, floor + 0.03 * p.height, 0.99 * depth)), "dark")  # fmt: skip


# ---- the same front with one long box behind it: the bar with a square at one of four corners, in space

_CORNERS = {"low_left": (-1, -1), "low_right": (1, -1), "high_left": (-1, 1), "high_right": (1, 1)}
_BOX = 0.36  # share of width and height; as deep as the cabinet is wide


def _corner(a: Assembly, p: SimpleNamespace, value: str) -> None:
    """A box near one of the corners, left and right as the camera sees it."""
    floor = p.base_height if p.base == "plinth" else 0.0
    x, y = (0.5 * (0.92 - _BOX) * sign for sign in _CORNERS[value])
    start, end = -0.03, 0.06 - max(p.width, p.height)
    centre = (x * p.width, floor + (0.5 + y) * p.height, (start + end) / 2)
    a.add("corner", box(centre, (_BOX * p.width, _BOX * p.height, start - end)), "accent")


# ---- a seat seen from behind: to which side does its wing reach forwards?

_CHAIR: dict[str, Attribute] = {
    "legs": "panels", "seat": "square", "back": "solid", "arms": "none", "arm_side": "both", "tablet": "none",
    "stretcher": "none", "padding": "none", "back_tilt": 0.0, "leg_thickness": 0.05, "seat_thickness": 0.1,
    "arm_height": 0.2, "depth": 0.4,
}  # fmt: skip


def _chair(a: Assembly, p: SimpleNamespace) -> None:
    whole = Assembly()
    CHAIR.builder(whole, _with(_CHAIR, p))
    whole.add("skirt", box((0, p.seat_height / 2, -0.21), (0.98 * p.width, p.seat_height, 0.03)), "second")
    for name, solid, colour in whole.parts():
        a.add(name, solid.turned("y", 180), colour)


def _wing(a: Assembly, p: SimpleNamespace, value: str) -> None:
    """A block from the floor to above the seat, as long as the seat is wide; left and right as the camera sees it."""
    breadth, height = 0.38 * p.width, p.seat_height + 0.65 * p.back_height
    x = (-1 if value == "left" else 1) * (0.45 * p.width - breadth / 2)
    start, end = 0.18, 0.22 - p.width
    a.add("wing", box((x, height / 2, (start + end) / 2), (breadth, height, start - end)), "accent")


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("mug_handle", "handle", {"left": 0.5, "right": 0.5}, (
            choice("body", "outline of the body", straight=1, barrel=1, stein=1),
            choice("foot", "what the body stands on", none=1, ring=1),
            choice("lid", "what covers the rim", flat=1, dome=1, knob=1),
            choice("band", "raised band around the body", none=1, one=1, two=1),
            real("radius", 0.7, 0.95, "half the width in units of the height"),
            real("foot_height", 0.1, 0.4, "height of the foot, times 0.35, in units of the height"),
            *COLOUR_ATTRIBUTES,
        ), _mug, _handle),
        Kind("cabinet_depth", "depth", {"shallow": 0.5, "middle": 0.0, "deep": 0.5}, _FRONT, _cabinet, _carcass),
        Kind("cabinet_corner", "corner", dict.fromkeys(_CORNERS, 0.25), _FRONT, _cabinet, _corner),
        Kind("chair_side", "wing", {"left": 0.5, "right": 0.5}, (
            choice("top", "what ends the back rest above", plain=1, rail=1, pillow=1),
            real("width", 1.0, 1.3, "width of the seat in m"),
            real("seat_height", 0.3, 0.5, "height of the seat in m"),
            real("back_height", 0.4, 0.7, "height of the back rest above the seat in m"),
            *COLOUR_ATTRIBUTES,
        ), _chair, _wing),
    )
}  # fmt: skip
