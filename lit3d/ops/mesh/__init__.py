"""Meshes that share one topology and differ in their vertices: how they hang together, and their geometry."""

from lit3d.ops.mesh.geometry import (
    cotangent_laplacian,
    cotangents,
    edge_vectors,
    face_areas,
    face_normals,
    face_vectors,
    gathered,
    pair_cosines,
    sample_surface,
    uniform_laplacian,
    unit,
    vertex_normals,
)
from lit3d.ops.mesh.topology import Topology, with_midpoints

__all__ = [
    "Topology", "cotangent_laplacian", "cotangents", "edge_vectors", "face_areas", "face_normals", "face_vectors",
    "gathered", "pair_cosines", "sample_surface", "uniform_laplacian", "unit", "vertex_normals", "with_midpoints",
]  # fmt: skip
