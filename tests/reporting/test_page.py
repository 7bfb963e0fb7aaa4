"""The page in a real browser: nothing is fetched, nothing is logged as an error, it draws, turns and sorts."""

import io
import shutil
import time

import numpy as np
import pytest
from PIL import Image

from lit3d.reporting.write import report

pytestmark = pytest.mark.slow
SOFTWARE = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]  # WebGL where there is no graphics card
SECONDS = 3.0


@pytest.fixture(scope="module")
def chromium():
    """Playwright's own Chromium (`playwright install chromium`), or the system's."""
    api = pytest.importorskip("playwright.sync_api")
    system = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=system, args=SOFTWARE)
        except api.Error as error:
            pytest.skip(f"no Chromium: playwright install chromium, or the system's package ({str(error)[:80]})")
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def large(tmp_path_factory, sweep_of_24):
    """The page of 24 runs x 500 samples, and the seconds that it took without the start of Python."""
    began = time.monotonic()
    path = tmp_path_factory.mktemp("report") / "large.html"
    report({"runs": str(sweep_of_24), "baseline": None, "format": "html", "output": str(path), "title": None})
    return path, time.monotonic() - began


class Opened:
    """A page with what it complained about."""

    def __init__(self, chromium, path):
        self.page = chromium.new_page(viewport={"width": 1500, "height": 1000})
        self.errors, self.asked = [], []
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.on("request", lambda r: self.asked.append(r.url) if r.url[:5] not in ("data:", "blob:") else None)
        self.page.goto(path.as_uri())

    def go(self, section):
        self.page.evaluate(f"document.getElementById('{section}').scrollIntoView()")

    def picture(self, selector, number=0):
        return np.asarray(Image.open(io.BytesIO(self.page.locator(selector).nth(number).screenshot())).convert("RGB"))


@pytest.fixture
def opened(chromium, large):
    found = Opened(chromium, large[0])
    yield found
    found.page.close()
    assert not found.errors
    assert found.asked == [large[0].as_uri()]  # one file: no other request


def share_drawn(picture):
    return (picture.min(axis=2) < 200).mean()


def test_24_runs_are_written_in_time_and_open_in_time(chromium, large):
    """Seconds of the page's thread on a processor: what the wall shows on a machine that does nothing else."""
    assert large[1] < 15  # and 5 s to start Python
    page = chromium.new_page()
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(large[0].as_uri())
    page.wait_for_timeout(300)
    taken = {m["name"]: m["value"] for m in devtools.send("Performance.getMetrics")["metrics"]}
    page.close()
    assert 0.05 < taken["TaskDuration"] < SECONDS


def test_the_viewer_draws_and_turning_one_shape_turns_all(opened):
    page = opened.page
    opened.go("gallery")
    page.wait_for_selector("#gallery .scene:nth-child(8) canvas")
    page.wait_for_function("() => document.querySelectorAll('#gallery .gl').length == 8")
    page.wait_for_timeout(1500)
    before = [opened.picture("#gallery .gl", i) for i in range(8)]
    assert all(0.02 < share_drawn(p) < 0.9 for p in before)
    first = page.locator("#gallery .gl").first.bounding_box()
    page.mouse.move(first["x"] + 120, first["y"] + 120)
    page.mouse.down()
    page.mouse.move(first["x"] + 180, first["y"] + 150, steps=6)
    page.mouse.up()
    page.wait_for_timeout(1500)
    eyes = page.evaluate("[...document.querySelectorAll('#gallery .gl')].map(g => g._fullLayout.scene.camera.eye)")
    assert all(eye == pytest.approx(eyes[0], abs=1e-3) for eye in eyes)
    assert abs(eyes[0]["x"]) + abs(eyes[0]["y"]) > 0.2  # it did turn
    after = [opened.picture("#gallery .gl", i) for i in range(8)]
    assert all((a != b).any(axis=2).mean() > 0.01 for a, b in zip(after, before, strict=True))


def test_the_gallery_is_sorted_by_where_two_runs_differ(opened):
    page = opened.page
    opened.go("gallery")
    page.wait_for_selector("#gallery tr[data-gain]")
    gains = "[...document.querySelectorAll('#gallery tr[data-gain]')].map(r => Number(r.dataset.gain))"
    found = page.evaluate(gains)
    assert len(found) == 24
    assert [abs(g) for g in found] == sorted((abs(g) for g in found), reverse=True)
    page.get_by_label("sort by", exact=True).select_option("b")
    assert page.evaluate(gains) == sorted(found, reverse=True)
    shown = page.locator("#gallery .scene .caption").first.inner_text()
    page.locator("#gallery tr[data-gain]").nth(5).click()
    assert page.locator("#gallery .scene .caption").first.inner_text() != shown
    assert page.evaluate("document.querySelectorAll('#gallery tr.open').length") == 1
    page.wait_for_timeout(500)
    assert share_drawn(opened.picture("#gallery tr[data-gain] canvas")) > 0.02


def test_opening_many_rows_does_not_run_out_of_contexts(opened):
    page = opened.page
    opened.go("gallery")
    page.wait_for_selector("#gallery tr[data-gain]")
    for i in range(4):
        page.locator("#gallery tr[data-gain]").nth(i).click()
        page.wait_for_timeout(300)
    page.wait_for_timeout(1500)
    assert share_drawn(opened.picture("#gallery .gl", 7)) > 0.02


def test_a_click_on_a_head_sorts_and_references_stay_below(opened):
    page = opened.page
    head = page.locator("#scores table.scores").first.locator("th", has_text="F 5 %")
    column = (
        "[...document.querySelector('#scores table.scores').tBodies[0].rows]"
        ".map(r => [r.className, r.cells[4].dataset.sort])"
    )
    for order in (False, True):
        head.click()
        rows = page.evaluate(column)
        own = [float(v) for kind, v in rows if kind != "beside"]
        assert own == sorted(own, reverse=order)
        assert len(own) == 8
        assert [kind for kind, _ in rows[-2:]] == ["beside", "beside"]


def test_charts_draw_for_every_choice(opened):
    page = opened.page
    plot = "document.querySelector('#{} .js-plotly-plot')"
    for section, count, expected in (
        ("images", ".data.reduce((n, t) => n + t.x.length, 0)", 500), ("distributions", ".data.length", 8),
        ("curves", ".data.length", 24),
    ):  # fmt: skip
        opened.go(section)
        page.wait_for_selector(f"#{section} .js-plotly-plot .plot-container")
        assert page.evaluate(plot.format(section) + count) == expected
    curves = page.locator("#curves")
    curves.get_by_label("by", exact=True).select_option("seconds")
    assert page.evaluate(f"Math.max(...{plot.format('curves')}.data[0].x)") == pytest.approx(300, rel=0.05)
    curves.get_by_label("curve", exact=True).select_option("train/loss")
    assert page.evaluate(plot.format("curves") + ".layout.yaxis.type") == "log"
    opened.go("distributions")
    page.locator("#distributions").get_by_label("score", exact=True).select_option("normal_consistency")
    assert page.evaluate(plot.format("distributions") + ".data.length") == 4  # meshes alone have it


def test_what_is_drawn_when_it_is_seen_is_drawn_for_a_printer_too(opened):
    page = opened.page
    empty = "[...document.querySelectorAll('.fill')].filter(n => !n.childElementCount).map(n => n.parentElement.id)"
    assert page.evaluate(empty)
    page.pdf()
    assert page.evaluate(empty) == []
    blank = "c => !new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer).some(Boolean)"
    thumbnails = "[...document.querySelectorAll('.views canvas')]"
    assert page.evaluate(f"{thumbnails}.length") > 0
    assert page.evaluate(f"{thumbnails}.filter({blank}).length") == 0


def test_free_point_sets_and_hostile_names(chromium, make, tmp_path):
    evil = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"
    make.free_points(make.root / "r" / "a", "cd")
    make.free_points(make.root / "r" / "b", "emd", radius=0.2)
    make.free_points(make.root / "r" / "c", "emd", family="sphere", dimension=3)
    make.run(make.root / "r" / "d", seed=1, remark=evil)
    make.run(make.root / "r" / "e", seed=1, remark="none")
    path = tmp_path / "page.html"
    report({"runs": str(make.root / "r"), "baseline": None, "format": "html", "output": str(path), "title": evil})
    found = Opened(chromium, path)
    dialogs = []
    found.page.on("dialog", lambda d: (dialogs.append(d.message), d.dismiss()))
    found.go("points")
    found.page.wait_for_selector("#points .family .main-svg")
    assert found.page.evaluate("document.querySelector('#points .js-plotly-plot').data.length") == 3 + 2
    found.page.wait_for_selector("#points .gl canvas")
    found.page.wait_for_timeout(1500)
    assert share_drawn(found.picture("#points .gl")) > 0.005
    for section in ("gallery", "images", "curves", "distributions"):
        found.go(section)
        found.page.wait_for_timeout(500)
    assert found.page.title() == evil
    assert not dialogs
    assert not found.errors
    found.page.close()
