"""The kernels for a GPU without one: see `tests.interpreted`."""

import subprocess
import sys

import pytest

pytest.importorskip("triton")


@pytest.mark.slow
def test_the_kernels_for_a_gpu_agree_with_those_for_the_cpu():
    script = [sys.executable, "-m", "tests.interpreted"]
    done = subprocess.run(script, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
