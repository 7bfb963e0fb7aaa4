"""Where meshes come from: the shape grammar, a folder, the furniture of Sweet Home 3D."""

from lit3d.synthesis.sources.ambiguous import AmbiguousSource
from lit3d.synthesis.sources.folder import FolderSource
from lit3d.synthesis.sources.furniture import FurnitureSource
from lit3d.synthesis.sources.grammar import GrammarSource
from lit3d.synthesis.sources.items import SPLITS, Item, Source

__all__ = ["SPLITS", "AmbiguousSource", "FolderSource", "FurnitureSource", "GrammarSource", "Item", "Source"]
