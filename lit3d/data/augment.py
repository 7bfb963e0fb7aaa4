"""Augmentation that keeps points, depth and camera consistent with the image."""

from dataclasses import dataclass

import numpy as np

from lit3d.data.frames import MIRROR
from lit3d.errors import UserError
from lit3d.ops.kernels.pixels import composite_straight_alpha


@dataclass(frozen=True)
class Augment:
    """What may change between two looks at the same stored view; all zero is no change.

    Attributes:
        mirror: probability of a left-right flip of image *and* shape.
        shift: the crop moves by up to this many whole pixels in x and y; the principal point moves along.
        colour: up to this relative change of brightness, contrast and each channel.
        background: "white", "random" (one colour an image) or three numbers in [0, 1].
    """

    mirror: float = 0.0
    shift: int = 0
    colour: float = 0.0
    background: str | tuple[float, float, float] = "white"

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if not 0 <= self.mirror <= 1 or self.shift < 0 or not 0 <= self.colour < 1:
            raise UserError(
                "data.augment: mirror is a probability, shift a number of pixels, colour a share below 1; got "
                f"{self.mirror}, {self.shift}, {self.colour}"
            )
        self.draw_background(np.random.default_rng(0))

    def draw_background(self, rng: np.random.Generator) -> np.ndarray:
        """An RGB colour (3,) float32.

        Raises:
            UserError: an unknown background.
        """
        if self.background == "white":
            return np.ones(3, np.float32)
        if self.background == "random":
            return rng.random(3, dtype=np.float32)
        if isinstance(self.background, str) or len(self.background) != 3:
            raise UserError(f"data.augment.background must be white, random or [r, g, b], got {self.background}")
        return np.asarray(self.background, np.float32)


def composite(rgba: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Straight-alpha uint8 (h, w, 4) on a colour (3,) -> float32 (h, w, 3) in [0, 1]."""
    out = np.empty((*rgba.shape[:2], 3), np.float32)
    composite_straight_alpha(np.ascontiguousarray(rgba), background.astype(np.float32, copy=False), out)
    return out


def jitter_colour(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Brightness and tint per channel, and contrast about the mean, each within 1 +- strength."""
    gain = rng.uniform(1 - strength, 1 + strength, 3).astype(np.float32)
    contrast = np.float32(rng.uniform(1 - strength, 1 + strength))
    mean = image.mean(dtype=np.float32)
    return np.clip(((image - mean) * contrast + mean) * gain, 0, 1)


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
