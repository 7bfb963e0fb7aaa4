"""What a depth camera makes of exact depth: noise, steps, and holes where it sees nothing.

A sensor that triangulates (structured light, active stereo) measures disparity d = f b / z, so noise and steps of d
become ones of depth that grow with z^2; a time-of-flight camera measures distance itself. docs/rgbd.md has the sources.
"""

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float

from lit3d.errors import UserError, did_you_mean

JUMP = 0.05  # of the depth: neighbours that differ by more belong to two surfaces
DOWN, RIGHT = 0, 1  # axes of a picture


@dataclass(frozen=True)
class Sensor:
    """A depth camera; pixels are its own, metres its unit.

    Attributes:
        focal: of the depth picture, pixels.
        baseline: metres from the camera to its projector or second camera, on the right (+x); 0: time of flight.
        near: nearest depth that is measured, metres.
        far: the farthest.
        disparity_noise: standard deviation of disparity, pixels.
        disparity_step: disparity is rounded to multiples of this many pixels; 0: it is not.
        noise: (c, q): standard deviation c + q z^2 of depth beside what disparity gives, metres.
        step: depth is rounded to multiples of this, metres; 0: it is not.
        lateral: standard deviation of the place where a pixel looks, pixels, in x and in y.
        edge: holes along depth edges are so wide on either side, pixels.
        mixed: along edges between two surfaces, pixels so wide on either side lie somewhere between the two.
        grazing: degrees between ray and normal from which pixels are lost, and at which all are; linear between.

    Raises:
        UserError: a number out of range.
    """

    focal: float
    baseline: float = 0.0
    near: float = 0.0
    far: float = np.inf
    disparity_noise: float = 0.0
    disparity_step: float = 0.0
    noise: tuple[float, float] = (0.0, 0.0)
    step: float = 0.0
    lateral: float = 0.0
    edge: float = 0.0
    mixed: float = 0.0
    grazing: tuple[float, float] = (90.0, 90.0)

    def __post_init__(self) -> None:
        least = min(np.min(getattr(self, f.name)) for f in fields(self))
        if not (least >= 0 and self.focal > 0 and self.near < self.far and self.grazing[0] <= self.grazing[1] <= 90):
            raise UserError(
                "a depth sensor needs focal > 0, near < far, grazing angles that rise to at most 90 degrees and no "
                f"negative number, got {self}"
            )
        if self.baseline == 0 and max(self.disparity_noise, self.disparity_step) > 0:
            raise UserError("a depth sensor without a baseline has no disparity: give baseline, or noise and step")


PRESETS = {
    "kinect": Sensor(
        focal=585, baseline=0.075, near=0.8, far=4.0, disparity_noise=0.05, disparity_step=0.125, step=0.001,
        lateral=0.8, edge=3.0, grazing=(70.0, 90.0),
    ),
    "realsense": Sensor(
        focal=424, baseline=0.05, near=0.3, far=3.0, disparity_noise=0.08, disparity_step=1 / 32, step=0.001,
        lateral=0.5, edge=2.0, grazing=(75.0, 90.0),
    ),
    "tof": Sensor(
        focal=417, near=0.5, far=3.86, noise=(0.001, 0.0011), step=0.001, lateral=0.5, mixed=1.0,
        grazing=(70.0, 90.0),
    ),
}  # fmt: skip


def find_sensor(sensor: "str | Sensor | None") -> Sensor | None:
    """A preset by its name; what is a sensor already, or None, stays.

    Raises:
        UserError: no such preset.
    """
    if not isinstance(sensor, str):
        return sensor
    if sensor not in PRESETS:
        known = ", ".join(PRESETS)
        raise UserError(f"there is no depth sensor '{sensor}': known are {known}.{did_you_mean(sensor, PRESETS)}")
    return PRESETS[sensor]


def measure(
    depth: Float[np.ndarray, "h w"], normal: Float[np.ndarray, "h w 3"], intrinsics: Float[np.ndarray, "3 3"],
    sensor: Sensor, rng: np.random.Generator, metres: float = 1.0,
) -> Float[np.ndarray, "h w"]:  # fmt: skip
    """Depth as a sensor would give it.

    Widths in pixels of the sensor shrink with the picture: by the ratio of its focal length to the sensor's.

    Args:
        depth: camera z, 0 where nothing is.
        normal: unit normals in camera axes.
        intrinsics: pixels of this picture, centres at +0.5.
        sensor: the sensor.
        rng: the only source of randomness.
        metres: one unit of depth.

    Returns:
        Depth in the same unit, float32; 0 in holes.
    """
    ratio = float(intrinsics[0, 0]) / sensor.focal
    true = depth.astype(np.float64) * metres
    lost = rng.random(true.shape) < lost_share(true, normal, intrinsics, sensor.grazing)
    lost |= shadow(true, float(intrinsics[0, 0]) * sensor.baseline)
    lost |= band(edges(true), sensor.edge * ratio, rng)
    z = mixed(np.where(lost, 0, true), sensor.mixed * ratio, rng)
    z = displaced(z, sensor.lateral * ratio, rng)
    z = quantised(z, sensor, rng.standard_normal((2, *z.shape)))
    return np.where((z >= sensor.near) & (z <= sensor.far), z / metres, 0).astype(np.float32)


def quantised(
    z: Float[np.ndarray, "h w"], sensor: Sensor, draws: Float[np.ndarray, "2 h w"]
) -> Float[np.ndarray, "h w"]:
    """Noise and rounding of disparity, then of depth, in metres; 0 stays 0.

    Barron, Malik (CVPR 2013) and Handa et al. (ICRA 2014) round z = f b / round(f b / z + noise) so.
    """
    seen = z > 0
    if sensor.baseline:
        disparity = sensor.focal * sensor.baseline / np.where(seen, z, 1) + sensor.disparity_noise * draws[0]
        disparity = _rounded(disparity, sensor.disparity_step)
        seen &= disparity > 0
        z = sensor.focal * sensor.baseline / np.where(seen, disparity, 1)
    z = z + (sensor.noise[0] + sensor.noise[1] * z**2) * draws[1]
    return np.where(seen, np.maximum(_rounded(z, sensor.step), 0), 0)


def _rounded(values: np.ndarray, step: float) -> np.ndarray:
    return np.round(values / step) * step if step else values


def shadow(z: Float[np.ndarray, "h w"], focal_baseline: float) -> Bool[np.ndarray, "h w"]:
    """Pixels that the projector, or the second camera, on the right does not see.

    It sees column u at u - f b / z. A pixel is hidden where another one further right appears at the same place or left
    of it: that one is nearer, and stands between.

    Args:
        z: depth in metres, 0 where nothing is.
        focal_baseline: f b in pixels of this picture times metres; 0 hides nothing.
    """
    if not focal_baseline:
        return np.zeros(z.shape, bool)
    column = np.arange(z.shape[1], dtype=np.float64)
    there = np.where(z > 0, column - focal_baseline / np.where(z > 0, z, 1), np.inf)
    least = np.minimum.accumulate(there[:, ::-1], axis=1)[:, ::-1]
    beyond = np.concatenate([least[:, 1:], np.full((len(z), 1), np.inf)], axis=1)
    return (z > 0) & (there >= beyond)


def edges(z: Float[np.ndarray, "h w"], silhouettes: bool = True) -> Bool[np.ndarray, "h w"]:
    """Pixels on either side of a depth edge: a step of more than `JUMP`, or the border of what is seen."""
    found = np.zeros(z.shape, bool)
    for axis in (DOWN, RIGHT):
        a, b = (z[:-1], z[1:]) if axis == DOWN else (z[:, :-1], z[:, 1:])
        far = np.maximum(a, b)
        step = (np.abs(a - b) > JUMP * far) & (silhouettes | (np.minimum(a, b) > 0))
        for part, end in ((slice(None, -1), a), (slice(1, None), b)):
            place = (part, slice(None)) if axis == DOWN else (slice(None), part)
            found[place] |= step & (end > 0)
    return found


def band(edge: Bool[np.ndarray, "h w"], width: float, rng: np.random.Generator) -> Bool[np.ndarray, "h w"]:
    """Pixels less than `width` from an edge (in steps down, up, left, right); a fraction of one is a probability."""
    whole, share = int(width), width - int(width)
    reached = np.zeros(edge.shape, bool)
    if width <= 0 or not edge.any():
        return reached
    ring = edge
    for _ in range(whole):
        reached, ring = ring, grown(ring)
    return reached | (ring & (rng.random(edge.shape) < share))


def grown(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The mask and the neighbours of its pixels."""
    out = mask.copy()
    out[1:] |= mask[:-1]
    out[:-1] |= mask[1:]
    out[:, 1:] |= mask[:, :-1]
    out[:, :-1] |= mask[:, 1:]
    return out


def mixed(z: Float[np.ndarray, "h w"], width: float, rng: np.random.Generator) -> Float[np.ndarray, "h w"]:
    """Flying pixels: near an edge between two surfaces light of both arrives, and the answer lies between."""
    touched = band(edges(z, silhouettes=False), width, rng)
    if not touched.any():
        return z
    around = np.stack([_moved(z, dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)])
    high = around.max(0)
    low = np.where(around > 0, around, high).min(0)
    between = low + rng.random(z.shape) * (high - low)
    return np.where(touched & (z > 0), between, z)


def _moved(z: np.ndarray, dy: int, dx: int) -> np.ndarray:
    return np.pad(z, 1)[1 + dy : 1 + dy + z.shape[0], 1 + dx : 1 + dx + z.shape[1]]


def displaced(z: Float[np.ndarray, "h w"], sigma: float, rng: np.random.Generator) -> Float[np.ndarray, "h w"]:
    """Each pixel looks at a random place nearby, to the nearest pixel: outlines fray, and slopes become rough."""
    moved = np.rint(sigma * rng.standard_normal((2, *z.shape))).astype(int)
    rows, columns = np.indices(z.shape)
    return z[np.clip(rows + moved[0], 0, z.shape[0] - 1), np.clip(columns + moved[1], 0, z.shape[1] - 1)]


def lost_share(
    z: Float[np.ndarray, "h w"], normal: Float[np.ndarray, "h w 3"], intrinsics: Float[np.ndarray, "3 3"],
    grazing: tuple[float, float],
) -> Float[np.ndarray, "h w"]:  # fmt: skip
    """Probability that too little light comes back to be measured: 0 up to the first angle, 1 from the second on."""
    h, w = z.shape
    pixels = np.stack([*np.meshgrid(np.arange(w) + 0.5, np.arange(h) + 0.5), np.ones((h, w))], axis=-1)
    rays = pixels @ np.linalg.inv(intrinsics.astype(np.float64)).T
    cosine = -(rays * normal).sum(-1) / np.linalg.norm(rays, axis=-1)
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    low, high = grazing
    share = (angle - low) / (high - low) if high > low else (angle > high).astype(np.float64)
    return np.where(z > 0, np.clip(share, 0, 1), 0)
