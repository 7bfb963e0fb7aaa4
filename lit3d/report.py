"""python -m lit3d.report: run folders in, one page that compares them out."""

from typing import Any

from lit3d.config import launch


def task(cfg: Any) -> None:
    """Write the report and say what it found."""
    from rich.console import Console

    from lit3d.build import plain
    from lit3d.reporting.words import headlines
    from lit3d.reporting.write import report

    contents, path = report(plain(cfg))
    if path is not None:
        console = Console(soft_wrap=True, highlight=False, markup=False)
        console.print("\n".join(headlines(contents)))
        console.print(f"Report     {path} ({path.stat().st_size / 1e6:.1f} MB)")


def main() -> None:
    """The command."""
    launch("report", task)


if __name__ == "__main__":
    main()
