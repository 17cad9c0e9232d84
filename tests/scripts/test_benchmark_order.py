"""scripts/benchmark.py order: speed and mixing of each order, and a disk that counts."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
USES_A_DISK = """
import sys
from pathlib import Path
from benchmarks.disk import Counts, mounted

folder = Path(sys.argv[1])
content = bytes(range(256)) * 4096
for name in "ab":
    (folder / name).write_bytes(content)
with mounted([folder / "a", folder / "b"], folder, 1e-3, 1e9) as (disk, counts):
    assert not (disk / "c").exists()
    assert (disk / "a").read_bytes() == content
    once = Counts.of(counts)
    assert once.jumps == 1 and once.bytes == len(content), once
    assert (disk / "a").read_bytes() == content
    assert Counts.of(counts) == once, "from the page cache"
    with open(disk / "b", "rb") as file:
        for place in (900_000, 100_000):
            file.seek(place)
            assert file.read(10) == content[place : place + 10]
    assert Counts.of(counts).since(once).jumps == 2
"""


@pytest.mark.full
def test_each_order_is_measured() -> None:
    line = [sys.executable, str(SCRIPTS / "benchmark.py"), "order", "--detectors", "hawc", "--events", "40", "--disks"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    orders = r"(shuffled|serial|random_blocks:\d+:\d+)"
    assert len(re.findall(rf"\n  {orders}: variance of means [\d.]+, pairs of one file [\d.]+, ", done.stdout)) == 4
    assert len(re.findall(rf"\n  in memory  {orders}: \d+ events per CPU second \([\d.]+x\)", done.stdout)) == 4


@pytest.mark.full
def test_a_disk_gives_its_files_and_counts_jumps(tmp_path: Path) -> None:
    if os.geteuid() or not Path("/dev/fuse").exists():
        pytest.skip("mounting needs root and /dev/fuse")
    line = [sys.executable, "-c", USES_A_DISK, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60, env=environment)
    if "can't be modelled here" in done.stderr:
        pytest.skip("mounting is not allowed here")
    assert done.returncode == 0, done.stderr
    assert not os.path.ismount(tmp_path / "disk")
