"""The sdist and the wheel: they are made without a network, and the wheel alone is enough to use the package."""

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import banditroute

ROOT = Path(__file__).resolve().parents[1]
USE = """
from pathlib import Path

import banditroute
from banditroute import Router, SQLStore

assert Path(banditroute.__file__).is_relative_to(SITE), banditroute.__file__
with Router(arms=["small", "large"], store=SQLStore("sqlite:///routes.db"), seed=0) as router:
    decision = router.route("What is the derivative of x**2 * sin(x)?")
    router.feedback(decision.id, quality=1.0, cost_usd=0.0004)
with Router(arms=["small", "large"], store=SQLStore("sqlite:///routes.db")) as router:
    print(router.status().learned)
"""


def run(*arguments, cwd, **environment):
    """Run a command of this Python, and return what it prints."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of the sdist and of the wheel that is made from it."""
    folder = tmp_path_factory.mktemp("dist")
    run("-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


def installed(wheel, folder):
    """Install a wheel without its dependencies; return the folder that it is in."""
    site = folder / "site"
    run("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site, wheel, cwd=folder)
    return site


@pytest.mark.slow
def test_wheel_alone_routes_learns_and_continues(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    assert wheel.name == f"banditroute-{banditroute.__version__}-py3-none-any.whl"
    site = installed(wheel, tmp_path)
    source = f"SITE = {str(site)!r}\n{USE}"
    assert run("-W", "error", "-c", source, cwd=tmp_path, PYTHONPATH=str(site)) == "1\n"
    inspected = run("-m", "banditroute", "inspect", "routes.db", cwd=tmp_path, PYTHONPATH=str(site))
    assert "small" in inspected


@pytest.mark.slow
def test_wheel_shows_types_to_checkers(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    here = Path(sys.executable).parent
    checked = subprocess.run(
        [here / "basedpyright", "--verifytypes", "banditroute", "--ignoreexternal"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{here}:{os.environ['PATH']}", "PYTHONPATH": str(installed(wheel, tmp_path))},
        capture_output=True,
        text=True,
        timeout=300,
    ).stdout
    assert float(re.search(r"Type completeness score: ([\d.]+)%", checked)[1]) >= 99.5, checked


@pytest.mark.slow
def test_sdist_holds_what_a_clone_holds(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    if listed.returncode:
        pytest.skip("not a clone: git lists no files")
    assert sorted(set(listed.stdout.split("\n")) - names - {""}) == []
