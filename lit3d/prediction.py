"""Photographs through a trained network: .ply, .glb, a picture and the assumptions beside them."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from rich.progress import track

from lit3d import drawing, mesh_drawing, photos
from lit3d.build import image_size, load_image_module
from lit3d.callbacks import write_atomically
from lit3d.errors import UserError, did_you_mean
from lit3d.export import check_format, export_onnx
from lit3d.shape_files import write_maps, write_shape
from lit3d.structures import Structure

SHEET = "predictions.png"
CROPS = {3: "crop_left_top_side", 4: "crop_left_top_width_height"}  # in the record, by how many numbers
DRAWN = 2048  # points of a surface without a number of its own
FORMS = ("mesh", "blocks")  # of `to`
SHEET_ROWS = 24  # more would make a picture that nothing shows


def predict(config: dict[str, Any]) -> list[Path]:
    """Predict every image of a config and export its network, as far as wanted; returns the files written.

    Raises:
        UserError: a checkpoint, image, mask, camera or format that cannot be used, before anything is written for it.
    """
    if not config["checkpoint"] or not (config["image"] or config["export"]):
        raise UserError("give checkpoint=FILE and image=FILE, image=FOLDER or 'image=[a.png,b.png]', or export=onnx")
    if config["export"]:
        check_format(config["export"])
    _check_count(config["answers"])
    module = load_image_module(config["checkpoint"])
    if config["answers"] > 1 and not getattr(module.network, "noise", 0):
        raise UserError(
            f"answers={config['answers']}: this network has one answer to an image, because it reads no random vector; "
            "python -m lit3d.run model.hypotheses=4 trains one that has several"
        )
    _check_form(config.get("to"), module.network.predicts)  # type: ignore[arg-type]
    predicted = _predict_images(module, config) if config["image"] else []
    exported = export_onnx(module.network, module.config, Path(config["out"])) if config["export"] else []
    return predicted + exported


def _check_count(answers: Any) -> None:
    if not isinstance(answers, int) or answers < 1:
        raise UserError(f"answers is the number of answers to each image, at least 1, got {answers}")


def _check_form(to: Any, predicts: type[Structure]) -> None:
    if to is not None and to not in FORMS:
        raise UserError(f"to must be mesh, blocks or null, got {to!r}.{did_you_mean(str(to), FORMS)}")
    if to == "blocks" and not predicts.has_blocks:
        raise UserError(f"to=blocks draws the sides of voxels, but this network predicts {predicts.reads_as}: to=mesh")


def _predict_images(module: Any, config: dict[str, Any]) -> list[Path]:
    given = config["image"] if isinstance(config["image"], list) else [config["image"]]
    paths = photos.find_images(given)
    mask = Path(config["mask"]) if config["mask"] else None
    if mask is not None and len(paths) > 1:
        raise UserError(f"mask={mask} belongs to one image, but {len(paths)} are given: use PNGs with transparency")
    camera = _camera(config["camera"], module.config["camera"])
    if config["camera"] and hasattr(module.network, "use_camera"):
        module.network.use_camera(camera)
    size = image_size(module.config["data"]) or (0, 0)
    if mask is not None and camera["fill"] is None:
        raise UserError(f"mask={mask} cuts an object out, but this network was trained on whole pictures: leave it out")
    out = Path(config["out"])
    _refuse_overwriting(paths, out)
    out.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    rows: dict[str, list[list[np.ndarray]]] = {}
    heads: list[str] = []
    skipped: list[str] = []
    for path in track(paths, "predicting", disable=len(paths) < 4):
        try:
            photo = _photo(path, mask, size, camera["fill"])
            answers = _forward(module, photo, camera, config["answers"])
            files, heads, views = write(photo, answers, camera, module, out, config["picture_size"], config.get("to"))
            first, *further = views
            rows[photo.name] = [[drawing.fitted(photo.whole, config["picture_size"]), *first],
                                *([_blank(row[0]), *row] for row in further)]  # fmt: skip
            written += files
        except UserError as error:
            if len(paths) == 1:
                raise
            skipped.append(str(error))
    _say_skipped(skipped, len(paths))
    if not written:
        raise UserError("none of the images could be used")
    if len(paths) > 1:
        shown = list(rows)[:SHEET_ROWS]
        notes = [note for name in shown for note in (name, *[""] * (len(rows[name]) - 1))]
        picture = drawing.grid([row for name in shown for row in rows[name]], ("photograph", *heads), notes)
        drawing.save_image(picture, out / SHEET)
        written.append(out / SHEET)
    return written


def _say_skipped(reasons: list[str], count: int) -> None:
    for reason in reasons:
        print(f"left out: {reason}")
    if reasons:
        print(f"{len(reasons)} of {count} images are left out")


def _photo(path: Path, mask: Path | None, size: tuple[int, int], fill: float | None) -> photos.Photo:
    """An object cut out, or a whole picture for a network that was trained on such."""
    if fill is None:
        return photos.whole(path, size)
    return photos.prepare(path, mask or photos.mask_beside(path), size[0], fill)


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
    camera = nominal | read | {"assumed": False}
    if not _is_camera(camera):
        raise UserError(
            f"camera={given}: expected intrinsics as 3 x 3 numbers, distance above 0 and fill above 0 up to 1"
        )
    return camera


def _is_camera(camera: dict[str, Any]) -> bool:
    try:
        intrinsics = np.asarray(camera["intrinsics"], float)
        positive = 0 < float(camera["distance"]) < np.inf
        positive &= camera["fill"] is None or 0 < float(camera["fill"]) <= 1
    except (TypeError, ValueError):
        return False
    return positive and intrinsics.shape == (3, 3) and bool(np.isfinite(intrinsics).all())


def _refuse_overwriting(paths: list[Path], out: Path) -> None:
    """A prediction is named as its picture, so in the same folder a .png would take the photograph's place."""
    for path in paths:
        if path.suffix == ".png" and path.resolve() == (out / path.name).resolve():
            raise UserError(f"out={out} is where {path.name} lies, which its prediction would overwrite: name another")
        if len(paths) > 1 and path.stem == Path(SHEET).stem:
            raise UserError(f"{SHEET} is the picture of all predictions: give {path} another name")


def _forward(module: Any, photo: photos.Photo, camera: dict[str, Any], count: int) -> list[Any]:
    """`count` answers, each a prediction of one sample."""
    intrinsics, pose = _matrices(camera)
    known = {"image": photo.image.transpose(2, 0, 1), "mask": photo.mask[None], "intrinsics": intrinsics, "pose": pose}
    arrays = {key: values.astype(bool if key == "mask" else np.float32) for key, values in known.items()}
    batch = {key: torch.from_numpy(np.ascontiguousarray(v))[None].to(module.device) for key, v in arrays.items()}
    with torch.inference_mode():
        prediction = module.answers(batch, count).to("cpu")
    if count == 1:
        return [prediction]
    return [replace(prediction, points=points, hypotheses=None) for points in prediction.hypotheses.unbind(1)]


def _matrices(camera: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Intrinsics (3, 3) and pose (4, 4), target frame -> camera."""
    pose = np.asarray(camera["pose"], float)
    pose[2, 3] = camera["distance"]
    return np.asarray(camera["intrinsics"], float), pose


def _blank(picture: np.ndarray) -> np.ndarray:
    return np.full_like(picture, 255)


def write(
    photo: photos.Photo, answers: Sequence[Any], camera: dict[str, Any], module: Any, out: Path, size: int,
    to: str | None = None,
) -> tuple[list[Path], list[str], list[list[np.ndarray]]]:
    """One prediction as .ply (target frame), .glb (y up), .png and .json; several answers as numbered .ply and .glb.

    What a prediction has in the pixels of the image, such as depth, is written as .npy and .png, too. With `to` shapes
    and pictures are triangles, and the .json says how they were made.

    Returns:
        The files; heads and rows of pictures: input and prediction; of several answers, the input's view of all in one
        row, and below it the other view.

    Raises:
        UserError: an answer is empty or not finite, or cannot be made a mesh.
    """
    made = _meshes(photo.name, answers, to) if to else []
    shapes = [shape for shape, _ in made] or [answer.to_trimesh(0) for answer in answers]
    if not all(len(s.vertices) and np.isfinite(s.vertices).all() for s in shapes):
        raise UserError(f"{photo.name}: the network predicts nothing, or numbers that are not finite")
    intrinsics, pose = _matrices(camera)
    several = len(shapes) > 1
    names = [f"{photo.name}_{i + 1}" for i in range(len(shapes))] if several else [photo.name]
    frame = camera["frame"]
    solid = answers[0].solid or bool(to)
    files = [f for s, name in zip(shapes, names, strict=True) for f in write_shape(s, out / name, pose, frame, solid)]
    maps = {name: values.numpy() for name, values in answers[0].maps(0).items()}
    further, facts_of_maps = write_maps(maps, out / photo.name)
    picture, record = out / f"{photo.name}.png", out / f"{photo.name}.json"
    shape = photo.image.shape[:2]
    camera_of = (drawing.in_square(intrinsics, *shape), pose, np.array([0.0, 1.0, 0.0]), size, max(shape))
    views = [mesh_drawing.views_of(shape, *camera_of) for shape, _ in made]
    views = views or [mesh_drawing.two_views(a, 0, _points(a), *camera_of) for a in answers]
    heads, rows = _sheet(drawing.upscaled(photo.image, size), views, maps, size)
    drawing.save_image(drawing.grid(rows, heads, ["", "from 90°"] if several else ()), picture)
    facts = {
        "image": photo.name, "mask": photo.mask_from, CROPS[len(photo.crop)]: photo.crop, "camera": camera,
        "checkpoint_config": {k: module.config[k] for k in ("name", "seed")},
        "axes": {".ply": f"the {frame} frame of training", ".glb": "y up", **({".obj": "y up"} if solid else {})},
    }  # fmt: skip
    facts |= {"meshes": {n: _described(*m) for n, m in zip(names, made, strict=True)}} if made else {}
    facts |= ({"answers": names} if several else {}) | ({"maps": facts_of_maps} if maps else {})
    write_atomically(record, json.dumps(facts, indent=1) + "\n")
    return [*files, *further, picture, record], heads, rows


def _meshes(name: str, answers: Sequence[Structure], to: str) -> list[tuple[trimesh.Trimesh, str]]:
    """Each answer as triangles, and how they were made."""
    try:
        return [answer.to_mesh(0, blocks=to == "blocks") for answer in answers]
    except UserError as error:
        raise UserError(f"{name}: {error}") from None


def _described(shape: trimesh.Trimesh, how: str) -> dict[str, Any]:
    counts = {"vertices": len(shape.vertices), "faces": len(shape.faces)}
    return {"made": how, "watertight": bool(shape.is_watertight), **counts}


def _points(answer: Any) -> np.ndarray:
    """(n, 3) of the surface, as many as pictures show."""
    return answer.surface(answer.capacity or DRAWN)[0][0].double().numpy()


def _sheet(
    seen: np.ndarray, views: Sequence[tuple[np.ndarray, np.ndarray]], maps: dict[str, np.ndarray], size: int
) -> tuple[list[str], list[list[np.ndarray]]]:
    """Heads and rows: the input beside one prediction, its maps or else its front, from 90°; several answers in two."""
    if len(views) > 1:
        front, turned = ([v[k] for v in views] for k in (0, 1))
        heads = ["input", *(f"answer {i + 1}" for i in range(len(views)))]
        return heads, [[seen, *front], [_blank(seen), *turned]]
    shown = {name: drawing.fitted(drawing.coloured(m), size, pixels=True) for name, m in maps.items()}
    shown = shown or {"prediction": views[0][0]}
    return ["input", *shown, "prediction, 90°"], [[seen, *shown.values(), views[0][1]]]
