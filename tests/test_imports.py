"""A missing extra fails with the line that installs it; a broken one shows what is broken; the package stays light."""

import subprocess
import sys

import pytest

from banditroute.core.optional_imports import optional
from banditroute.errors import MissingDependencyError


@pytest.fixture
def packages(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))

    def add(name, source):
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")

    return add


def test_installed_extra_is_imported():
    assert optional("json.decoder", extra="none") is sys.modules["json.decoder"]


@pytest.mark.parametrize("module", ["no_such_package_of_ours", "no_such_package_of_ours.part"])
def test_missing_extra_is_named_with_its_pip_line(module):
    with pytest.raises(MissingDependencyError) as caught:
        optional(module, extra="plot")
    assert str(caught.value) == f"{module} is not installed; run: pip install 'banditroute[plot]'"
    assert caught.value.name == "no_such_package_of_ours"
    assert isinstance(caught.value, ImportError)


def test_a_package_that_misses_another_is_not_taken_for_missing(packages):
    packages("half_installed_of_ours", "import no_such_package_of_ours")
    with pytest.raises(ModuleNotFoundError) as caught:
        optional("half_installed_of_ours", extra="plot")
    assert not isinstance(caught.value, MissingDependencyError)
    assert caught.value.name == "no_such_package_of_ours"


def test_a_package_that_is_broken_says_so_itself(packages):
    packages("broken_of_ours", "raise RuntimeError('broken inside')")
    with pytest.raises(RuntimeError, match="broken inside"):
        optional("broken_of_ours", extra="plot")


def test_the_router_imports_nothing_heavy():
    code = "import sys, banditroute.router; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "banditroute" in loaded
    heavy = {
        "torch",
        "sentence_transformers",
        "transformers",
        "tokenizers",
        "sqlalchemy",
        "alembic",
        "matplotlib",
        "pyarrow",
    }
    assert heavy.isdisjoint(loaded)


def test_extras_are_imported_on_use():
    code = "import sys, banditroute.energy, banditroute.objectives, banditroute.graders; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"banditroute.energy", "banditroute.graders"} < set(loaded)
    assert {"pynvml", "genai_prices", "jsonschema", "referencing", "scipy.optimize"}.isdisjoint(loaded)
