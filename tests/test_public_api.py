"""The public names: that they are there, cost little to import, and have the types that a user needs."""

import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import banditroute

ROOT = Path(__file__).resolve().parents[1]
HEAVY = [
    "alembic",
    "jinja2",
    "matplotlib",
    "opentelemetry",
    "prometheus_client",
    "pyarrow",
    "pydantic",
    "river",
    "scipy.linalg",
    "scipy.stats",
    "sentence_transformers",
    "sqlalchemy",
    "starlette",
    "tokenizers",
    "torch",
]
TYPED_ROOMS = [
    "", "admin", "beliefs", "budgets", "config", "energy", "features", "graders", "guard", "integrations", "learners",
    "limits", "logs", "objectives", "policies", "pricing", "router", "sessions",
]  # fmt: skip
CLASSES = [
    name
    for name in banditroute.__all__
    if inspect.isclass(thing := getattr(banditroute, name))
    and not issubclass(thing, BaseException)
    and not getattr(thing, "_is_protocol", False)
]


def fresh(source):
    """What a fresh interpreter prints, as JSON."""
    run = [sys.executable, "-W", "error", "-c", source]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_all_is_sorted_and_each_name_is_there():
    assert banditroute.__all__ == sorted(banditroute.__all__)
    assert len(set(banditroute.__all__)) == len(banditroute.__all__)
    for name in banditroute.__all__:
        assert getattr(banditroute, name) is not None


def test_star_gives_exactly_the_public_names():
    names = {}
    exec("from banditroute import *", names)
    assert names.keys() - {"__builtins__"} == set(banditroute.__all__)


def test_every_error_is_public():
    from banditroute import errors

    defined = {name for name, thing in vars(errors).items() if inspect.isclass(thing)}
    assert defined <= set(banditroute.__all__)
    assert all(issubclass(getattr(errors, name), banditroute.BanditRouteError) for name in defined)


def test_import_loads_nothing_heavy():
    loaded = fresh("import banditroute, json, sys; print(json.dumps(sorted(sys.modules)))")
    assert "banditroute.router" in loaded
    assert not set(HEAVY) & set(loaded)


def test_heavy_modules_would_be_seen():
    assert "scipy.linalg" in fresh("import scipy.linalg, json, sys; print(json.dumps(sorted(sys.modules)))")


def test_import_opens_no_socket_and_writes_no_file():
    source = (
        "import json, sys\n"
        "seen = []\n"
        "sys.dont_write_bytecode = True\n"
        "def hook(event, arguments):\n"
        "    writes = event == 'open' and isinstance(arguments[1], str) and set(arguments[1]) & set('wax+')\n"
        "    if event.startswith(('socket.', 'subprocess.', 'os.mkdir', 'sqlite3.')) or writes:\n"
        "        seen.append(f'{event} {arguments[:2]}')\n"
        "sys.addaudithook(hook)\n"
        "%s\n"
        "print(json.dumps(seen))"
    )
    assert fresh(source % "import banditroute") == []
    assert fresh(source % "import socket; socket.socket().close()") != []


@pytest.mark.parametrize("name", CLASSES)
def test_every_public_class_has_a_doctest(name):
    text = inspect.getdoc(getattr(banditroute, name))
    _, heading, examples = text.partition("Examples\n--------\n")
    assert heading
    assert ">>> " in examples


@pytest.mark.parametrize("room", TYPED_ROOMS)
def test_typing_file_uses_every_name_that_users_write(room):
    module = importlib.import_module(f"banditroute.{room}") if room else banditroute
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "typing").glob("*.py"))
    used = set(re.findall(r"\w+", text))
    assert not set(module.__all__) - used, "add a line to tests/typing"
