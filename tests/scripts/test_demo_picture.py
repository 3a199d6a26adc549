"""The picture of the README: that it is what the demo draws today."""

import json

import pytest

from scripts.demo_picture import FOLDER, chapter, figures


@pytest.mark.slow
def test_picture_shows_what_the_demo_finds_now():
    shown = json.loads((FOLDER / "budget.json").read_text(encoding="utf-8"))
    found = figures(chapter(seeds=4))
    assert len(found) == len(shown)
    for now, then in zip(found, shown, strict=True):
        # The error of a mean of four runs.
        assert now["quality"] == pytest.approx(then["quality"], abs=0.01), "run: python scripts/demo_picture.py"
        assert now["spent"] == pytest.approx(then["spent"], rel=0.05), "run: python scripts/demo_picture.py"


def test_readme_shows_the_picture():
    assert "(docs/pictures/budget.png)" in (FOLDER.parents[1] / "README.md").read_text(encoding="utf-8")
    assert (FOLDER / "budget.png").read_bytes().startswith(b"\x89PNG")
