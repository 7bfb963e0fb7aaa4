"""Any mesh file -> one clean, coloured `Shape`.

Public meshes arrive broken in every way, so everything that a reader may raise becomes one
`UnusableMeshError` whose text is a short reason that is the same on every machine.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import trimesh
from PIL import Image
from trimesh.resolvers import Resolver

from lit3d.synthesis.shape import Shape, UnusableMeshError

SUFFIXES = (".obj", ".ply", ".off", ".stl", ".glb", ".gltf")
OPTIONAL_SUFFIXES = (".dae", ".3mf")  # trimesh reads them where pycollada / lxml are installed
MAX_FACES = 200_000
MAX_BYTES = 500_000_000
MAX_TEXTURE = 512  # pixels, longest side: renders are 64..224 pixels wide
DEFAULT_COLOUR = (0.4, 0.4, 0.4)  # also what trimesh gives to a material without a diffuse colour
_MERGE_CELLS = 2**20  # vertices closer than extent / 2**20 are one; three such indices fit into 63 bits
_SLIVER = 1e-6  # a face whose height is below this part of its longest edge has no area


def load_mesh(
    source: str | Path | IO[bytes],
    file_type: str | None = None,
    resolver: Resolver | None = None,
    max_faces: int = MAX_FACES,
    max_bytes: int = MAX_BYTES,
) -> Shape:
    """Read a mesh file with its colours and textures, and clean it.

    Node transforms of the file are applied and all its meshes become one. The colour of a face is its
    texture where it has a readable one (the image alone, not multiplied by the diffuse colour), else the
    diffuse colour of its material, its face colour or the mean of its vertex colours. Transparency is ignored.

    Args:
        source: path, or an open binary file (then `file_type` is needed).
        file_type: suffix without the dot, such as "obj"; default: that of the path.
        resolver: finds the files a mesh names (materials, textures); default: the folder of the path.
        max_faces: more faces than this make the mesh unusable.
        max_bytes: a larger file is not read at all.

    Raises:
        UnusableMeshError: with the reason in one short sentence, whatever is wrong with the file.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        _check_file(path, max_bytes)
        file_type = file_type or path.suffix
        resolver = resolver or FolderResolver(path.parent)
    file_type = (file_type or "").lower().lstrip(".")
    check_suffix(f".{file_type}")
    try:
        scene = _read(source, file_type, resolver)
        pieces = _pieces(scene, max_faces)
        shape = _joined(pieces)
    except UnusableMeshError:
        raise
    except Exception as error:  # readers raise anything, from IndexError to RecursionError and MemoryError
        raise UnusableMeshError(_reason(error)) from error
    return cleaned(shape)


def check_suffix(suffix: str) -> None:
    """Raise `UnusableMeshError` if no reader for files like ".obj" is there, and say what to install."""
    if suffix in SUFFIXES or (suffix in OPTIONAL_SUFFIXES and suffix[1:] in trimesh.available_formats()):
        return
    if suffix in OPTIONAL_SUFFIXES:
        raise UnusableMeshError(f"{suffix} files need an extra package: pip install 'lit3d[formats]'")
    raise UnusableMeshError(f"no reader for {suffix!r} files; known: {' '.join(SUFFIXES + OPTIONAL_SUFFIXES)}")


def _check_file(path: Path, max_bytes: int) -> None:
    """A missing, empty or too large file is found before anything is read."""
    if not path.is_file():
        raise UnusableMeshError("file is missing")
    size = path.stat().st_size
    if size == 0:
        raise UnusableMeshError("file is empty")
    if size > max_bytes:
        raise UnusableMeshError(f"file has {size / 1e6:.0f} MB, the limit is {max_bytes / 1e6:.0f} MB")


def _read(source: str | Path | IO[bytes], file_type: str, resolver: Resolver | None) -> trimesh.Scene:
    """The scene of a file; `process=False`: trimesh would merge and drop by rules of its own."""
    if isinstance(source, str | Path):
        with open(source, "rb") as file:
            return trimesh.load_scene(file, file_type=file_type, resolver=resolver, process=False)
    return trimesh.load_scene(source, file_type=file_type, resolver=resolver, process=False)


def _reason(error: Exception) -> str:
    """One short line; the text of a reader may be pages long, and may be empty."""
    text = " ".join(str(error).split())[:80]
    return f"cannot be read ({type(error).__name__}{': ' + text if text else ''})"


# ---- the files that a mesh names


class FolderResolver(Resolver):
    """Finds materials and textures beside a mesh, also where the name in the file is a little off.

    ShapeNet names `../images/texture0.jpg`; exporters leave absolute paths, other capitals, or options.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def get(self, key: str) -> bytes:
        """The content of the file that a mesh or material calls `key`."""
        for name in candidate_names(key):
            path = self.folder / name
            found = path if path.is_file() else self._other_capitals(path)
            if found is not None:
                return found.read_bytes()
        raise FileNotFoundError(key)

    @staticmethod
    def _other_capitals(path: Path) -> Path | None:
        if not path.parent.is_dir():
            return None
        files = (p for p in sorted(path.parent.iterdir()) if p.is_file())
        return next((p for p in files if p.name.lower() == path.name.lower()), None)

    def keys(self) -> list[str]:
        """Names of the files beside the mesh."""
        return sorted(p.name for p in self.folder.iterdir() if p.is_file())

    def namespaced(self, namespace: str) -> "FolderResolver":
        """A resolver for a folder inside this one."""
        return FolderResolver(self.folder / namespace)

    def write(self, name: str, data: Any) -> None:
        """Loading writes nothing."""
        raise NotImplementedError("meshes are only read")


def candidate_names(key: str) -> list[str]:
    """Relative paths to try for a file name written in a mesh or material file, best first."""
    name = key.strip().strip('"').replace("\\", "/")
    names = [name] if not (name.startswith("/") or name[1:2] == ":") else []
    names.append(name.rsplit("/", 1)[-1])
    if name.startswith("-"):  # options of map_Kd: "-s 1 1 1 wood.png"
        names.append(name.split()[-1])
    return names


# ---- from trimesh's scene to arrays


@dataclass(frozen=True)
class _Piece:
    """One mesh of a scene in scene coordinates; `image` is the texture of all its faces or None."""

    vertices: np.ndarray  # (v, 3)
    faces: np.ndarray  # (f, 3)
    colours: np.ndarray  # (f, 3)
    uv: np.ndarray  # (f, 3, 2)
    image: np.ndarray | None


def _pieces(scene: trimesh.Scene, max_faces: int) -> list[_Piece]:
    """Every mesh instance of the scene, in node order."""
    nodes = [scene.graph[name] for name in scene.graph.nodes_geometry]
    placed = [(matrix, scene.geometry[name]) for matrix, name in nodes]
    meshes = [(matrix, mesh) for matrix, mesh in placed if isinstance(mesh, trimesh.Trimesh)]
    kinds = {type(mesh).__name__ for _, mesh in placed}
    if not meshes and kinds:
        raise UnusableMeshError("a point cloud without faces" if "PointCloud" in kinds else "lines without faces")
    count = sum(len(mesh.faces) for _, mesh in meshes)
    if count == 0:
        raise UnusableMeshError("no faces")
    if count > max_faces:
        raise UnusableMeshError(f"{count} faces, the limit is {max_faces}")
    return [_piece(matrix, mesh) for matrix, mesh in meshes if len(mesh.faces)]


def _piece(matrix: np.ndarray, mesh: trimesh.Trimesh) -> _Piece:
    faces = np.asarray(mesh.faces, dtype=np.int64)
    if faces.min() < 0 or faces.max() >= len(mesh.vertices):
        raise UnusableMeshError("face indices out of range")
    with np.errstate(all="ignore"):  # infinite vertices are reported later, as what they are
        vertices = np.asarray(mesh.vertices, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
        mirrored = np.linalg.det(matrix[:3, :3]) < 0
    uv, image = _texture(mesh.visual, len(mesh.vertices))
    colours = _diffuse(mesh) if image is None else np.broadcast_to(image.mean(axis=(0, 1)) / 255.0, faces.shape)
    corners = np.zeros((len(faces), 3, 2)) if uv is None or image is None else uv[faces]
    if mirrored:  # keeps the outside outside
        faces, corners = faces[:, ::-1], corners[:, ::-1]
    return _Piece(vertices, faces, np.array(colours, dtype=np.float32), corners.astype(np.float32), image)


def _texture(visual: Any, vertex_count: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Finite texture coordinates (v, 2) and the RGB image (h, w, 3), or None for each that is missing."""
    uv = getattr(visual, "uv", None)
    material = getattr(visual, "material", None)
    image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    if uv is None or image is None or np.shape(uv)[:1] != (vertex_count,):
        return None, None
    if image.format is None and image.size == (2, 2):  # trimesh's stand-in for a material that was not found
        return None, None
    try:
        return np.nan_to_num(np.asarray(uv, dtype=np.float64)[:, :2], posinf=0.0, neginf=0.0), _rgb(image)
    except Exception:  # truncated or unknown image: the diffuse colour is still there
        return None, None


def _rgb(image: Image.Image) -> np.ndarray:
    """RGB (h, w, 3) uint8, at most MAX_TEXTURE pixels long; see-through texels take the mean visible colour.

    What lies under alpha = 0 is arbitrary (often black), and renders are opaque: a leaf becomes a leaf-coloured card.
    """
    image = image.convert("RGBA")
    image.thumbnail((MAX_TEXTURE, MAX_TEXTURE), Image.Resampling.BOX)
    pixels = np.asarray(image)
    colour, alpha = pixels[..., :3], pixels[..., 3:] / 255.0
    if alpha.min() == 1:
        return np.ascontiguousarray(colour)
    visible = (colour * alpha).sum(axis=(0, 1)) / max(alpha.sum(), 1e-9)
    return np.rint(colour * alpha + visible * (1 - alpha)).astype(np.uint8)


def _diffuse(mesh: trimesh.Trimesh) -> np.ndarray:
    """Colour (f, 3) in [0, 1] of each face without its texture; glTF's factors are taken as they stand."""
    visual: Any = mesh.visual
    count = len(mesh.faces)
    if visual is None or not visual.defined:
        return np.broadcast_to(DEFAULT_COLOUR, (count, 3))
    if visual.kind in ("face", "vertex"):  # vertex colours: trimesh takes the mean of the three corners
        colours = np.asarray(visual.face_colors, dtype=np.float64)[:, :3] / 255.0
    else:
        colours = np.asarray(visual.material.main_color, dtype=np.float64)[None, :3] / 255.0
    return np.broadcast_to(colours, (count, 3))


def _joined(pieces: list[_Piece]) -> Shape:
    """One `Shape`; equal images are stored once."""
    textures: list[np.ndarray] = []
    index_of: dict[tuple[tuple[int, ...], bytes], int] = {}
    texture_of_face = []
    for piece in pieces:
        index = -1
        if piece.image is not None:
            key = (piece.image.shape, piece.image.tobytes())
            index = index_of.setdefault(key, len(textures))
            if index == len(textures):
                textures.append(piece.image)
        texture_of_face.append(np.full(len(piece.faces), index, dtype=np.int32))
    starts = np.cumsum([0] + [len(piece.vertices) for piece in pieces])
    faces = np.concatenate([piece.faces + start for piece, start in zip(pieces, starts[:-1], strict=True)])
    return Shape(
        vertices=np.concatenate([piece.vertices for piece in pieces]),
        faces=faces,
        colours=np.clip(np.concatenate([piece.colours for piece in pieces]), 0.0, 1.0),
        parts=np.zeros(len(faces), dtype=np.int32),
        uv=np.concatenate([piece.uv for piece in pieces]) if textures else None,
        texture_of_face=np.concatenate(texture_of_face) if textures else None,
        textures=tuple(textures),
    )


# ---- cleaning


def cleaned(shape: Shape) -> Shape:
    """Merge equal vertices, drop faces without area, doubled faces (winding-blind) and unused vertices.

    Raises:
        UnusableMeshError: NaN or infinite vertices, no extent, or no face with an area.
    """
    used, corner = np.unique(shape.faces, return_inverse=True)
    vertices = shape.vertices[used]
    if not np.isfinite(vertices).all():
        raise UnusableMeshError("NaN or infinite vertices")
    with np.errstate(over="ignore"):
        extent = float(np.ptp(vertices, axis=0).max())
    if not np.isfinite(extent):
        raise UnusableMeshError("NaN or infinite vertices")
    if not extent > np.finfo(np.float64).tiny:
        raise UnusableMeshError("zero extent: all vertices are one point")
    first, merged = _merge(vertices, extent)
    vertices = vertices[first]
    faces = merged[corner.reshape(-1)].reshape(-1, 3)
    keep = _distinct(faces)
    keep = keep[_has_area((vertices - vertices.min(axis=0)) / extent, faces[keep])]
    if len(keep) == 0:
        raise UnusableMeshError("no face has an area")
    return _selected(replace(shape, vertices=vertices, faces=faces), keep)


def _merge(vertices: np.ndarray, extent: float) -> tuple[np.ndarray, np.ndarray]:
    """Index of the first vertex of every cell of size extent / 2**20, and the cell of every vertex."""
    cells = np.rint((vertices - vertices.min(axis=0)) / extent * _MERGE_CELLS).astype(np.int64)
    keys = (cells[:, 0] << 42) | (cells[:, 1] << 21) | cells[:, 2]
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return first, inverse.reshape(-1)


def _distinct(faces: np.ndarray) -> np.ndarray:
    """Indices, ascending, of the first of all faces over the same three vertices, whatever their order."""
    _, first = np.unique(np.sort(faces, axis=1), axis=0, return_index=True)
    return np.sort(first)


def _has_area(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(f,) bool; relative to the longest edge of each face, so that small but sound faces stay."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    longest = np.max([((p - q) ** 2).sum(axis=1) for p, q in ((a, b), (b, c), (c, a))], axis=0)
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) > _SLIVER * longest


def _selected(shape: Shape, keep: np.ndarray) -> Shape:
    """The shape with the faces `keep` alone, and with the vertices and textures that they use."""
    used, faces = np.unique(shape.faces[keep], return_inverse=True)
    chosen = replace(
        shape,
        vertices=np.ascontiguousarray(shape.vertices[used]),
        faces=np.ascontiguousarray(faces.reshape(-1, 3), dtype=np.int64),
        colours=shape.colours[keep],
        parts=shape.parts[keep],
    )
    if shape.uv is None or shape.texture_of_face is None:
        return chosen
    return replace(chosen, uv=shape.uv[keep], texture_of_face=shape.texture_of_face[keep])
