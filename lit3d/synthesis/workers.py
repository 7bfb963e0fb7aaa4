"""One task to one process at a time, so that a crash or a hang costs one task and names it.

Processes are not forked from this one: a fork copies locks that other threads (progress bars, torch) may hold. They are
forked from a small server that has only imported the pipeline, which is paid once and not once a worker.
"""

import contextlib
import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from typing import Any, Generic, TypeVar

from lit3d.errors import UserError
from lit3d.synthesis.shape import UnusableMeshError
from lit3d.synthesis.store.files import StorageError

Context = TypeVar("Context")
Task = TypeVar("Task")
_THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "IGL_NUM_THREADS")


@dataclass(frozen=True)
class Outcome(Generic[Task]):
    """What became of a task: a value, or the reason why there is none."""

    task: Task
    value: Any = None
    reason: str | None = None


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def outcomes(work: Callable[[Context, Task], Any], context: Context, tasks: Sequence[Task], workers: int,
             limit_s: float = 900.0) -> Iterator[Outcome[Task]]:
    """Run `work(context, task)` for every task and yield what became of each, in the order of finishing.

    Args:
        work: a function of a module (it is sent to other processes by name).
        context: the same for all tasks; sent to each process once.
        tasks: what to do.
        workers: how many processes; 1 = in this process, where a crash is not caught.
        limit_s: seconds after which a task counts as hanging and its process is ended.

    Raises:
        StorageError: the disk refuses; the remaining tasks are not begun.
        UserError: no worker process can be started.
    """
    if workers <= 1:
        for task in tasks:
            yield _outcome(task, _attempt(work, context, task))
        return
    crew = _Crew(work, context, tasks, min(workers, len(tasks)))
    try:
        while crew.busy:
            yield from crew.collect(limit_s)
    finally:
        crew.end()


def one_line(text: str, most: int = 300) -> str:
    """The text without line breaks, cut where it is too long for a table."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[:most - 1] + "…"


def _attempt(work: Callable[[Context, Task], Any], context: Context, task: Task) -> tuple[str, Any]:
    try:
        return "done", work(context, task)
    except StorageError as error:
        return "stop", str(error)
    except UnusableMeshError as error:
        return "failed", one_line(str(error))
    except MemoryError:
        return "failed", "needs more memory than there is"
    except Exception as error:
        return "failed", one_line(f"{type(error).__name__}: {error}")


def _outcome(task: Task, answer: tuple[str, Any]) -> Outcome[Task]:
    kind, value = answer
    if kind == "stop":
        raise StorageError(value)
    return Outcome(task, value=value) if kind == "done" else Outcome(task, reason=value)


def _serve(connection: Connection, work: Callable[[Context, Task], Any], context: Context) -> None:
    """The life of a worker: it ends when its parent says so or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent decides
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        connection.send(("ready", None))
        while (message := connection.recv()) is not None:
            connection.send(_attempt(work, context, message[0]))


def _system() -> BaseContext:
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    system = multiprocessing.get_context(method)
    system.set_forkserver_preload(["lit3d.synthesis.pipeline"])
    return system


class _Worker:
    def __init__(self, arguments: tuple[Any, ...]) -> None:
        system = _system()
        self.connection, theirs = system.Pipe()
        self.process = system.Process(target=_serve, args=(theirs, *arguments), daemon=True)  # type: ignore[attr-defined]
        with _one_thread_each():
            try:
                self.process.start()
            except (pickle.PicklingError, AttributeError, TypeError) as error:
                raise UserError(f"The source cannot be sent to worker processes ({error}). Use workers=1.") from error
        theirs.close()  # so that its death closes the pipe
        self.ready = False
        self.since = time.monotonic()

    def death(self) -> str:
        self.process.join()
        code = self.process.exitcode or 0
        if code == -signal.SIGKILL:
            return "its process was killed, most likely because the memory was used up"
        return f"its process crashed ({signal.Signals(-code).name if code < 0 else f'exit code {code}'})"


class _Crew(Generic[Context, Task]):
    """The processes, and which task each is at."""

    def __init__(self, work: Callable[[Context, Task], Any], context: Context, tasks: Sequence[Task],
                 workers: int) -> None:
        self._arguments = (work, context)
        self._waiting = list(reversed(tasks))
        self._all: list[_Worker] = []
        self.busy: dict[_Worker, Task | None] = {}
        for _ in range(workers):
            self._start()

    def _start(self) -> None:
        worker = _Worker(self._arguments)
        self._all.append(worker)
        self.busy[worker] = None

    def collect(self, limit_s: float) -> Iterator[Outcome[Task]]:
        """Wait a moment; yield what has come in, and give the idle new tasks."""
        by_connection = {worker.connection: worker for worker in self.busy}
        for connection in wait(list(by_connection), timeout=1.0):
            worker = by_connection[connection]  # type: ignore[index]
            try:
                answer = worker.connection.recv()
            except (EOFError, OSError):
                yield from self._replace(worker, worker.death())
                continue
            task = self.busy[worker]
            self._next(worker)
            if answer[0] == "ready":
                worker.ready = True
            else:
                yield _outcome(task, answer)  # type: ignore[arg-type, misc]
        for worker in [w for w in self.busy if time.monotonic() - w.since > limit_s]:
            worker.process.kill()
            yield from self._replace(worker, f"it took longer than {limit_s:g} s")

    def _next(self, worker: _Worker) -> None:
        if not self._waiting:
            del self.busy[worker]
            with contextlib.suppress(OSError):
                worker.connection.send(None)
            return
        self.busy[worker] = self._waiting.pop()
        worker.since = time.monotonic()
        with contextlib.suppress(OSError):  # a dead worker is noticed when it is read
            worker.connection.send((self.busy[worker],))

    def _replace(self, worker: _Worker, reason: str) -> Iterator[Outcome[Task]]:
        task = self.busy.pop(worker)
        if not worker.ready:
            raise UserError("Worker processes cannot be started. A script that calls this needs "
                            "`if __name__ == \"__main__\":` around the call; or use workers=1.")
        if self._waiting:
            self._start()
        yield Outcome(task, reason=reason)  # type: ignore[arg-type]

    def end(self) -> None:
        """End all processes: those at a task are killed."""
        for worker in self.busy:
            worker.process.kill()
        for worker in self._all:
            worker.process.join()
            worker.connection.close()


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Numerical libraries start a thread a core in each process; with a process a core that is only in the way."""
    before = {name: os.environ.get(name) for name in _THREAD_LIMITS}
    os.environ.update(dict.fromkeys(_THREAD_LIMITS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
