"""The files of a dataset's objects, in zip shards or in plain folders, and arrays out of their bytes."""

import functools
import io
import math
import mmap
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from lit3d.synthesis.store.archive import DamagedError, Directory

_LOCAL = struct.Struct("<4s5H3L2H")
Content = bytes | memoryview


class ShardFiles:
    """Entries of uncompressed zips, sliced out of memory maps that are opened when first needed."""

    def __init__(self, folder: Path, names: list[str], shards: list[str]) -> None:
        """`names` and `shards`: folder name and shard file of each object."""
        self._folder, self._names, self._shards = folder, names, shards
        self._open: dict[str, Directory] = {}

    def where(self, row: int, file: str) -> str:
        """For messages."""
        return f"{self._names[row]}/{file} in {self._folder / self._shards[row]}"

    def names(self, row: int) -> list[str]:
        """The files of an object."""
        return self._directory(row).files(self._names[row])

    def read(self, row: int, file: str) -> Content:
        """A whole file, checked.

        Raises:
            DamagedError: truncated, or the checksum does not fit.
            KeyError: no such file.
        """
        content, checksum = self._directory(row).find(self._names[row], file)
        if zlib.crc32(content) != checksum:
            raise DamagedError("its checksum does not fit")
        return content

    def lazy(self, row: int, file: str) -> Content:
        """A whole file of which only what is used is read; not checked."""
        return self._directory(row).find(self._names[row], file)[0]

    def contents(self) -> Iterator[bytes]:
        """What tells these files from others: the checksums in the shards' directories."""
        for shard in sorted(set(self._shards)):
            yield self._opened(shard).contents()

    def _directory(self, row: int) -> Directory:
        return self._opened(self._shards[row])

    def _opened(self, shard: str) -> Directory:
        found = self._open.get(shard)
        if found is None:
            path = self._folder / shard
            with path.open("rb") as stream:
                found = self._open[shard] = Directory(_mapped(stream), path)
        return found


def _mapped(stream: IO[bytes]) -> memoryview:
    try:
        return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    except ValueError as error:
        raise DamagedError("the file is empty") from error


class FolderFiles:
    """The same as plain files."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        """`names`: folder name of each object."""
        self._folder, self._names = str(folder), names

    def where(self, row: int, file: str) -> str:
        """For messages."""
        return self._path(row, file)

    def names(self, row: int) -> list[str]:
        """The files of an object."""
        return sorted(path.name for path in Path(self._folder, self._names[row]).iterdir())

    def read(self, row: int, file: str) -> Content:
        """A whole file; plain files have no checksum of their own."""
        with open(self._path(row, file), "rb", buffering=0) as stream:
            return stream.readall()

    def lazy(self, row: int, file: str) -> Content:
        """A whole file of which only what is used is read."""
        with open(self._path(row, file), "rb", buffering=0) as stream:
            return _mapped(stream)

    def contents(self) -> Iterator[bytes]:
        """What tells these files from others: sizes and times, for plain files have no checksum of their own."""
        for name in self._names:
            with os.scandir(Path(self._folder, name)) as entries:
                facts = sorted((e.name, e.stat().st_size, e.stat().st_mtime_ns) for e in entries)
            yield repr((name, facts)).encode()

    def _path(self, row: int, file: str) -> str:
        return f"{self._folder}/{self._names[row]}/{file}"


def array_of(content: Content) -> np.ndarray:
    """The array in an `.npy` file: a read-only view, so that of mapped bytes only the rows used are read.

    Raises:
        DamagedError: not an array file, or shorter than it says.
    """
    if len(content) < 10 or bytes(content[:8]) != b"\x93NUMPY\x01\x00":
        raise DamagedError("not an array file of version 1.0")
    start = 10 + int.from_bytes(content[8:10], "little")
    dtype, shape = _header(bytes(content[:start]))
    items = math.prod(shape)
    if len(content) < start + items * dtype.itemsize:
        raise DamagedError("shorter than its header says")
    return np.frombuffer(content, dtype, items, start).reshape(shape)


@functools.lru_cache(maxsize=4096)
def _header(header: bytes) -> tuple[np.dtype, tuple[int, ...]]:
    """Type and shape in the header of an `.npy`: nearly all files of a dataset have the same few headers."""
    stream = io.BytesIO(header)
    try:
        np.lib.format.read_magic(stream)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    except ValueError as error:
        raise DamagedError(str(error)) from error
    if fortran or dtype.hasobject or not shape:
        raise DamagedError("an array of an unexpected kind")
    return dtype, shape


def arrays_of(content: Content) -> dict[str, np.ndarray]:
    """All arrays of an `.npz`, five times as fast as `numpy.load`: its entries are walked from the front.

    Raises:
        DamagedError: truncated, or a checksum does not fit.
    """
    arrays, position = {}, 0
    while bytes(content[position:position + 4]) == b"PK\x03\x04" and len(content) >= position + _LOCAL.size:
        _, _, flags, method, _, _, checksum, packed, size, name, extra = _LOCAL.unpack_from(content, position)
        if flags & 8 or 0xFFFFFFFF in (packed, size) or method not in (0, 8):
            return _by_numpy(content)  # written by someone else: correct, only slower
        start = position + _LOCAL.size + name + extra
        position = start + packed
        try:
            data = zlib.decompress(content[start:position], -15) if method == 8 else bytes(content[start:position])
        except zlib.error as error:
            raise DamagedError(str(error)) from error
        if zlib.crc32(data) != checksum:
            raise DamagedError("its checksum does not fit")
        key = str(content[start - extra - name:start - extra], "utf-8").removesuffix(".npy")
        arrays[key] = array_of(data).copy()
    if bytes(content[position:position + 4]) != b"PK\x01\x02":  # the directory follows the last entry
        raise DamagedError("it is truncated or not an npz")
    return arrays


def _by_numpy(content: Content) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return dict(archive)
    except (ValueError, OSError, zipfile.BadZipFile, zlib.error) as error:
        raise DamagedError(str(error)) from error
