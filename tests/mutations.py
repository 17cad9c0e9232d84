"""Damaged copies of a file, and a process of limited memory that reads them."""

import hashlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path

import numpy as np

from airshower.errors import UserError
from tests.memory import peak_memory

LENGTHS = (0, 1, 255, 65_535, 10**8, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 1)


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """A copy with a few bits flipped, bytes or a block overwritten, a block moved, another length, or cut."""
    copy, size = bytearray(data), len(data)
    kind = rng.choice(["flip", "byte", "length", "block", "move", "cut"], p=[0.4, 0.15, 0.2, 0.1, 0.1, 0.05])
    if kind == "flip":
        for bit in rng.integers(0, 8 * size, rng.integers(1, 4)).tolist():
            copy[bit // 8] ^= 1 << bit % 8
    elif kind == "byte":
        for at in rng.integers(0, size, rng.integers(1, 4)).tolist():
            copy[at] = rng.choice([0, 1, 127, 128, 255])
    elif kind == "length":
        at, width = int(rng.integers(0, size // 4 - 2)) * 4, int(rng.choice([4, 8]))
        copy[at : at + width] = (int(rng.choice(np.array(LENGTHS, np.uint64))) % 256**width).to_bytes(width, "little")
    elif kind == "block":
        at, count = int(rng.integers(0, size)), int(rng.integers(1, 512))
        copy[at : at + count] = bytes([rng.choice([0, 255])]) * len(copy[at : at + count])
    elif kind == "move":
        one, other = rng.integers(0, max(1, size - 64), 2).tolist()
        copy[one : one + 64], copy[other : other + 64] = copy[other : other + 64], copy[one : one + 64]
    else:
        del copy[rng.integers(size) :]
    return bytes(copy)


def fuzz(read: Callable[[Path], Iterable], whole: Path, count: int, seed: int, memory: int = 10**9) -> dict[str, list]:
    """What `read`, a function of a module, makes of `count` mutations of the file `whole`, which take its place.

    Numbers of mutations by outcome: `refused` with a `UserError` of one line that names the file, read as the `same`
    values, or as others, `silent`; these are kept beside the file. Any other exception, a crash, or `memory` bytes more
    than the whole file takes is an error.
    """
    where = f"{read.__module__}:{read.__qualname__}"
    line = [sys.executable, "-m", "tests.mutations", where, str(whole), str(count), str(seed), str(memory)]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
    }
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment, timeout=1800)
    if done.returncode:
        raise AssertionError(f"exit code {done.returncode} after {done.stdout[-300:]}\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _values(read: Callable[[Path], Iterable], path: Path) -> str:
    """A hash of all arrays that were read."""
    digest = hashlib.sha256()
    for array in read(path):
        digest.update(f"{array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def main(where: str, whole: Path, count: int, seed: int, memory: int) -> None:
    """Read the mutations one by one; the last line is the outcome as JSON."""
    module, _, name = where.partition(":")
    read, rng, outcome = getattr(import_module(module), name), np.random.default_rng(seed), {}
    expected, data = _values(read, whole), whole.read_bytes()
    before = peak_memory()
    virtual = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (virtual + memory,) * 2)
    for number in range(count):
        print(number, flush=True)
        whole.write_bytes(mutate(data, rng))
        try:
            result = "same" if _values(read, whole) == expected else "silent"
        except UserError as error:
            said, result = str(error), "refused"
            assert said.startswith(f"{whole}: "), said
            assert "\n" not in said, said
        outcome.setdefault(result, []).append(number)
        if result == "silent":
            whole.with_name(f"mutation{number}{whole.suffix}").write_bytes(whole.read_bytes())
    whole.write_bytes(data)
    most = peak_memory()
    assert (most - before) * 1024 < memory, f"{most - before} kB"
    print(json.dumps(outcome))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:]))
