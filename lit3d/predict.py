"""python -m lit3d.predict: photographs through a trained network, or the network as a file for elsewhere."""

from typing import Any

from lit3d.config import launch


def task(cfg: Any) -> None:
    """Predict, then say what was written."""
    from rich.console import Console

    from lit3d.build import plain
    from lit3d.prediction import SHEET, predict

    files = predict(plain(cfg))
    pictures = [f for f in files if f.suffix == ".png" and f.with_suffix(".json") in files]
    console = Console()
    if pictures:
        maps = ", depth and normals (.png, .npy)" if any(f.suffix == ".npy" for f in files) else ""
        obj = " .obj," if any(f.suffix == ".obj" for f in files) else ""
        console.print(f"{len(pictures)} prediction(s) in {pictures[0].parent}: .ply, .glb,{obj} .png, .json each{maps}")
    for picture in pictures[:10]:
        console.print(f"  {picture}")
    if len(pictures) > 1:
        console.print(f"  all in one: {pictures[0].with_name(SHEET)}")
    for file in files:
        if file.suffix == ".onnx":
            console.print(f"the network, checked against torch: {file}; how to use it: {file.stem}.json")


def main() -> None:
    """The command."""
    launch("predict", task)


if __name__ == "__main__":
    main()
