"""A closed mesh around points without normals: their closing on a grid.

Points that a network predicts scatter about a surface: planes through them, and normals, are noise, and so is what
Poisson's equation makes of these. A closing needs none. All that lies within `RADIUS` spacings of a point is filled,
cavities too, and of the solid that results all is taken away again but `OFFSET` spacings around the points (Serra,
Image Analysis and Mathematical Morphology, 1982). What is left is what no empty ball of that radius reaches, as in
alpha shapes (Edelsbrunner and Mücke 1994), and a little more, so that sheets and wires have a thickness.
"""

import numpy as np
import torch
from jaxtyping import Float
from scipy import ndimage
from scipy.spatial import cKDTree
from torch import Tensor

from lit3d.ops.isosurface import Triangles, marching_cubes

RADIUS, OFFSET = 1.5, 0.3  # in spacings of the points
WALL = 2.0  # radius for points that lie on walls: these must close, or there is no inside
CELLS = 3  # of the grid in a spacing


def wrapped(points: Float[Tensor, "n 3"], apart: float, most: int, radius: float = RADIUS) -> Triangles:
    """A closed mesh around points, wound outwards.

    Args:
        points: finite; repeated ones and strays do no harm.
        apart: their spacing.
        most: cells of the grid along the longest side of the points' box, at most; a coarser grid wraps more loosely.
        radius: of the closing, in spacings: gaps of less than twice as much are bridged.
    """
    places = points.detach().cpu().double().numpy()
    low, high = places.min(0), places.max(0)
    cell = max(apart / CELLS, float((high - low).max()) / most)
    reach, offset = (max(share * apart, cells * cell) for share, cells in ((radius, 2), (OFFSET, 0.9)))
    far = reach + 2 * cell  # where distances are known
    shape = np.ceil((high - low + 2 * far) / cell).astype(int) + 1
    distance = _distance(places - low + far, shape, cell, far)
    solid = ndimage.binary_fill_holes(distance < reach)
    depth, outside = ndimage.distance_transform_edt(solid, return_indices=True)
    # The surface of the solid passes a little inside of the first place that is outside: by what this is too far off.
    depth = depth * cell - (distance[tuple(outside)] - reach)
    field = np.where(solid, depth, reach - distance) - (reach - offset)
    half = (shape[0] - 1) * cell / 2
    mesh = marching_cubes(torch.from_numpy(field.astype(np.float32)), half=half)
    return Triangles(mesh.vertices + half + torch.from_numpy(low - far).float(), mesh.faces)


def _distance(places: np.ndarray, shape: np.ndarray, cell: float, far: float) -> np.ndarray:
    """Distance of the grid's places from the nearest of n points (n, 3), as far as `far`."""
    empty = np.ones(shape, bool)
    empty[tuple(np.round(places / cell).astype(int).T)] = False
    near = ndimage.distance_transform_edt(empty) * cell < far + cell  # points were moved by less than a cell
    found, _ = cKDTree(places).query(np.argwhere(near) * cell, distance_upper_bound=far)
    distance = np.full(shape, far)
    distance[near] = np.minimum(found, far)
    return distance
