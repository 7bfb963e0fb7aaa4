"""python -m lit3d.evaluate: score a checkpoint, or shapes that any software made, without training."""

from typing import Any

from lit3d.config import launch


def task(cfg: Any) -> float | None:
    """One job."""
    from lit3d.evaluation import evaluate

    return evaluate(cfg)


def main() -> None:
    """The command."""
    launch("evaluate", task)


if __name__ == "__main__":
    main()
