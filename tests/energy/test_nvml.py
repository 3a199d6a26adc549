"""The GPU's counter: the real binding on a C library made of Python, and this machine's where it has one."""

import sys
import time

import pynvml
import pytest

from banditroute.energy import NVML
from banditroute.errors import EnergyCounterError, MissingDependencyError
from tests.energy.fake_nvml import GPU, Library, install


def test_nvml_adds_up_all_gpus(monkeypatch):
    library = install(monkeypatch, Library(GPU(watts=100.0), GPU(watts=250.0)))
    nvml = NVML()
    assert nvml.devices == ("nvml:0", "nvml:1")
    before = nvml.read()
    for gpu in library.gpus:
        gpu.now += 2.0
    assert before == [5_000_000, 5_000_000]
    assert nvml.joules(before, nvml.read(), 2.0) == 700.0


def test_nvml_reads_only_the_given_gpus(monkeypatch):
    library = install(monkeypatch, Library(GPU(), GPU(watts=250.0)))
    nvml = NVML(gpus=[1])
    before = nvml.read()
    for gpu in library.gpus:
        gpu.now += 2.0
    assert nvml.devices == ("nvml:1",)
    assert nvml.joules(before, nvml.read(), 2.0) == 500.0


@pytest.mark.parametrize(
    ("library", "message"),
    [
        (Library(code=pynvml.NVML_ERROR_DRIVER_NOT_LOADED), r"cannot start \(Driver Not Loaded\); it takes an NVIDIA"),
        (Library(), "there is no GPU; give joules_per_token"),
        (Library(GPU(code=pynvml.NVML_ERROR_NOT_SUPPORTED)), r"cannot read the energy of nvml:0 \(Not Supported\)"),
        (Library(GPU(), GPU(code=pynvml.NVML_ERROR_NO_PERMISSION)), r"nvml:1 \(Insufficient Permissions\)"),
    ],
)
def test_unreadable_gpu_is_refused_with_the_remedy(monkeypatch, library, message):
    install(monkeypatch, library)
    with pytest.raises(EnergyCounterError, match=message):
        NVML()


def test_a_gpu_that_is_not_there(monkeypatch):
    install(monkeypatch, Library(GPU()))
    with pytest.raises(EnergyCounterError, match=r"cannot find GPU 3 \(Invalid Argument\)"):
        NVML(gpus=[3])


def test_a_gpu_that_is_lost_meanwhile(monkeypatch):
    library = install(monkeypatch, Library(GPU()))
    nvml = NVML()
    library.gpus[0].code = pynvml.NVML_ERROR_GPU_IS_LOST
    with pytest.raises(EnergyCounterError, match="GPU is lost"):
        nvml.read()


def test_a_driver_that_is_loaded_again(monkeypatch):
    library = install(monkeypatch, Library(GPU()))
    nvml = NVML()
    before = nvml.read()
    library.gpus[0].loaded = 0
    with pytest.raises(EnergyCounterError, match="a counter went back"):
        nvml.joules(before, nvml.read(), 1.0)


def test_short_work_is_right_on_average_with_its_zeros(monkeypatch):
    """Work of 10 ms on a counter that moves every 100 ms: nine in ten readings are 0, and the mean is 1 J."""
    library = install(monkeypatch, Library(GPU(watts=100.0, period=0.1)))
    nvml, readings = NVML(), []
    for _ in range(1000):
        before = nvml.read()
        library.gpus[0].now += 0.01
        readings.append(nvml.joules(before, nvml.read(), 0.01))
        library.gpus[0].now += 0.0137  # until the next request
    assert sum(joules == 0.0 for joules in readings) / 1000 == pytest.approx(0.9, abs=0.01)
    assert sum(readings) / 1000 == pytest.approx(1.0, rel=0.05)


def test_missing_package_is_named_with_the_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(MissingDependencyError, match=r"banditroute\[energy\]"):
        NVML()


def test_gpu_of_this_machine_is_read():
    try:
        nvml = NVML()
    except EnergyCounterError as error:
        pytest.skip(str(error))
    before = nvml.read()
    time.sleep(0.3)
    assert 0.0 < nvml.joules(before, nvml.read(), 0.3) < 0.3 * 2000.0 * len(nvml.devices)
