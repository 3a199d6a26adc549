"""The last chapter: commands to try next."""

import shutil
import subprocess
import sys
from pathlib import Path

from banditroute.demo.restart import _command


def test_commands_to_try_next_are_programs_that_a_shell_finds(monkeypatch):
    for path in ("", str(Path(sys.executable).parent)):
        monkeypatch.setenv("PATH", path)
        program = _command("python")
        found = shutil.which(program)
        assert found, program
        assert subprocess.run([found, "-c", "print(1)"], capture_output=True, timeout=60).stdout.strip() == b"1"
