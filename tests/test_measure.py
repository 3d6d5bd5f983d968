"""What benchmarks measure with."""

from __future__ import annotations

import subprocess
import sys

SMALL = "from outreachdb.benchmarks.measure import peak_mb; print(peak_mb())"
LARGE = f"""import subprocess, sys
held = b"x" * (400 << 20)
subprocess.run([sys.executable, "-c", {SMALL!r}], check=True)"""


def test_the_memory_of_a_process_is_its_own_and_not_that_of_the_one_that_started_it():
    told = [
        float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
        for code in (SMALL, LARGE)
    ]
    assert told[0] > 5
    assert abs(told[1] - told[0]) < 50
