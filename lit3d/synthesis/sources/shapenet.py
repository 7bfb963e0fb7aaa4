"""The two folder layouts of ShapeNetCore and the names of its synsets."""

import re
from collections.abc import Iterator
from pathlib import Path

_NAMES = """
02691156 airplane, 02747177 trash_bin, 02773838 bag, 02801938 basket, 02808440 bathtub, 02818832 bed, 02828884 bench,
02834778 bicycle, 02843684 birdhouse, 02858304 boat, 02871439 bookshelf, 02876657 bottle, 02880940 bowl, 02924116 bus,
02933112 cabinet, 02942699 camera, 02946921 can, 02954340 cap, 02958343 car, 02992529 cellphone, 03001627 chair,
03046257 clock, 03085013 keyboard, 03207941 dishwasher, 03211117 display, 03261776 earphone, 03325088 faucet,
03337140 file_cabinet, 03467517 guitar, 03513137 helmet, 03593526 jar, 03624134 knife, 03636649 lamp, 03642806 laptop,
03691459 loudspeaker, 03710193 mailbox, 03759954 microphone, 03761084 microwave, 03790512 motorbike, 03797390 mug,
03928116 piano, 03938244 pillow, 03948459 pistol, 03991062 flowerpot, 04004475 printer, 04074963 remote,
04090263 rifle, 04099429 rocket, 04225987 skateboard, 04256520 sofa, 04330267 stove, 04379243 table,
04401088 telephone, 04460130 tower, 04468005 train, 04530566 watercraft, 04554684 washer
"""
SYNSETS = dict(entry.split() for entry in _NAMES.split(","))
# v1 lists these two again under the wider synset.
DUPLICATES = {"02858304": "04530566", "02992529": "04401088"}
LAYOUTS = ("model.obj", "models/model_normalized.obj")  # v1, v2
ATTRIBUTION = (
    "Meshes: ShapeNetCore (https://shapenet.org), used under its terms of use (https://shapenet.org/terms); each model "
    "belongs to its author. Cite: Chang et al., ShapeNet: An Information-Rich 3D Model Repository, arXiv:1512.03012.\n"
)


def synset_folders(root: Path) -> list[Path]:
    """Folders of `root` called by eight digits that hold at least one model; none if it is no ShapeNetCore."""
    folders = sorted(p for p in root.iterdir() if re.fullmatch(r"\d{8}", p.name) and p.is_dir())
    return [folder for folder in folders if next(model_files(folder), None) is not None]


def model_files(folder: Path) -> Iterator[Path]:
    """The mesh of each model of a synset folder, by model id; nothing else is looked at (there are 50,000)."""
    for model in sorted(p for p in folder.iterdir() if p.is_dir()):
        path = next((model / name for name in LAYOUTS if (model / name).is_file()), None)
        if path is not None:
            yield path


def model_id(root: Path, path: Path) -> tuple[str, str]:
    """(synset, model) of a file that `model_files` found."""
    synset, model = path.relative_to(root).parts[:2]
    return synset, model


def is_duplicate(root: Path, synset: str, model: str) -> bool:
    """Whether the model is listed under the wider synset too: kept twice, it could be in train and in test."""
    wider = DUPLICATES.get(synset)
    return wider is not None and any((root / wider / model / name).is_file() for name in LAYOUTS)
