"""Progress of a synthesis run: a live bar in a terminal, a plain line every few seconds elsewhere."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from lit3d.synthesis.pipeline import Progress

Callback = Callable[[Progress], None]


@contextlib.contextmanager
def console(stream: TextIO | None = None, every_s: float = 5.0) -> Iterator[Callback]:
    """A callback for `synthesize` that shows objects, images per second, remaining time and failures.

    Args:
        stream: where to; standard error by default.
        every_s: seconds between plain lines where `stream` is not a terminal.
    """
    stream = stream or sys.stderr
    if not stream.isatty():
        yield _Lines(stream, every_s)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TextColumn("{task.fields[rate]}"), TimeRemainingColumn(compact=True))
    with Bar(*columns, console=Console(file=stream)) as bar:
        task = bar.add_task("rendering", total=None, rate="")
        rate = _Rate()
        yield lambda now: bar.update(task, total=now.total, completed=now.done, rate=rate.text(now))


class _Rate:
    """Images per second since the first call."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.first: Progress | None = None

    def text(self, now: Progress) -> str:
        failed = f", {now.failures} failed" if now.failures else ""
        return f"{now.views / max(1e-3, time.monotonic() - self.began):,.0f} images/s{failed}"

    def remaining(self, now: Progress) -> str:
        """Time that the objects left will take at the pace of this run; earlier runs' objects do not count."""
        if self.first is None:
            self.first = now
        made = now.done - self.first.done
        if not made:
            return "remaining time not known yet"
        seconds = (time.monotonic() - self.began) / made * (now.total - now.done)
        return f"{int(seconds // 60)}:{int(seconds % 60):02d} min left"


class _Lines:
    def __init__(self, stream: TextIO, every_s: float) -> None:
        self.stream, self.every_s = stream, every_s
        self.rate = _Rate()
        self.next = 0.0

    def __call__(self, now: Progress) -> None:
        if self.rate.first is None and now.done == now.total:
            return  # there is nothing to do
        left = self.rate.remaining(now)
        if time.monotonic() < self.next and now.done < now.total:
            return
        self.next = time.monotonic() + self.every_s
        tail = left if now.done < now.total else "done"
        print(f"rendering {now.done}/{now.total} objects, {self.rate.text(now)}, {tail}", file=self.stream, flush=True)
