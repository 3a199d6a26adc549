"""The processor's counters, on a tree of files, and on this machine's where it has one."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute.energy import RAPL
from banditroute.errors import EnergyCounterError


@pytest.fixture
def rapl(powercap):
    return RAPL(powercap=powercap.root)


def test_packages_and_memory_are_counted_and_nothing_twice(powercap, rapl):
    assert rapl.devices == (
        "rapl:intel-rapl:0",
        "rapl:intel-rapl:0:1",
        "rapl:intel-rapl:1",
        "rapl:intel-rapl:1:1",
    )
    before = rapl.read()
    zones = sorted(powercap.root.glob("intel-rapl*:*"))
    for power, zone in enumerate(zones):
        powercap.spend(zone, 2**power)
    counted = [2**power for power, zone in enumerate(zones) if f"rapl:{zone.name}" in rapl.devices]
    assert rapl.joules(before, rapl.read(), 1.0) == sum(counted)


def test_a_counter_that_goes_round(powercap):
    powercap.zone("intel-rapl:3", "package-2", microjoules=65_532_600_000, most=65_532_610_987)
    rapl = RAPL(powercap=powercap.root)
    before = rapl.read()
    powercap.spend(powercap.root / "intel-rapl:3", 25.0)
    after = rapl.read()
    assert after[-1] < before[-1]
    assert rapl.joules(before, after, 1.0) == pytest.approx(25.0)


@given(start=st.integers(0, 999_999_999), spent=st.integers(0, 999_999_999))
def test_wherever_it_goes_round(start, spent):
    rapl = object.__new__(RAPL)
    rapl._ranges = [1_000_000_000]
    assert rapl.joules([start], [(start + spent) % 1_000_000_000], 1.0) == spent / 1e6


def test_a_window_too_long_to_be_certain_is_refused(rapl):
    before = rapl.read()
    assert rapl.joules(before, before, 524.0) == 0.0
    with pytest.raises(
        EnergyCounterError, match="600 s are too long, because a counter may go round every 524 s; measure"
    ):
        rapl.joules(before, before, 600.0)


def test_counter_that_only_root_may_read_is_refused_with_the_remedy(powercap, monkeypatch):
    real = Path.read_text

    def as_any_user(path, *arguments, **settings):
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments, **settings)

    monkeypatch.setattr(Path, "read_text", as_any_user)
    with pytest.raises(EnergyCounterError, match=r"intel-rapl:0/energy_uj may be read by root only.*sudo chmod a\+r"):
        RAPL(powercap=powercap.root)


def test_a_machine_without(tmp_path):
    for root in (tmp_path, tmp_path / "missing"):
        with pytest.raises(EnergyCounterError, match="shows no processor; it takes Linux on an Intel or AMD processor"):
            RAPL(powercap=root)


def test_a_counter_that_goes_away(powercap, rapl):
    (powercap.root / "intel-rapl:1" / "energy_uj").unlink()
    with pytest.raises(EnergyCounterError, match="intel-rapl:1/energy_uj cannot be read"):
        rapl.read()


def test_processor_of_this_machine_is_read():
    try:
        rapl = RAPL()
    except EnergyCounterError as error:
        pytest.skip(str(error))
    before, began = rapl.read(), time.perf_counter()
    while time.perf_counter() < began + 0.2:
        pass
    assert 0.0 < rapl.joules(before, rapl.read(), 0.2) < 0.2 * 500.0 * len(rapl.devices)
