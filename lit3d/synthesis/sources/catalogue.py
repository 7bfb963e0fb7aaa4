"""Sweet Home 3D's `.sh3f` archives: a zip of models with a Java properties file that lists them."""

import io
import posixpath
import re
import zipfile
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from trimesh.resolvers import Resolver

from lit3d.errors import UserError
from lit3d.synthesis.loading import MAX_BYTES, candidate_names, check_suffix, load_mesh
from lit3d.synthesis.shape import Shape, UnusableMeshError
from lit3d.synthesis.sources.items import slug

CATALOGUE = "PluginFurnitureCatalog.properties"


@dataclass(frozen=True)
class Entry:
    """One model of a library (= archive): object id, the catalogue's properties, the library's licence."""

    library: str
    object: str
    properties: dict[str, str]
    licence: str

    @property
    def path(self) -> str:
        """Path of the model inside the archive."""
        return _path(self.properties)

    @property
    def stem(self) -> str:
        """File name of the model without suffix."""
        return posixpath.splitext(posixpath.basename(self.path))[0]

    @property
    def title(self) -> str:
        """English name."""
        return self.properties.get("name") or self.stem

    @property
    def creator(self) -> str:
        """Author of the model."""
        return self.properties.get("creator") or "unknown"


def read_catalogue(path: Path) -> list[Entry]:
    """All entries of an archive that name a model, in catalogue order.

    Raises:
        UserError: the file is no zip, or there is no catalogue in it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            text = archive.read(CATALOGUE).decode("latin-1")
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise UserError(f"{path} is not a furniture library of Sweet Home 3D ({error}); fetch it again") from error
    values = parse_properties(text)
    numbered: dict[int, dict[str, str]] = {}
    for key, value in values.items():
        name, _, number = key.partition("#")
        if number.isdecimal():
            numbered.setdefault(int(number), {})[name] = value
    listed = [numbered[number] for number in sorted(numbered) if numbered[number].get("model")]
    licence = " ".join(values.get("license", "licence not stated").split())
    stems = Counter(slug(Path(_path(row)).stem) for row in listed)
    return [Entry(path.stem, _object_id(path.stem, row, stems), row, licence) for row in listed]


def _path(row: dict[str, str]) -> str:
    return posixpath.normpath(row["model"].lstrip("/"))


def _object_id(library: str, row: dict[str, str], stems: Counter[str]) -> str:
    """Library and file stem; the whole path where two files of a library share a stem."""
    path = Path(_path(row))
    return slug(f"{library}-{path.stem if stems[slug(path.stem)] == 1 else path.with_suffix('').as_posix()}")


def parse_properties(text: str) -> dict[str, str]:
    r"""Key and value of each line of a Java properties file: comments, continued lines, escapes such as \u20ac."""
    text = re.sub(r"(?<!\\)((?:\\\\)*)\\(?:\r\n|\r|\n)[ \t]*", r"\1", text)
    found = {}
    for line in re.split(r"\r\n|\r|\n", text):  # str.splitlines would also split at latin-1's \x85
        line = line.lstrip(" \t\f")
        match = re.match(r"((?:\\.|[^\\=: \t\f])+)[ \t\f]*[=:]?[ \t\f]*(.*)", line)
        if match and line[0] not in "#!":
            found[_unescaped(match[1])] = _unescaped(match[2]).strip()
    return found


def _unescaped(text: str) -> str:
    def character(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if len(code) == 5 else {"n": "\n", "t": "\t", "r": "\r"}.get(code, code)

    text = re.sub(r"\\(u[0-9a-fA-F]{4}|.)", character, text)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # joins surrogate pairs


class ZipResolver(Resolver):
    """Finds materials and textures beside a model inside an archive."""

    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        self.archive, self.folder = archive, folder

    def get(self, key: str) -> bytes:
        """The content of the file that a model or material calls `key`."""
        for name in candidate_names(key):
            path = posixpath.normpath(posixpath.join(self.folder, name))
            found = path if path in self._names.values() else self._names.get(path.lower())
            if found is not None and self.archive.getinfo(found).file_size <= MAX_BYTES:
                return self.archive.read(found)
        raise FileNotFoundError(key)

    @cached_property
    def _names(self) -> dict[str, str]:
        return {name.lower(): name for name in self.archive.namelist()}

    def keys(self) -> list[str]:
        """All names in the archive."""
        return self.archive.namelist()

    def namespaced(self, namespace: str) -> "ZipResolver":
        """A resolver for a folder inside this one."""
        return ZipResolver(self.archive, posixpath.join(self.folder, namespace))

    def write(self, name: str, data: Any) -> None:
        """Loading writes nothing."""
        raise NotImplementedError("meshes are only read")


def read_model(archive: zipfile.ZipFile, entry: Entry) -> bytes:
    """The bytes of the model file; `UnusableMeshError` if it is not there, damaged or too large."""
    check_suffix(posixpath.splitext(entry.path)[1].lower())
    try:
        size = archive.getinfo(entry.path).file_size
        if size > MAX_BYTES:
            raise UnusableMeshError(f"file has {size / 1e6:.0f} MB, the limit is {MAX_BYTES / 1e6:.0f} MB")
        return archive.read(entry.path)
    except KeyError as error:
        raise UnusableMeshError("file is missing in the archive") from error
    except UnusableMeshError:
        raise
    except Exception as error:  # zlib, checksum, password, unknown compression
        raise UnusableMeshError(f"cannot be unpacked ({type(error).__name__})") from error


def load_entry(archive: zipfile.ZipFile, entry: Entry, max_faces: int) -> Shape:
    """The model, turned as the catalogue says."""
    data = read_model(archive, entry)
    suffix = posixpath.splitext(entry.path)[1]
    shape = load_mesh(io.BytesIO(data), suffix, ZipResolver(archive, posixpath.dirname(entry.path)), max_faces)
    turn = rotation(entry.properties.get("modelRotation", ""))
    return shape if turn is None else replace(shape, vertices=shape.vertices @ turn.T)


def rotation(text: str) -> np.ndarray | None:
    """The 3x3 matrix R of `modelRotation`, upright = R @ vertex; None if there is none.

    The nine numbers are the rows: in the seven entries of version 1.8 where the order shows in the proportions (tilts,
    one cyclic permutation) only this reading gives the catalogue's width : height : depth, to three digits.
    """
    try:
        matrix = np.array([float(word) for word in text.split()]).reshape(3, 3)
    except ValueError:
        return None
    is_rotation = np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-3) and np.linalg.det(matrix) > 0
    return matrix if is_rotation else None


def triangle_count(obj: bytes) -> int:
    """Triangles of an OBJ file, polygons cut into fans, counted without reading it as a mesh."""
    lines = re.findall(rb"^f[ \t].*", obj, re.MULTILINE)
    return len(b" ".join(lines).split()) - 3 * len(lines)
