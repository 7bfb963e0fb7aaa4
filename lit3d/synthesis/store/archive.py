"""Zip files with the same bytes for the same content, and a directory that finds an entry without searching.

Entries are stored, not compressed (their content is), so that a reader may slice them out of a memory map.
"""

import io
import itertools
import struct
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

_END = struct.Struct("<4s4H2LH")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL_LENGTHS = struct.Struct("<2H")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first date that a zip can hold: no clock in the bytes


class DamagedError(ValueError):
    """A file whose bytes are not what was written; the text says what is wrong, the caller names the file."""


def _information(name: str, method: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = method
    entry.create_system = 3  # Unix everywhere: the default is the writing machine's
    entry.external_attr = 0o644 << 16
    return entry


def write_zip(stream: BinaryIO, entries: Iterable[tuple[str, bytes]]) -> None:
    """Write `(name, content)` in the order given, without compression, dates or attributes of this machine."""
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries:
            archive.writestr(_information(name, zipfile.ZIP_STORED), content)


def npz_bytes(arrays: Mapping[str, np.ndarray], level: int = 1) -> bytes:
    """An `.npz` as `numpy.load` reads it, compressed; unlike `numpy.savez` equal for equal arrays, by contract."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, array in arrays.items():
            archive.writestr(_information(f"{name}.npy", zipfile.ZIP_DEFLATED), npy_bytes(array), compresslevel=level)
    return stream.getvalue()


def npy_bytes(array: np.ndarray) -> bytes:
    """An `.npy` file of the array."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
    return stream.getvalue()


def read_zip(path: Path) -> dict[str, bytes]:
    """All entries of a small zip, each checked against its checksum.

    Raises:
        DamagedError: the file is truncated or a checksum does not fit.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, EOFError, struct.error, NotImplementedError) as error:
        raise DamagedError(str(error)) from error


class Directory:
    """Where each entry of an uncompressed zip of folders lies, in 20 bytes an entry.

    A million views are two million entries: a Python dict of names would take gigabytes in every loader process.
    Objects with the same file names share one listing, and offsets lie in arrays.
    """

    def __init__(self, buffer: memoryview, path: Path | None = None) -> None:
        """Read the directory of the zip in `buffer`; `path` is only needed for shards beyond 4 GB or 65,535 entries.

        Raises:
            DamagedError: no zip directory at the end (a truncated file), or one that does not fit the file.
        """
        self._buffer = buffer
        names, table = _entries(buffer, path)
        order = sorted(range(len(names)), key=names.__getitem__)
        self._offsets, self._sizes, self._checksums = (column[order] for column in table)
        if len(names) and int((self._offsets + self._sizes).max()) > len(buffer):
            raise DamagedError("its zip directory does not fit the file")
        self._folders = _grouped([names[index] for index in order])

    def __contains__(self, folder: object) -> bool:
        return folder in self._folders

    def folders(self) -> list[str]:
        """The folders that the zip holds."""
        return list(self._folders)

    def files(self, folder: str) -> list[str]:
        """The file names in one folder, sorted."""
        return list(self._folders[folder][1])

    def contents(self) -> bytes:
        """Names, sizes and checksums of all entries: equal for equal content, without reading it."""
        names = "\n".join(f"{folder}/{name}" for folder, (_, ranks) in self._folders.items() for name in ranks)
        return names.encode() + self._sizes.tobytes() + self._checksums.tobytes()

    def find(self, folder: str, name: str) -> tuple[memoryview, int]:
        """The bytes of an entry, not copied and not checked, and its CRC-32.

        Raises:
            KeyError: no such entry.
            DamagedError: the entry's header is not where the directory says.
        """
        first, ranks = self._folders[folder]
        index = first + ranks[name]
        start = int(self._offsets[index])
        if self._buffer[start:start + 4] != b"PK\x03\x04":
            raise DamagedError("an entry does not begin where the directory says")
        start += 30 + sum(_LOCAL_LENGTHS.unpack_from(self._buffer, start + 26))
        return self._buffer[start:start + int(self._sizes[index])], int(self._checksums[index])


def _grouped(names: list[str]) -> dict[str, tuple[int, dict[str, int]]]:
    """Folder -> index of its first entry, and file name -> rank, for sorted names; equal listings are one object."""
    shared: dict[tuple[str, ...], dict[str, int]] = {}
    folders: dict[str, tuple[int, dict[str, int]]] = {}
    start = 0
    for folder, members in itertools.groupby(names, lambda name: name.rpartition("/")[0]):
        listing = tuple(name[len(folder) + 1:] for name in members)
        folders[folder] = (start, shared.setdefault(listing, {name: rank for rank, name in enumerate(listing)}))
        start += len(listing)
    return folders


def _entries(buffer: memoryview, path: Path | None) -> tuple[list[str], tuple[np.ndarray, ...]]:
    """Names, and (header offsets, sizes, checksums), in the order of the directory."""
    tail = bytes(buffer[-_END.size:])
    if len(tail) < _END.size or tail[:4] != b"PK\x05\x06":
        raise DamagedError("there is no zip directory at its end, so it is truncated or not a zip")
    count, position = _END.unpack(tail)[4], _END.unpack(tail)[6]
    if count == 0xFFFF or position == 0xFFFFFFFF:
        return _large_entries(path)
    names, table = [], np.empty((3, count), np.int64)
    try:
        for index in range(count):
            head = _CENTRAL.unpack_from(buffer, position)
            position += _CENTRAL.size
            names.append(str(buffer[position:position + head[10]], "utf-8"))
            position += head[10] + head[11] + head[12]
            table[:, index] = head[16], head[9], head[7]
            if head[0] != b"PK\x01\x02" or head[4] != 0:
                raise DamagedError("its zip directory is damaged, or an entry is compressed")
    except (struct.error, UnicodeDecodeError) as error:
        raise DamagedError("its zip directory is damaged") from error
    return names, (table[0], table[1], table[2].astype(np.uint32))


def _large_entries(path: Path | None) -> tuple[list[str], tuple[np.ndarray, ...]]:
    """The same through the standard library, which reads the 64-bit form of the format."""
    if path is None:
        raise DamagedError("it is larger than 4 GB or holds more than 65,535 entries")
    try:
        with zipfile.ZipFile(path) as archive:
            found = archive.infolist()
    except (zipfile.BadZipFile, EOFError, struct.error) as error:
        raise DamagedError(str(error)) from error
    table = np.array([(e.header_offset, e.file_size, e.CRC) for e in found], np.int64).T
    return [entry.filename for entry in found], (table[0], table[1], table[2].astype(np.uint32))
