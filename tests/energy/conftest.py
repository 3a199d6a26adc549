"""A machine made of files: a powercap tree as Linux shows it."""

from __future__ import annotations

import pytest

RANGE = 262_143_328_850  # what many processors have, in microjoules


class Powercap:
    """``zone(name)`` adds a zone; ``spend(zone, joules)`` moves its counter."""

    def __init__(self, root):
        self.root = root
        (root / "intel-rapl").mkdir()
        (root / "intel-rapl" / "enabled").write_text("1\n")

    def zone(self, folder, name, microjoules=1_000_000, most=RANGE):
        zone = self.root / folder
        zone.mkdir()
        (zone / "name").write_text(f"{name}\n")
        (zone / "energy_uj").write_text(f"{microjoules}\n")
        (zone / "max_energy_range_uj").write_text(f"{most}\n")
        return zone

    def spend(self, zone, joules):
        most = int((zone / "max_energy_range_uj").read_text())
        now = int((zone / "energy_uj").read_text())
        (zone / "energy_uj").write_text(f"{(now + round(joules * 1e6)) % most}\n")


@pytest.fixture
def powercap(tmp_path):
    """Two sockets with cores and memory below each, a platform zone, and a memory-mapped double of them."""
    root = tmp_path / "powercap"
    root.mkdir()
    made = Powercap(root)
    for socket in (0, 1):
        made.zone(f"intel-rapl:{socket}", f"package-{socket}")
        made.zone(f"intel-rapl:{socket}:0", "core")
        made.zone(f"intel-rapl:{socket}:1", "dram")
    made.zone("intel-rapl:2", "psys")
    made.zone("intel-rapl-mmio:0", "package-0")
    return made
