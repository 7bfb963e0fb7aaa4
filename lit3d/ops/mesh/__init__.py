"""Meshes that share one topology and differ in their vertices: how they hang together, and their geometry."""

from lit3d.ops.mesh.topology import Topology, with_midpoints

__all__ = ["Topology", "with_midpoints"]
