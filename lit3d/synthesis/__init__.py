"""Synthesis for learning: meshes in; images, depth, normals, masks, cameras and surface points out."""

from lit3d.synthesis.cameras import ViewRange
from lit3d.synthesis.pipeline import Report, SynthesisSettings, synthesize
from lit3d.synthesis.sensor import Sensor
from lit3d.synthesis.sources import AmbiguousSource, FolderSource, FurnitureSource, GrammarSource
from lit3d.synthesis.sources.limited import LimitedSource

__all__ = [
    "AmbiguousSource", "FolderSource", "FurnitureSource", "GrammarSource", "LimitedSource", "Report", "Sensor",
    "SynthesisSettings", "ViewRange", "synthesize",
]
