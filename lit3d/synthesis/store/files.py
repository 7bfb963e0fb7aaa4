"""Writing that survives being killed: aside, to the platter, then renamed; and one writer at a time."""

import contextlib
import errno
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from lit3d.errors import UserError


class StorageError(UserError):
    """The disk refuses: no object is at fault, so the run stops instead of listing a failure."""


@contextlib.contextmanager
def storage(path: Path) -> Iterator[None]:
    """Turn what the operating system says about writing `path` into a sentence.

    Raises:
        StorageError: the disk is full, read-only, or not ours.
    """
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "Free some space" if full else "Choose another folder or mend its permissions"
        what = "the disk is full" if full else (error.strerror or str(error))
        raise StorageError(f"Cannot write {path}: {what}. {advice} and run the same command again: "
                           "it continues with the objects that are finished.") from error


def write_aside(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Write a file and force it to the disk; on any error it is removed again."""
    try:
        with path.open("wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def rename(aside: Path, final: Path) -> None:
    """Give a finished file or folder its name in one step, and force the name to the disk."""
    aside.replace(final)
    sync_folder(final.parent)


def sync_folder(folder: Path) -> None:
    """Force a folder's names to the disk (where the system knows such a thing)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, content: bytes, aside: Path) -> None:
    """Write `path` so that it is there in full or not at all; `aside` is a folder on the same disk."""
    temporary = aside / f"{path.name}.tmp"

    def write(stream: BinaryIO) -> None:
        stream.write(content)

    write_aside(temporary, write)
    rename(temporary, path)


def remove_tree(folder: Path) -> None:
    """Remove a folder, also when a worker that is just dying drops one more file into it."""
    for _ in range(5):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return


@contextlib.contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Hold a lock that the system frees by itself when this process dies; wait while another process holds it.

    The jobs of a sweep begin together: one makes the dataset, the others wait, and find it made.
    """
    try:
        import fcntl
    except ImportError:  # Windows: a second writer is not noticed there
        yield
        return
    began, said = time.monotonic(), False
    with storage(path):
        while (handle := _locked(path, fcntl.flock, fcntl.LOCK_EX | fcntl.LOCK_NB)) is None:
            if not said and time.monotonic() - began > 1:
                print(f"Another process is writing {what} just now: waiting until it ends", file=sys.stderr, flush=True)
                said = True
            time.sleep(0.1)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _locked(path: Path, flock: Callable[[int, int], None], how: int) -> int | None:
    """An open, locked file, or None. Its holder removes it, so a lock on a file that has lost its name is no lock."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            flock(handle, how)
            if path.exists() and os.fstat(handle).st_ino == path.stat().st_ino:
                return handle
        except BlockingIOError:
            os.close(handle)
            return None
        except OSError as error:
            if error.errno == errno.ENOLCK:  # a network disk without locks: go on, as on Windows
                return handle
            os.close(handle)
            raise
        os.close(handle)
