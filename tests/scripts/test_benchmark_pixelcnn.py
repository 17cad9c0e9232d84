"""scripts/benchmark.py pixelcnn: it measures both samplers."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.full
def test_a_small_measurement() -> None:
    line = [sys.executable, str(ROOT / "scripts" / "benchmark.py"), "pixelcnn", "--batches", "1", "2"]
    line += ["--filters", "2", "--resnets", "1", "--channels", "1", "--cells", "1", "--threads", "1"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    pattern = r"\nbatch (1|2): cached [\d.]+ s .* MiB/image\), naive \d+ s .*: \d+x \(CPU \d+x\)"
    assert len(re.findall(pattern, done.stdout)) == 2, done.stdout
