"""The script that writes the reference of the Python names, and the pages that it wrote."""

import banditroute
from scripts.python_reference import FOLDER, pages


def test_pages_name_what_the_packages_export_now():
    written = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    assert written == pages(), "run: python scripts/python_reference.py"


def test_every_public_name_has_an_entry():
    text = pages()["banditroute.md"]
    assert [name for name in banditroute.__all__ if f"::: banditroute.{name}\n" not in text] == []


def test_a_name_of_a_room_is_on_its_page_and_in_the_table():
    assert "::: banditroute.features.Compose\n" in pages()["features.md"]
    assert "`Compose`" in pages()["index.md"]
