"""lit3d: learn 3D shape from one image, and compare how."""

__version__ = "0.1.0"
