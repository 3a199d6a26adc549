"""The language of the project, as CONTRIBUTING.md asks for it: as far as a test can hold it."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "banditroute").rglob("*.py"))
TOP = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
PAGES = [*TOP, *sorted((ROOT / "docs").rglob("*.md"))]

NO_BEGINNING = ("What ", "Whether ", "Who ", "Whom ")
RIDDLE = re.compile(
    r"test_(what|whether|who|whom|whose|which|nothing|none|nobody|where|when|why|how|it|they|there|here|again|says|of|by|"
    r"with|without|in|on|before|after)(_|$)|test_[a-z0-9]+$|Test(What|Whether|Who|Nothing|None|Nobody)"
)
NO_WORDS = re.compile(
    r"\b(anew|how-manieth|whoever|(?-i:is none|are none)|had of|was had|told of|told apart|for who|of whom|is no arm|"
    r"is no objective|the dear|too dear|dearer|dearest)\b",
    re.IGNORECASE,
)
NO_VERB = (
    "A ",
    "All ",
    "An ",
    "As ",
    "By ",
    "Each ",
    "Every ",
    "Ids ",
    "Its ",
    "Of ",
    "The ",
    "These ",
    "Those ",
    "Where ",
    "When ",
    "Which ",
)


def shown(path):
    return str(path.relative_to(ROOT))


def docstrings(tree):
    """Yield (line, text) of every docstring and attribute docstring."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for statement in node.body:
            value = getattr(statement, "value", None) if isinstance(statement, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield statement.lineno, value.value.strip()


def without_verb(tree):
    """List the functions whose docstring does not begin with a verb; a property is named as a value."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [
        f"line {node.lineno}: {node.name}"
        for node in functions
        if (ast.get_docstring(node) or "").startswith(NO_VERB)
        and not any("property" in ast.unparse(decorator) for decorator in node.decorator_list)
    ]


def riddles(tree):
    """List the names of tests that do not begin with their subject, or do not say what is expected of it."""
    kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return [node.name for node in ast.walk(tree) if isinstance(node, kinds) and RIDDLE.match(node.name)]


def odd_words(text):
    """List the lines with words that the project does not use."""
    return [f"line {i}: {found[0]}" for i, line in enumerate(text.splitlines(), 1) if (found := NO_WORDS.search(line))]


@pytest.mark.parametrize("path", SOURCES, ids=shown)
def test_docstrings_begin_with_what_a_thing_does_or_is(path):
    found = docstrings(ast.parse(path.read_text(encoding="utf-8")))
    assert not [f"line {line}: {text[:60]}" for line, text in found if text.startswith(NO_BEGINNING)]


@pytest.mark.parametrize("path", SOURCES, ids=shown)
def test_docstrings_of_functions_begin_with_a_verb(path):
    assert not without_verb(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", [*SOURCES, *PAGES], ids=shown)
def test_words_of_the_list_are_not_used(path):
    assert not odd_words(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", TESTS, ids=shown)
def test_names_of_tests_state_subject_and_expectation(path):
    assert not riddles(ast.parse(path.read_text(encoding="utf-8")))


def test_a_docstring_without_a_verb_is_found():
    source = '''
def f():
    """The blobs of an epoch."""
@property
def g(self):
    """The arms."""
def h():
    """Return the blobs."""
'''
    assert without_verb(ast.parse(source)) == ["line 2: f"]


def test_an_odd_word_is_found():
    assert odd_words("a line\nbegin anew") == ["line 2: anew"]


def test_a_docstring_that_begins_with_what_is_found():
    assert list(docstrings(ast.parse('"""What it is."""'))) == [(1, "What it is.")]


@pytest.mark.parametrize(
    "name", ["test_what_cannot_be_a_share", "test_nothing_is_lost", "test_refusals", "test_stream"]
)
def test_a_name_that_is_a_riddle_is_found(name):
    assert riddles(ast.parse(f"def {name}(): pass\ndef test_bad_share_is_refused(): pass")) == [name]
