"""The examples of docs/howto/extend.md pass the suites that the page names."""

import os
import tempfile
from pathlib import Path

from tests.test_docs import run_blocks

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "extend.md"


def names_of_the_page():
    """Run the page's blocks in a folder of their own, and return what they define."""
    namespace = {}
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            run_blocks(PAGE.read_text(encoding="utf-8"), PAGE.name, namespace)
        finally:
            os.chdir(before)
    return namespace
