"""kill -9 while a report is written: the earlier one stays whole, and the next start writes the new one."""

import io
import os
import signal
from pathlib import Path

import pytest

from lit3d.reporting.write import report

EARLIER = "<html>earlier</html>"
MOMENTS = ("reading", "half written", "not yet renamed")


def killed_at(moment, monkeypatch):
    """Make the next report die there, as by the system."""

    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    class Half(io.FileIO):
        def write(self, data):
            super().write(data[: len(data) // 2])
            die()

    if moment == "reading":
        monkeypatch.setattr("lit3d.reporting.write.gather", die)
    elif moment == "half written":
        real = Path.open
        monkeypatch.setattr(Path, "open", lambda self, mode="r", **k: Half(self, "w") if mode == "wb" else
                            real(self, mode, **k))  # fmt: skip
    else:
        monkeypatch.setattr("pathlib.Path.replace", die)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="gpu: Windows has no kill -9")
@pytest.mark.parametrize("moment", MOMENTS)
def test_kill_9_leaves_the_earlier_report_whole(sweep, tmp_path, monkeypatch, moment):
    path = tmp_path / "report.html"
    path.write_text(EARLIER)
    config = {"runs": str(sweep), "baseline": None, "format": "html", "output": str(path), "title": None}
    child = os.fork()
    if not child:
        try:
            killed_at(moment, monkeypatch)
            report(config)
        finally:
            os._exit(1)  # it was not killed
    _, ended = os.waitpid(child, 0)
    assert os.WIFSIGNALED(ended)
    assert os.WTERMSIG(ended) == signal.SIGKILL
    assert path.read_text() == EARLIER
    left = [p for p in tmp_path.iterdir() if p != path]
    sizes = [p.stat().st_size for p in left]
    assert len(left) == (moment != "reading")
    for part in left:
        os.utime(part, (0, 0))  # it may be another process's that writes just now, unless it is old
    report(config)
    page = path.read_text()
    assert page.endswith("</body></html>\n")
    assert not sizes or sizes[0] == len(page.encode()) // (2 if moment == "half written" else 1)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
