"""How the house is built: which room may import which, and what no room may hold."""

import ast
import inspect
import re
from enum import Enum
from importlib import import_module
from pathlib import Path

import pytest

import banditroute

PACKAGE = Path(banditroute.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))

TESTS = Path(__file__).parent
_MOST_PRIVATE_REACHES = 36  # in all tests

PAGE = PACKAGE.parent / "docs" / "concepts" / "architecture.md"
_ROW = re.compile(r"^\| `(?P<room>\w+)` \|.*\| (?P<imports>[^|]+) \|$")


def rooms_of_the_page(text):
    """Read the table of rooms: room -> the rooms that it may import."""
    may_import = {}
    for line in text.splitlines():
        if row := _ROW.match(line):
            named, _, left_out = row["imports"].partition(" but ")
            allowed = set(re.findall(r"`(\w+)`", named)) | {"errors", "core"}
            if "all above" in named:
                allowed |= set(may_import) - set(re.findall(r"`(\w+)`", left_out))
            may_import[row["room"]] = set() if named == "nothing" else allowed - {row["room"]}
    return may_import


MAY_IMPORT = rooms_of_the_page(PAGE.read_text(encoding="utf-8"))

FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "print", "input", "breakpoint"}


def shown(path):
    return str(path.relative_to(PACKAGE))


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def room_of(parts):
    """The room of a module's dotted parts below the package: its folder, or the file at the top."""
    return parts[0] if parts else "__init__"


def own_room(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return room_of(parts)


def imports(tree):
    """(module, name or None, line) of every import, wherever it stands, those for type checkers too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, None, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            for alias in node.names:
                yield node.module, alias.name, node.lineno


def wrong_imports(tree, room):
    """What a file of ``room`` imports and may not."""
    names = set(MAY_IMPORT)
    wrong = []
    for module, name, line in imports(tree):
        first, *rest = module.split(".")
        if first != "banditroute":
            continue
        if not rest and name in names:
            rest = [name]
        target = room_of(rest)
        if target != room and target not in MAY_IMPORT[room]:
            wrong.append(f"line {line}: {room} imports {target}")
    return wrong


def forbidden(tree):
    """What no file of the package may import or call."""
    found = [
        f"line {line}: imports {module}"
        for module, name, line in imports(tree)
        if FORBIDDEN_MODULES & {module.split(".")[0], name}
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Name) and function.id in FORBIDDEN_CALLS:
                found.append(f"line {node.lineno}: calls {function.id}")
            for keyword in node.keywords:
                loads = keyword.arg == "allow_pickle" and not (
                    isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                )
                if loads:
                    found.append(f"line {node.lineno}: allows pickle")
            if isinstance(function, ast.Attribute) and function.attr == "load" and ast.unparse(function) == "np.load":
                told = {keyword.arg for keyword in node.keywords}
                if "allow_pickle" not in told:
                    found.append(f"line {node.lineno}: np.load without allow_pickle=False")
    return found


def private_reaches(tree):
    """The lines that use an attribute with one leading underscore of anything but ``self`` and ``cls``."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and re.match("_(?!_)", node.attr)
        and not (isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"})
    ]


def docstring_lines(tree):
    """Number of lines of the docstrings of a file; a facade has few lines besides."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    expressions = [node.body[0] for node in ast.walk(tree) if isinstance(node, documented) and ast.get_docstring(node)]
    return sum(each.end_lineno - each.lineno + 1 for each in expressions)


each_file = pytest.mark.parametrize("path", FILES, ids=shown)
each_room = pytest.mark.parametrize("room", ["", *ROOMS])


def room_module(room):
    return import_module(f"banditroute.{room}" if room else "banditroute")


def public(room):
    """The public names of a room, and what they name."""
    module = room_module(room)
    return {name: getattr(module, name) for name in getattr(module, "__all__", [])}


class TestFiles:
    def test_every_room_has_its_rule(self):
        tops = {path.stem for path in PACKAGE.glob("*.py")} | set(ROOMS)
        assert tops == set(MAY_IMPORT)

    @each_file
    def test_imports_run_one_way(self, path):
        assert not wrong_imports(parse(path), own_room(path))

    def test_rooms_stand_below_the_rooms_they_import(self):
        rooms = list(MAY_IMPORT)
        above = {room: set(rooms[:i]) for i, room in enumerate(rooms)}
        upward = {room: MAY_IMPORT[room] - above[room] - {"__init__"} for room in rooms}
        assert not {room: names for room, names in upward.items() if names and room != "errors"}

    def test_only_named_modules_lie_at_the_top(self):
        assert {path.stem for path in PACKAGE.glob("*.py")} == {"__init__", "__main__", "errors"}

    @each_file
    def test_under_600_lines_besides_docstrings(self, path):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines - docstring_lines(parse(path)) < 600

    @each_file
    def test_modules_run_no_data_and_write_no_output(self, path):
        assert not forbidden(parse(path))

    @each_file
    def test_has_a_docstring(self, path):
        assert ast.get_docstring(parse(path))


class TestTests:
    def test_private_attributes_are_used_in_few_places(self):
        """A public seam lets a part change inside. Lower the number with every use that goes; never raise it."""
        found = {str(path.relative_to(TESTS)): private_reaches(parse(path)) for path in sorted(TESTS.rglob("*.py"))}
        used = {path: lines for path, lines in found.items() if lines}
        assert sum(map(len, used.values())) <= _MOST_PRIVATE_REACHES, used


class TestTheRulesThemselves:
    """They find what they are for."""

    def test_private_reaches_are_counted(self):
        source = "router._parts._engine\nself._x\ncls._y\nrouter.parts\nrouter.__class__\nself.router._z"
        assert sorted(private_reaches(ast.parse(source))) == [1, 1, 6]

    @pytest.mark.parametrize(
        ("room", "source"),
        [
            ("policies", "from banditroute.beliefs import Linear"),
            ("policies", "import banditroute.beliefs.linear"),
            ("policies", "from banditroute import beliefs"),
            ("policies", "from banditroute import LinUCB"),
            ("store", "def f():\n    from banditroute.router import Router"),
            ("features", "if TYPE_CHECKING:\n    from banditroute.store.base import StoredState"),
            ("router", "from banditroute.simulate.replay import replay"),
            ("simulate", "from banditroute.cli import main"),
            ("core", "from banditroute.features.base import Featurizer"),
        ],
    )
    def test_wrong_direction_is_found(self, room, source):
        assert len(wrong_imports(ast.parse(source), room)) == 1

    @pytest.mark.parametrize(
        ("room", "source"),
        [
            ("policies", "from banditroute.policies.base import Policy"),
            ("policies", "import numpy as np\nfrom banditroute.core.arrays import Vector"),
            ("learners", "from banditroute.beliefs import Linear"),
            ("testing", "from banditroute.router import Router"),
        ],
    )
    def test_right_direction_is_not(self, room, source):
        assert not wrong_imports(ast.parse(source), room)

    @pytest.mark.parametrize(
        "source",
        [
            "import pickle",
            "from pickle import loads",
            "def f():\n    import joblib",
            "from yaml import load",
            "eval('1')",
            "exec(text)",
            "print('x')",
            "np.load(path, allow_pickle=True)",
            "np.load(path)",
        ],
    )
    def test_forbidden_is_found(self, source):
        assert len(forbidden(ast.parse(source))) == 1

    @pytest.mark.parametrize("source", ["connection.exec(1)", "np.load(path, allow_pickle=False)", "model.eval()"])
    def test_allowed_is_not(self, source):
        assert not forbidden(ast.parse(source))


class TestPublicNames:
    @each_room
    def test_dunder_all_is_sorted(self, room):
        # As ruff sorts: constants, classes, functions.
        names = list(getattr(room_module(room), "__all__", []))
        assert names == sorted(names, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
        assert len(names) == len(set(names))

    @each_room
    def test_dunder_all_is_complete(self, room):
        """What a room's ``__init__`` takes from its files is what it offers, and nothing else."""
        tree = parse(Path(room_module(room).__file__))
        taken = {
            name for module, name, _ in imports(tree) if module.startswith("banditroute") and not name.startswith("_")
        }
        assert taken == set(public(room))

    @each_room
    def test_everything_public_has_a_docstring(self, room):
        for name, thing in public(room).items():
            if not (inspect.isclass(thing) or inspect.isroutine(thing)):
                continue
            assert inspect.getdoc(thing), name
            for member, value in vars(thing).items() if inspect.isclass(thing) else ():
                function = value.fget if isinstance(value, property) else value
                if inspect.isroutine(function) and not member.startswith(("_", "test_")):
                    assert inspect.getdoc(function), f"{name}.{member}"

    @each_room
    def test_constructors_take_keywords_only(self, room):
        for name, thing in public(room).items():
            if not inspect.isclass(thing) or issubclass(thing, (BaseException, tuple, dict, Enum)):
                continue  # errors take their message; the others are values of Python
            if getattr(thing, "_is_protocol", False) or name in POSITIONAL:
                continue
            kinds = {parameter.kind for parameter in inspect.signature(thing).parameters.values()}
            assert kinds <= {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD}, name

    def test_exceptions_are_still_needed(self):
        for name, parameters in POSITIONAL.items():
            found = [thing for room in ["", *ROOMS] for n, thing in public(room).items() if n == name]
            assert found, name
            positional = [
                p.name
                for p in inspect.signature(found[0]).parameters.values()
                if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
            ]
            assert positional == parameters


# Classes whose constructor takes something by position, and what.
POSITIONAL = {
    "AsyncRoutedClient": ["router", "clients"],
    "RoutedClient": ["router", "clients"],  # a router, and the clients behind it
    "SQLStore": ["url"],  # as SQLAlchemy's create_engine(url): it has one subject
}

# Private names that tests read: where they look at a bound on memory, or hold a lock at the worst moment.
PRIVATE_READS = 45
OF_OTHERS = {"_bit_generator", "_exit", "_io", "_obj", "_replace", "_repr_html_", "_reset_all_callbacks"}


def test_tests_use_public_names():
    """A test of a private name breaks with the next change within. This number may only fall."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (PACKAGE.parent / "tests").rglob("*.py")]
    reads = [
        node
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and node.attr not in OF_OTHERS
        and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
    ]
    assert len(reads) <= PRIVATE_READS
