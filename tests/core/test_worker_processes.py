"""Processes that compute side by side."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import banditroute

PROGRAM = """
import os
from banditroute.core.worker_processes import BLAS_THREADS, worker_processes

def threads():
    return [os.environ[name] for name in BLAS_THREADS]

def begin(text):
    os.environ["BEGUN"] = text

if __name__ == "__main__":
    os.environ.pop("OMP_NUM_THREADS", None)
    os.environ["MKL_NUM_THREADS"] = "7"
    with worker_processes(preload="banditroute.core.worker_processes", most=1, begin=begin, given=("yes",)) as submit:
        assert submit(threads).result() == ["1", "1", "1"]
        assert submit(os.getenv, "BEGUN").result() == "yes"
        assert submit(os.getpid).result() not in (os.getpid(), os.getppid())
    assert "OMP_NUM_THREADS" not in os.environ and os.environ["MKL_NUM_THREADS"] == "7"
"""


def test_processes_have_one_blas_thread_and_the_caller_what_it_had(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(Path(banditroute.__file__).parents[1])}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
