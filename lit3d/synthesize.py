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
    console = Console(soft_wrap=True, highlight=False)
    if report is None:
        console.print(f"{data.root} is there and has no source to compare it with: nothing to do")
        return
    console.print(
        f"{report.objects:,} objects, {report.views:,} views in {report.seconds:.0f} s\n"
        f"Left out   {report.failures}" + (f", reasons in {report.path}/failures.csv" if report.failures else "") + "\n"
        f"Hidden     {report.dropped_share:.0%} of the surface: no outside view sees it, no points lie there\n"
        f"Border     {report.border_share:.1%} of the views touch it\n"
        f"Dataset    {report.path}\n"
        f"Try next   python -m lit3d.run data={data.name}"
    )


def main() -> None:
    """The command."""
    launch("synthesize", task)


if __name__ == "__main__":
    main()
