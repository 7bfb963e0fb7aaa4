"""What is inside of a mesh: exact for closed parts, a winding number or a vote of lines for the meshes of this world.

- **closed**: each part has every edge once in both directions and encloses a positive volume, as all shapes of the
  grammar. Inside of the union is where the winding number, an integer, is above 0.
- **winding**: doubled faces and faces without area are gone already (`loading.cleaned`); patches of faces are turned
  outwards by casting rays, and the generalised winding number (Jacobson et al. 2013; fast by Barill et al. 2018) is
  above 1/2. With libigl: `pip install lit3d[occupancy]`.
- **parity**: without libigl, the share of six axis-parallel rays that cross the mesh an odd number of times is above
  1/2. Sound for closed meshes, however their faces are wound; holes cost it more than they cost the winding number.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lit3d.ops.kernels.crossings import columns, crossings
from lit3d.synthesis.queries import near_queries, uniform_queries
from lit3d.synthesis.shape import Shape, UnusableMeshError

AMBIGUOUS = (0.25, 0.75)  # of the winding number, or of the votes: between them nobody knows
MOST_AMBIGUOUS = 0.05  # share of the cube
LEAST_INSIDE = 0.002
TURNS = ((0, 1, 2), (1, 2, 0), (2, 0, 1))  # axes so that each comes once in the middle; all keep the winding


@dataclass(frozen=True)
class OccupancyRecord:
    """Inside or outside, for the queries that `lit3d.synthesis.queries` gives.

    Attributes:
        method: "closed", "winding" or "parity"; empty where the mesh failed.
        uniform: (q,) bool for uniform queries.
        near: (n,) bool for near queries, at most one a surface sample.
        shifts: (2, 3) of the uniform and of the near queries.
        sigma: of the near queries.
        inside: share of the cube that is inside.
        ambiguous: share of the cube of which the method cannot tell.
        failure: why nothing is known; empty where something is.
    """

    method: str
    uniform: np.ndarray
    near: np.ndarray
    shifts: np.ndarray
    sigma: float
    inside: float
    ambiguous: float
    failure: str = ""

    def described(self) -> dict[str, Any]:
        """As object.json has it."""
        shares = {"inside": round(self.inside, 6), "ambiguous": round(self.ambiguous, 6)}
        if self.failure:
            return {"failure": self.failure, **shares}
        return {"method": self.method, **shares, "shifts": self.shifts, "sigma": self.sigma}


def occupancy(shape: Shape, points: np.ndarray, uniform: int, sigma: float,
              rng: np.random.Generator) -> OccupancyRecord:
    """Ask a normalised shape about its queries.

    Args:
        shape: in the object frame, cleaned.
        points: (n, 3) surface samples to which near queries belong.
        uniform: how many uniform queries.
        sigma: standard deviation of near queries, in units of the longest side.
        rng: draws the shifts.
    """
    shifts = rng.random((2, 3))
    try:
        method, certainty = inside_function(shape)
        share = certainty(uniform_queries(0, uniform, shifts[0]))
        near = certainty(near_queries(points, 0, shifts[1], sigma))
    except UnusableMeshError as error:
        none = np.zeros(0, bool)
        return OccupancyRecord("", none, none, shifts, sigma, 0.0, 0.0, str(error))
    inside = float((share > 0.5).mean())
    ambiguous = float(((share > AMBIGUOUS[0]) & (share < AMBIGUOUS[1])).mean())
    return OccupancyRecord(method, share > 0.5, near > 0.5, shifts, sigma, inside, ambiguous,
                           _failure(method, inside, ambiguous))


def _failure(method: str, inside: float, ambiguous: float) -> str:
    """Closed parts cannot fail: how little they enclose, they do."""
    if method != "closed" and ambiguous >= MOST_AMBIGUOUS:
        return (f"inside or outside is ambiguous in {ambiguous:.1%} of the cube "
                f"(less than {MOST_AMBIGUOUS:.0%} is needed)")
    if method != "closed" and inside <= LEAST_INSIDE:
        return f"encloses {inside:.2%} of the cube (more than {LEAST_INSIDE:.1%} is needed): an open or flat surface"
    return ""


def inside_function(shape: Shape) -> tuple[str, Callable[[np.ndarray], np.ndarray]]:
    """The method for a mesh, and queries (q, 3) -> how sure they are inside (q,): above 1/2 is inside.

    Raises:
        UnusableMeshError: nothing that could enclose anything, or a library gave numbers that make no sense.
    """
    vertices = np.ascontiguousarray(shape.vertices, np.float64)
    faces = np.ascontiguousarray(shape.faces, np.int64)
    # libigl reads memory that is not there for faces without vertices, and gives NaN or crashes for none at all.
    if len(faces) < 4 or faces.min() < 0 or faces.max() >= len(vertices) or not np.isfinite(vertices).all():
        raise UnusableMeshError(f"{len(faces)} faces cannot enclose anything")
    if closed(vertices, faces):
        return "closed", lambda queries: (_crossings(vertices, faces, queries)[0] > 0).astype(np.float32)
    if importlib.util.find_spec("igl") is None:
        return "parity", lambda queries: votes(vertices, faces, queries)
    return "winding", winding_function(vertices, faces)


def closed(vertices: np.ndarray, faces: np.ndarray) -> bool:
    """Whether every edge is there once in each direction, and every connected part encloses a positive volume."""
    count = np.int64(len(vertices))
    edges = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    there, back = np.sort(edges[:, 0] * count + edges[:, 1]), np.sort(edges[:, 1] * count + edges[:, 0])
    if not np.array_equal(there, back) or (there[1:] == there[:-1]).any():
        return False
    graph = coo_array((np.ones(len(edges), np.int8), (edges[:, 0], edges[:, 1])), shape=(count, count))
    parts, part = connected_components(graph, directed=False)
    a, b, c = vertices[faces].transpose(1, 0, 2)
    six = np.bincount(part[faces[:, 0]], (a * np.cross(b, c)).sum(axis=1), parts)
    return bool((six[np.unique(part[faces[:, 0]])] > 0).all())


def _crossings(vertices: np.ndarray, faces: np.ndarray, queries: np.ndarray) -> list[np.ndarray]:
    """Signed count above, counts above and below, each (q,) int32, along the second axis."""
    cells = int(np.clip(2 * np.sqrt(len(faces)), 8, 256))  # a finer grid takes longer to fill than it saves
    out = [np.empty(len(queries), np.int32) for _ in range(3)]
    crossings(columns(vertices, faces, cells), queries, *out)
    return out


def votes(vertices: np.ndarray, faces: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """(q,) float32: the share of the six axis-parallel rays that cross the mesh an odd number of times."""
    total = np.zeros(len(queries), np.float32)
    for turn in TURNS:
        turned, asked = np.ascontiguousarray(vertices[:, turn]), np.ascontiguousarray(queries[:, turn])
        _, above, below = _crossings(turned, faces, asked)
        total += above % 2 + below % 2
    return total / 6


def winding_function(vertices: np.ndarray, faces: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Queries -> the generalised winding number of the mesh with its patches turned outwards; needs libigl.

    Raises:
        UnusableMeshError: libigl cannot turn the faces, or gives numbers that are not finite.
    """
    import igl
    import igl.embree

    rays = max(20_000, 4 * len(faces))
    # Patches, not single faces: hidden inner faces get random votes, which tears sound meshes apart.
    flip, _ = igl.embree.reorient_facets_raycast(vertices, faces, rays_total=rays, rays_minimum=10, facet_wise=False,
                                                 use_parity=False)
    flip = np.asarray(flip).reshape(-1).astype(bool)
    if len(flip) != len(faces):
        raise UnusableMeshError("libigl cannot tell which side of its faces is outside")
    outwards = np.ascontiguousarray(np.where(flip[:, None], faces[:, ::-1], faces))

    def winding(queries: np.ndarray) -> np.ndarray:
        if not len(queries):
            return np.zeros(0, np.float32)
        found = igl.fast_winding_number(vertices, outwards, np.ascontiguousarray(queries, np.float64))
        if not np.isfinite(found).all():
            raise UnusableMeshError("its winding number is not finite")
        return np.asarray(found, np.float32).reshape(-1)

    return winding
