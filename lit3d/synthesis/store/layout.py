"""Names in a dataset, version 1. docs/dataset_format.md describes them for readers without this package."""

import hashlib
import math
from urllib.parse import quote

FORMAT = "lit3d dataset"
VERSION = 1

INFO = "dataset.json"  # written last: its presence says that the dataset is complete
OBJECTS = "objects.csv"
FAILURES = "failures.csv"
HOLLOW = "occupancy_failures.csv"
ATTRIBUTION = "ATTRIBUTION.txt"
SHARDS = "shards"
FOLDERS = "objects"
REFERENCES = "references"  # what reference rows need, found by the first test; can be deleted at any time
PARTIAL = ".partial"
TOP_LEVEL = (INFO, OBJECTS, FAILURES, HOLLOW, ATTRIBUTION, SHARDS, FOLDERS, REFERENCES, PARTIAL)

OBJECTS_PER_SHARD = 500
ROW = ("object", "category", "split", "shard", "views", "faces", "dropped_share", "touches_border", "occupancy")


def stable_hash(text: str) -> int:
    """64 bits that are the same in every process and on every machine (Python's `hash` is not)."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def folder_name(object_id: str) -> str:
    """The object's folder: its id with every byte but A-Z a-z 0-9 - . _ ~ written as %XX, cut where too long."""
    name = quote(object_id, safe="")
    if name.startswith("."):  # neither hidden nor the parent folder
        name = "%2E" + name[1:]
    return name if len(name) <= 160 else f"{name[:140]}~{stable_hash(object_id):016x}"


def shard_count(objects: int) -> int:
    """How many shards hold so many objects at about `OBJECTS_PER_SHARD` each."""
    return max(1, math.ceil(objects / OBJECTS_PER_SHARD))


def shard_number(object_id: str, shards: int) -> int:
    """The shard of an object: by its id alone, never by the order in which objects were finished."""
    return stable_hash(object_id) % shards


def shard_file(number: int) -> str:
    """File name of a shard."""
    return f"{number:02d}.zip"
