"""Photographs through a trained network: .ply, .glb, a picture and the assumptions beside them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track

from lit3d import drawing, photos
from lit3d.build import load_module
from lit3d.callbacks import write_atomically
from lit3d.errors import UserError
from lit3d.shape_files import write_shape

HEADS = ("input", "prediction", "prediction, 90°")


def predict(config: dict[str, Any]) -> list[Path]:
    """Predict every image of a config; returns the files written.

    Raises:
        UserError: a checkpoint, image, mask or camera that cannot be used, before anything is written for it.
    """
    if not config["checkpoint"] or not config["image"]:
        raise UserError("give checkpoint=FILE and image=FILE, image=FOLDER or 'image=[a.png,b.png]'")
    module = load_module(config["checkpoint"])
    given = config["image"] if isinstance(config["image"], list) else [config["image"]]
    paths = photos.find_images(given)
    mask = Path(config["mask"]) if config["mask"] else None
    if mask is not None and len(paths) > 1:
        raise UserError(f"mask={mask} belongs to one image, but {len(paths)} are given: use PNGs with transparency")
    camera = _camera(config["camera"], module.config["camera"])
    size = module.config["data"]["synthesis"]["image_size"]
    out = Path(config["out"])
    out.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    skipped: list[str] = []
    for path in track(paths, "predicting", disable=len(paths) < 4):
        try:
            photo = photos.prepare(path, mask, size, camera["fill"])
        except UserError as error:
            if len(paths) == 1:
                raise
            skipped.append(str(error))
            continue
        written += write(photo, _forward(module, photo), camera, module, out, config["picture_size"])
    for reason in skipped:
        print(f"left out: {reason}")
    if not written:
        raise UserError("none of the images could be used")
    return written


def _camera(given: str | None, nominal: dict[str, Any]) -> dict[str, Any]:
    """The nominal camera of training, or the keys that a JSON file gives in its place."""
    if given is None:
        return nominal
    try:
        read = json.loads(Path(given).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"camera={given} cannot be read as JSON ({error})") from None
    unknown = set(read) - {"intrinsics", "distance", "fill"} if isinstance(read, dict) else {"(not an object)"}
    if unknown:
        got = ", ".join(sorted(unknown))
        raise UserError(f"camera={given}: expected the keys intrinsics, distance, fill; got {got}")
    return nominal | read | {"assumed": False}


def _forward(module: Any, photo: photos.Photo) -> Any:
    image = torch.from_numpy(np.ascontiguousarray(photo.image.transpose(2, 0, 1)))[None]
    with torch.inference_mode():
        return module({"image": image.to(module.device)}).to("cpu")


def write(
    photo: photos.Photo, prediction: Any, camera: dict[str, Any], module: Any, out: Path, size: int
) -> list[Path]:
    """One prediction as .ply (target frame), .glb (y up), .png and .json."""
    shape = prediction.to_trimesh(0)
    points = np.asarray(shape.vertices)
    intrinsics, pose = np.asarray(camera["intrinsics"], float), np.asarray(camera["pose"], float)
    pose[2, 3] = camera["distance"]
    files = [*write_shape(shape, out / photo.name, pose, camera["frame"]),
             *(out / f"{photo.name}{suffix}" for suffix in (".png", ".json"))]  # fmt: skip
    up = np.array([0.0, 1.0, 0.0])
    front, side = drawing.two_views(points, intrinsics, pose, up, size, photo.image.shape[0])
    sheet = drawing.grid([[drawing.upscaled(photo.image, size), front, side]], HEADS)
    drawing.save_image(sheet, files[2])
    facts = {
        "image": photo.name, "mask": photo.mask_from, "crop_left_top_side": photo.crop, "camera": camera,
        "checkpoint_config": {k: module.config[k] for k in ("name", "seed")},
        "axes": {".ply": f"the {camera['frame']} frame of training", ".glb": "y up"},
    }  # fmt: skip
    write_atomically(files[3], json.dumps(facts, indent=1) + "\n")
    return files
