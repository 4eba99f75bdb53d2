"""The page in a real browser: nothing fails, tables sort, curves answer, sounds play, everybody can read it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Request, sync_playwright

from advaudio.report.pages.page import render
from experiments.collect import collect
from experiments.results import write_results
from tests.report.cells import made_cell
from tests.report.conftest import HOSTILE
from tests.report.whole_cell import SECONDS

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium or Chrome on the path to show the page in"
)

DESK, PHONE = (1280, 900), (390, 844)
NUMBERS = """
{% extends "page.html" %}
{% set title, subtitle, sections = page, page, [("sort", "Sort", "sort.html")] %}
"""
SORT = """
{% from "blocks.html" import plain, table %}
{% call table("Numbers", ["name", "value"]) %}
{% for name, number in [("b", 10), ("a", 9), ("c", none), (page, -1)] %}
<tr><th scope="row">{{ name }}</th>{{ plain(number) }}</tr>
{% endfor %}
{% endcall %}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium, without a window."""
    arguments = ["--autoplay-policy=no-user-gesture-required"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def pages(
    eight_cells: list[Path], hostile_page: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The page of four cells, of one cell with hostile names, and of a table with gaps."""
    folder = tmp_path_factory.mktemp("pages")
    write_results(collect(Path(), [str(path) for path in eight_cells[:4]]), folder)
    (folder / "cell.html").write_text(hostile_page, encoding="utf-8")
    templates = folder / "templates"
    templates.mkdir()
    (templates / "numbers.html").write_text(NUMBERS, encoding="utf-8")
    (templates / "sort.html").write_text(SORT, encoding="utf-8")
    (folder / "numbers.html").write_text(render("numbers.html", HOSTILE, templates), encoding="utf-8")
    return {"grid": folder / "tables.html", "cell": folder / "cell.html", "numbers": folder / "numbers.html"}


@pytest.fixture
def show(browser: Browser, pages: dict[str, Path]) -> Iterator[Any]:
    """Opens a page; in the end nothing may have been logged, raised or asked for from outside."""
    faults: list[str] = []
    opened = []

    def note_request(request: Request) -> None:
        if not request.url.startswith(("file:", "data:")):
            faults.append(request.url)

    def open_page(name: str, size: tuple[int, int] = DESK, scheme: str = "light") -> Page:
        page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)  # type: ignore[arg-type]
        opened.append(page)
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(dialog.message))
        page.on("request", note_request)
        page.goto(pages[name].as_uri())
        return page

    yield open_page
    for page in opened:
        page.close()
    assert faults == []


@pytest.mark.parametrize("name", ["grid", "cell", "numbers"])
@pytest.mark.parametrize(("size", "scheme"), [(DESK, "light"), (PHONE, "dark")], ids=["desk", "phone"])
def test_everything_has_a_size_fits_and_is_accessible(
    show: Any, name: str, size: tuple[int, int], scheme: str
) -> None:
    page = show(name, size, scheme)
    page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    small = page.evaluate(
        """[...document.querySelectorAll("svg, img, audio, table")]
             .filter(element => { const box = element.getBoundingClientRect(); return box.width < 40 || box.height < 20; })
             .map(element => element.outerHTML.slice(0, 100))"""
    )
    assert small == []
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    found = Axe().run(page).response["violations"]
    assert [(fault["id"], fault["nodes"][0]["html"]) for fault in found] == []


def test_headings_sort_numbers_by_value_and_gaps_last(show: Any) -> None:
    page = show("numbers")
    table = page.get_by_role("table", name="Numbers")

    def order() -> list[str]:
        texts: list[str] = table.locator("tbody tr td").all_inner_texts()
        return texts

    heading = table.get_by_role("columnheader", name="value")
    heading.get_by_role("button").click()
    assert order() == ["-1", "9", "10", "–"]
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.get_by_role("button").press("Enter")
    assert order() == ["10", "9", "-1", "–"]
    table.get_by_role("columnheader", name="name").get_by_role("button").click()
    assert table.locator("tbody th").all_inner_texts()[1:] == ["a", "b", "c"]
    assert heading.get_attribute("aria-sort") is None


def test_result_table_sorts_by_its_numbers(show: Any) -> None:
    page = show("grid")
    table = page.locator("table").first
    table.get_by_role("columnheader", name="ResNet-56").get_by_role("button").click()
    column = table.locator("tbody tr td:nth-child(5)")
    values = [float(text.replace("−", "-").split()[0]) for text in column.all_inner_texts()]
    assert values == sorted(values)
    assert len(values) == 6


def test_curves_read_under_pointer_and_arrow_keys(show: Any) -> None:
    page = show("cell")
    cell = made_cell(ratio=2.0)
    curve = cell.attacks["bim_a"].curves["original"]
    chart = page.locator(".chart").first
    chart.scroll_into_view_if_needed()
    box = chart.locator("svg").bounding_box()
    # The drawing is 340 wide, its axis from 46 to 328: this is the middle.
    page.mouse.move(box["x"] + box["width"] * (46 + 141) / 340, box["y"] + box["height"] / 2)
    reading = chart.locator("output").inner_text()
    largest = cell.attacks["bim_a"].curves["robust"].epsilon[-1]
    rate = np.searchsorted(curve.epsilon, largest / 2, side="right") / len(curve.epsilon)
    found = re.fullmatch(r"at ([\d.]+) L∞, 1 = whole range: original (\d+) %, robust (\d+) %", reading)
    assert found is not None, reading
    assert float(found[1]) == pytest.approx(largest / 2, rel=0.01)
    assert int(found[2]) == pytest.approx(100 * rate, abs=1)
    assert int(found[3]) < int(found[2])
    slider = chart.get_by_role("slider")
    slider.press("End")
    assert chart.locator("output").inner_text().endswith("original 100 %, robust 100 %")
    slider.press("Home")
    assert chart.locator("output").inner_text().endswith("original 0 %, robust 0 %")
    slider.press("ArrowRight")
    assert float(slider.get_attribute("aria-valuenow") or "nan") == pytest.approx(largest / 100)


def test_sounds_load_and_play_one_at_a_time(show: Any) -> None:
    page = show("cell")
    _until(page, "[...document.querySelectorAll('audio')].every(sound => sound.readyState > 0)")
    durations = page.evaluate("[...document.querySelectorAll('audio')].map(sound => sound.duration)")
    assert durations == pytest.approx([SECONDS] * 6, abs=0.01)
    page.evaluate("document.querySelectorAll('audio').forEach(sound => { sound.loop = true; })")
    page.evaluate("document.querySelectorAll('audio')[0].play()")
    _until(page, "document.querySelectorAll('audio')[0].currentTime > 0.05")
    page.evaluate("document.querySelectorAll('audio')[1].play()")
    _until(page, "document.querySelectorAll('audio')[1].currentTime > 0.05")
    paused = page.evaluate("[...document.querySelectorAll('audio')].map(sound => sound.paused)")
    assert paused == [True, False, True, True, True, True]


def test_hostile_names_are_shown_as_they_are(show: Any) -> None:
    page = show("cell")
    assert page.locator("h1").inner_text() == f"{HOSTILE} on ESC-50, STFT"
    assert page.locator(".sounds h3").first.inner_text() == f"BIM-a on a clip of {HOSTILE}"
    assert page.locator("script").count() == 1


def test_page_runs_no_script_but_its_own(browser: Browser, pages: dict[str, Path], tmp_path: Path) -> None:
    text = pages["cell"].read_text(encoding="utf-8")
    broken = tmp_path / "broken.html"
    broken.write_text(
        text.replace("<main>", "<main><script>document.title = 'taken over'</script>"), encoding="utf-8"
    )
    page = browser.new_page()
    page.goto(broken.as_uri())
    assert page.title() != "taken over"
    page.close()


def _until(page: Page, condition: str) -> None:
    """Wait until a condition holds; Playwright's own waiting is forbidden by the page's security policy."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"still not so after ten seconds: {condition}")
