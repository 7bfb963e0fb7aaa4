"""Augmentation that keeps points, depth and camera consistent with the image."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lit3d.data import backgrounds
from lit3d.data.frames import MIRROR
from lit3d.errors import UserError
from lit3d.ops.kernels.pixels import composite_straight_alpha

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601: the grey of a colour
AXIS = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], np.float32) / np.float32(np.sqrt(3))  # cross product with grey


@dataclass(frozen=True)
class Augment:
    """What may change between two looks at the same stored view; all zero is no change.

    Colours change on the object alone, for photographs are put on plain white before a network sees them.

    Attributes:
        mirror: probability of a left-right flip of image *and* shape.
        shift: the crop moves by up to this many whole pixels in x and y; the principal point moves along.
        colour: up to this relative change of brightness, contrast and each channel.
        saturation: up to this relative change of the distance from grey.
        hue: up to this share of a full turn of the colour circle, both ways.
        grey: probability of no colour at all.
        background: "white", "random" (one colour, a gradient or a noise texture), a folder of pictures (a piece of
            one), or three numbers in [0, 1].
        white: share of images that stand on white all the same.
    """

    mirror: float = 0.0
    shift: int = 0
    colour: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    grey: float = 0.0
    background: str | tuple[float, float, float] = "white"
    white: float = 0.0
    files: tuple[Path, ...] = field(init=False, repr=False, default=())

    def __post_init__(self) -> None:
        """Refuse what has no meaning; look for the pictures of a folder."""
        chances = (self.mirror, self.grey, self.white)
        if not all(0 <= p <= 1 for p in chances) or self.shift < 0 or not 0 <= self.colour < 1:
            raise UserError(
                "data.augment: mirror, grey and white are probabilities, shift a number of pixels, colour a share "
                f"below 1; got {self.mirror}, {self.grey}, {self.white}, {self.shift}, {self.colour}"
            )
        if not 0 <= self.saturation <= 1 or not 0 <= self.hue <= 0.5:
            raise UserError(
                "data.augment: saturation is a share up to 1, hue one of a turn up to 0.5; got "
                f"{self.saturation}, {self.hue}"
            )
        object.__setattr__(self, "files", _pictures_of(self.background))

    @property
    def recolours(self) -> bool:
        """Whether the object's colours change at all."""
        return max(self.colour, self.saturation, self.hue, self.grey) > 0

    def draw_background(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """A colour (3,) or a picture (size, size, 3), float32 in [0, 1]."""
        if self.background == "white" or (self.white and rng.random() < self.white):
            return np.ones(3, np.float32)
        if self.background == "random":
            return backgrounds.draw_texture(rng, size)
        if self.files:
            return backgrounds.draw_piece(rng, self.files, size)
        return np.asarray(self.background, np.float32)


def _pictures_of(background: str | tuple[float, float, float]) -> tuple[Path, ...]:
    if background in ("white", "random"):
        return ()
    if isinstance(background, str) and Path(background).is_dir():
        return backgrounds.find_photographs(background)
    try:
        colour = np.asarray(background, float) if not isinstance(background, str) else np.empty(0)
    except (TypeError, ValueError):
        colour = np.empty(0)
    if colour.shape != (3,) or not ((colour >= 0) & (colour <= 1)).all():
        raise UserError(
            "data.augment.background must be white, random, [r, g, b] in 0 to 1 or a folder of pictures, "
            f"got {background}"
        )
    return ()


def composite(rgba: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Straight-alpha uint8 (h, w, 4) on a colour (3,) or a picture (h, w, 3) -> float32 (h, w, 3) in [0, 1]."""
    if background.ndim == 3:
        return over(rgba[..., :3].astype(np.float32) / 255, rgba[..., 3:].astype(np.float32) / 255, background)
    out = np.empty((*rgba.shape[:2], 3), np.float32)
    composite_straight_alpha(np.ascontiguousarray(rgba), background.astype(np.float32, copy=False), out)
    return out


def over(colour: np.ndarray, alpha: np.ndarray, background: np.ndarray) -> np.ndarray:
    """The colour (h, w, 3) where alpha (h, w, 1) is 1, the background where it is 0: background + alpha (c - b)."""
    return background + alpha * (colour - background)


def recoloured(rgba: np.ndarray, look: Augment, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Other colours of the object: hue, then saturation, then contrast about the object's mean, then tint.

    Args:
        rgba: (h, w, 4) uint8, straight alpha.
        look: how much may change.
        rng: draws how much does.

    Returns:
        Colour (h, w, 3) float32 in [0, 1] and alpha (h, w, 1).
    """
    colour, alpha = rgba[..., :3].astype(np.float32) / 255, rgba[..., 3:].astype(np.float32) / 255
    gain = rng.uniform(1 - look.colour, 1 + look.colour, 3).astype(np.float32)
    contrast, saturation, hue, grey = rng.uniform(-1, 1, 4).astype(np.float32).tolist()
    kept = 0.0 if (grey + 1) / 2 < look.grey else 1 + look.saturation * saturation
    turned = colour @ hue_turn(2 * np.pi * look.hue * hue).T
    luma = (turned @ LUMA)[..., None]
    mixed = luma + kept * (turned - luma)
    mean = float((mixed * alpha).sum() / max(3 * float(alpha.sum()), 1e-6))
    return np.clip(((mixed - mean) * (1 + look.colour * contrast) + mean) * gain, 0, 1), alpha


def hue_turn(angle: float) -> np.ndarray:
    """Rotation (3, 3) of RGB about the grey axis (Rodrigues' formula): greys and the sum of channels stay."""
    turn = np.eye(3) + np.sin(angle) * AXIS + (1 - np.cos(angle)) * (AXIS @ AXIS)
    return turn.astype(np.float32)


def shifted(image: np.ndarray, dx: int, dy: int, fill: np.ndarray | float) -> np.ndarray:
    """(h, w, ...) moved by whole pixels, right and down for positive; uncovered pixels get `fill`."""
    h, w = image.shape[:2]
    out = np.empty_like(image)
    out[...] = fill
    out[max(0, dy) : h + min(0, dy), max(0, dx) : w + min(0, dx)] = image[
        max(0, -dy) : h + min(0, -dy), max(0, -dx) : w + min(0, -dx)
    ]
    return out


def mirrored_camera(intrinsics: np.ndarray, pose: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Intrinsics (3, 3) and pose (4, 4) of the flipped picture: cx' = w - cx, pose' = M pose M."""
    flipped = intrinsics.copy()
    flipped[0, 2] = width - intrinsics[0, 2]
    return flipped, MIRROR @ pose @ MIRROR
