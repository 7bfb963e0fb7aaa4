"""Datasets on disk as batches: reader, augmentation, the one data module."""

from lit3d.data.augment import Augment
from lit3d.data.datamodule import ShapeDataModule
from lit3d.data.families import Family
from lit3d.data.family_module import FamilyDataModule
from lit3d.data.reader import DatasetReader
from lit3d.data.rgbd import RgbdDataModule
from lit3d.data.sample import Sample
from lit3d.data.views import ViewDataset

__all__ = [
    "Augment", "DatasetReader", "Family", "FamilyDataModule", "RgbdDataModule", "Sample", "ShapeDataModule",
    "ViewDataset",
]  # fmt: skip
