"""python -m lit3d.synthesize: meshes in, a dataset of images, depth, normals, cameras and surface points out."""

from typing import Any

from lit3d.config import launch


def task(cfg: Any) -> None:
    """Make the dataset of a config."""
    from rich.console import Console

    from lit3d import trust
    from lit3d.build import instantiate, plain

    config = plain(cfg)
    trust.check(config, config["lit3d"]["trust"])
    data = instantiate(config["data"])
    report = data.make(overwrite=config["overwrite"])
    Console().print(str(report) if report is not None else f"{data.root} is complete already: nothing to do")


def main() -> None:
    """The command."""
    launch("synthesize", task)


if __name__ == "__main__":
    main()
