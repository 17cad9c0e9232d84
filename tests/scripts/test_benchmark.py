"""scripts/benchmark.py cta: each part measures something."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINES = {
    "reading": (r"\n  (serial|random)  airshower\S*(, .*)?: \d+ \(\d+/s\)", 8),
    "convolution": (r"\n(convolution|pooling)  .*: CPU [\d.]+ ms .*peak [\d.]+ MiB", 8),
    "training": (r"\ncta_mono_resnet: step [\d.]+ s, [\d.]+ entries/s, .* GiB", 1),
    "simulation": (r"\n(gamma|proton|gamma and proton): [\d.]+ events per CPU second", 3),
}


@pytest.mark.full
@pytest.mark.parametrize("part", LINES)
def test_quick_measurements(part: str) -> None:
    line = [sys.executable, str(ROOT / "scripts" / "benchmark.py"), "cta", "--quick", "--parts", part]
    line += ["--networks", "cta_mono_resnet", "--threads", "1"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, env={**os.environ}, timeout=300)
    assert done.returncode == 0, done.stderr
    pattern, count = LINES[part]
    assert len(re.findall(pattern, done.stdout)) == count, done.stdout
