"""Pictures: whole SVG in one page, the same for the same values, and words of a model that stay words."""

import pytest

from whit.report.pictures import curves, heat_map, scatter, write_pictures

pytest.importorskip("matplotlib")
LINES = {"one": [(0, 0.1), (1, 0.4)], "<b>two": [(0, 0.3), (1, 0.2)]}


def test_every_kind_is_svg_that_names_its_axes():
    for svg in (
        curves(LINES, "layer", "share"),
        scatter(LINES, "layer", "share"),
        heat_map({"0.1": [0.5, 1.0]}, ["8", "16"], "layer", "share"),
    ):
        assert svg.startswith("<svg") and "layer" in svg and "share" in svg and "<b>" not in svg


def test_the_same_values_give_the_same_picture():
    assert curves(LINES, "x", "y") == curves(LINES, "x", "y")


def test_a_heat_map_shows_its_values_in_percent():
    assert ">37<" in heat_map({"row": [0.371]}, ["column"], "x", "y").replace(" ", "")


def test_a_page_holds_pictures_and_what_they_show(tmp_path):
    write_pictures(tmp_path / "page.html", "A < B", [(curves(LINES, "x", "y"), "one & two")])
    page = (tmp_path / "page.html").read_text()
    assert "A &lt; B" in page and "one &amp; two" in page and page.count("<svg") == 1
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )
