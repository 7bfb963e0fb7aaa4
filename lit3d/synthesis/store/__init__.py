"""The dataset on disk: what an object becomes, and the crash-safe writer. `lit3d.data.reader` reads it."""

from lit3d.synthesis.store.builder import DatasetBuilder, write_object
from lit3d.synthesis.store.files import StorageError
from lit3d.synthesis.store.plan import Plan
from lit3d.synthesis.store.record import ObjectRecord, ViewRecord, encode

__all__ = ["DatasetBuilder", "ObjectRecord", "Plan", "StorageError", "ViewRecord", "encode", "write_object"]
