"""Lights of a view, and random variation of lights and colours."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lit3d.errors import UserError
from lit3d.ops.kernels.shading import Shading

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Lights:
    """A key light, a fill light and a hemisphere of ambient light; all intensities are linear and per channel.

    Attributes:
        directions: towards the key and towards the fill light; need not be unit vectors. In camera axes (x right,
            y down, z forward) or object axes (y up), as `attached_to` says.
        intensities: RGB of the two lights.
        sky: RGB ambient light on what faces up (object +y).
        ground: RGB ambient light on what faces down.
        specular: strength of the highlights.
        attached_to: "camera": lights come along with the camera; "object": they stand still around the object.
    """

    directions: tuple[Vector, Vector] = ((-0.55, -0.75, -0.75), (0.9, -0.1, -0.35))
    intensities: tuple[Vector, Vector] = ((0.62, 0.61, 0.58), (0.16, 0.17, 0.19))
    sky: Vector = (0.46, 0.47, 0.49)
    ground: Vector = (0.26, 0.25, 0.24)
    specular: float = 0.06
    attached_to: Literal["camera", "object"] = "camera"

    def in_object_frame(self, rotation: np.ndarray, eye: np.ndarray) -> Shading:
        """For the kernels.

        Args:
            rotation: (3, 3) object to camera.
            eye: (3,) camera position in the object frame.

        Raises:
            UserError: a direction has no length, or `attached_to` is unknown.
        """
        if self.attached_to not in ("camera", "object"):
            raise UserError(f"attached_to of lights must be 'camera' or 'object', got {self.attached_to!r}")
        directions = np.array(self.directions, np.float64)
        lengths = np.linalg.norm(directions, axis=1, keepdims=True)
        if directions.shape != (2, 3) or not np.isfinite(lengths).all() or lengths.min() == 0:
            raise UserError(f"directions of lights must be two vectors that are not zero, got {self.directions}")
        directions /= lengths
        if self.attached_to == "camera":
            directions = directions @ rotation
        return Shading(np.array(eye, np.float64), np.ascontiguousarray(directions, np.float32),
                       np.array(self.intensities, np.float32), np.array([self.ground, self.sky], np.float32),
                       np.float32(self.specular))


def draw_lights(rng: np.random.Generator, strength: float) -> Lights:
    """Random lights: strength 0 gives `Lights()`, 1 gives lights from almost anywhere in front of the object.

    Directions, brightness and tint vary; the key light stays on the camera's side, so that no view is black.
    """
    plain = Lights()
    directions = np.array(plain.directions) + strength * rng.normal(0, 0.6, (2, 3))
    directions[:, 2] = np.minimum(directions[:, 2], -0.2)
    intensities = np.array(plain.intensities) * np.exp(strength * rng.normal(0, [[0.2], [0.5]]))
    tint = np.exp(strength * rng.normal(0, 0.06, (4, 3)))
    ambient = np.exp(strength * rng.normal(0, 0.2))
    return Lights(
        directions=(_triple(directions[0]), _triple(directions[1])),
        intensities=(_triple(intensities[0] * tint[0]), _triple(intensities[1] * tint[1])),
        sky=_triple(np.array(plain.sky) * ambient * tint[2]),
        ground=_triple(np.array(plain.ground) * ambient * tint[3]),
        specular=plain.specular * float(np.exp(strength * rng.normal(0, 0.5))),
    )


def _triple(values: np.ndarray) -> Vector:
    return float(values[0]), float(values[1]), float(values[2])


def jitter_colours(rng: np.random.Generator, colours: np.ndarray, strength: float) -> np.ndarray:
    """Shift colours at random; faces of one colour (to 8 bits) stay alike.

    Args:
        rng: source of randomness.
        colours: (f, 3) in [0, 1].
        strength: 0 = unchanged; 1 = standard deviations 0.15 per channel and 25 % in brightness.

    Returns:
        (f, 3) float32 in [0, 1].
    """
    levels = np.round(np.clip(colours, 0, 1) * 255).astype(np.int64)
    _, group = np.unique((levels[:, 0] << 16) | (levels[:, 1] << 8) | levels[:, 2], return_inverse=True)
    count = int(group.max(initial=-1)) + 1
    shift = strength * rng.normal(0, 0.15, (count, 3))
    gain = np.exp(strength * rng.normal(0, 0.25, (count, 1)))
    return np.clip((colours + shift[group]) * gain[group], 0, 1).astype(np.float32)
