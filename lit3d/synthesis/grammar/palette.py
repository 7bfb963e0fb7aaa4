"""Colours of grammar objects: three colours of a palette by role, and a few materials that no palette changes."""

import colorsys
from types import SimpleNamespace

import numpy as np

from lit3d.synthesis.grammar.attribute import integer, real

# (main, second, accent) in sRGB, 0 to 255.
PALETTES = (
    ((176, 125, 78), (222, 205, 178), (90, 62, 43)),
    ((96, 62, 42), (150, 40, 44), (205, 170, 110)),
    ((214, 184, 140), (70, 110, 140), (245, 240, 230)),
    ((235, 232, 225), (120, 130, 140), (200, 80, 60)),
    ((58, 62, 70), (190, 190, 195), (225, 160, 50)),
    ((40, 84, 130), (230, 226, 214), (200, 60, 55)),
    ((60, 110, 80), (190, 150, 100), (240, 220, 150)),
    ((178, 52, 48), (60, 55, 55), (235, 215, 180)),
    ((228, 180, 60), (80, 78, 85), (245, 245, 240)),
    ((150, 160, 172), (60, 90, 120), (230, 120, 60)),
    ((120, 84, 140), (205, 200, 215), (90, 170, 160)),
    ((90, 170, 170), (240, 235, 225), (180, 110, 70)),
)
_MATERIALS = {
    "dark": (45, 45, 48),
    "metal": (165, 168, 172),
    "brass": (190, 155, 85),
    "glass": (70, 90, 105),
    "white": (238, 236, 230),
    "glow": (255, 236, 190),
}

COLOUR_ATTRIBUTES = (
    integer("palette", 0, len(PALETTES) - 1, "index of the three main colours"),
    real("hue_shift", -0.05, 0.05, "turn of the palette's hues, in full circles"),
    real("brightness", 0.7, 1.15, "factor on all colours"),
)


def role_colours(p: SimpleNamespace) -> dict[str, np.ndarray]:
    """Colour (3,) float32 in [0, 1] of every role, from the colour attributes of an object."""
    roles = dict(_MATERIALS)
    colours = {name: np.array(rgb) / 255 for name, rgb in roles.items()}
    for role, rgb in zip(("main", "second", "accent"), PALETTES[p.palette], strict=True):
        hue, lightness, saturation = colorsys.rgb_to_hls(*(c / 255 for c in rgb))
        colours[role] = np.array(colorsys.hls_to_rgb((hue + p.hue_shift) % 1.0, lightness, saturation))
    return {name: np.clip(c * p.brightness, 0, 1).astype(np.float32) for name, c in colours.items()}
