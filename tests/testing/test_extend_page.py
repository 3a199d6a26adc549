"""The examples of docs/howto/extend.md pass the suites that the page names."""

from pathlib import Path

import pytest

from banditroute.store.base import Store
from banditroute.testing import StoreContract, check_belief, check_featurizer, check_policy
from tests.test_docs import blocks_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "extend.md"


def classes_of_the_page():
    """Return the classes that the page defines; what it does with them is left out."""
    namespace = {"__name__": "extend"}
    for block in blocks_of(PAGE.read_text(encoding="utf-8")):
        if block.language == "python":
            statements = block.code.split("\n\n\n")
            exec("\n\n\n".join(part for part in statements if part.startswith(("import", "from", "class"))), namespace)
    return namespace


CLASSES = classes_of_the_page()


def test_each_kind_of_part_has_an_example_of_about_20_lines():
    lines = [len(block.code.splitlines()) for block in blocks_of(PAGE.read_text(encoding="utf-8"))]
    assert len(lines) == 4
    assert max(lines) <= 36


def test_policy_keeps_the_contract():
    check_policy(CLASSES["Softmax"](temperature=0.05))


def test_featurizer_keeps_the_contract():
    check_featurizer(CLASSES["Keywords"](words=["prove", "translate"]))


def test_belief_keeps_the_contract():
    check_belief(CLASSES["Cautious"](factor=2.0))


class TestJournalStore(StoreContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path):
        self.path = tmp_path / "journal.jsonl"

    def make_store(self) -> Store:
        return CLASSES["JournalStore"](path=self.path)
