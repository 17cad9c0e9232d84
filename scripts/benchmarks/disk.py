"""A disk with a head: files behind a FUSE mount, whose reads take as long as a modelled disk needs, and are counted.

A read waits for its bytes at `rate` bytes/s. If it does not go on where the one before it ended, the head jumps, which
takes `seek` seconds, or passes over what lies between, where that is faster. The kernel reads ahead and caches pages in
front of it, as it does for a disk. FUSE's protocol is spoken here, as far as files that are only read need it
(linux/fuse.h); mounting needs root.
"""

import contextlib
import ctypes
import errno
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from benchmarks.common import command

IN, OUT = struct.Struct("<IIQQIIIHH"), struct.Struct("<IiQ")
ATTRIBUTES = struct.Struct("<6Q10I")
ENTRY, ATTRIBUTE_REPLY, OPENED = struct.Struct("<QQQQII"), struct.Struct("<QII"), struct.Struct("<QIi")
READ = struct.Struct("<QQIIQII")
WELCOME = struct.Struct("<IIIIHHIIHHI28x")
VERSION = 7, 31
ROOT_NODE, FOLDER, FILE = 1, 0o40555, 0o100444
KEEP_CACHE, READ_AHEAD, MOST_WRITTEN, VALID = 2, 1 << 17, 1 << 17, 3600
READ_ONLY, DETACH = 1, 2  # flags of mount and umount2
COUNTS = struct.Struct("<QQQ")


class Operation(IntEnum):
    """What the kernel asks for."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    OPEN = 14
    READ = 15
    RELEASE = 18
    FLUSH = 25
    INIT = 26
    INTERRUPT = 36
    BATCH_FORGET = 42


UNANSWERED = (Operation.FORGET, Operation.INTERRUPT, Operation.BATCH_FORGET)


@dataclass(frozen=True)
class Counts:
    """Reads of the disk, how many of them were jumps, and bytes."""

    reads: int
    jumps: int
    bytes: int

    @classmethod
    def of(cls, path: Path) -> "Counts":
        """As the server of a disk keeps them in this file."""
        return cls(*COUNTS.unpack(path.read_bytes()))

    def since(self, before: "Counts") -> "Counts":
        """What came after `before`."""
        return Counts(self.reads - before.reads, self.jumps - before.jumps, self.bytes - before.bytes)


@contextlib.contextmanager
def mounted(files: list[Path], folder: Path, seek: float, rate: float) -> Iterator[tuple[Path, Path]]:
    """A disk with these files, mounted inside `folder` for as long as the context lasts, in which all files that are
    opened must be closed: its path, and that of its counts."""
    path = folder / "disk"
    path.mkdir()
    counts = folder / "counts"
    counts.write_bytes(COUNTS.pack(0, 0, 0))
    what = {"files": list(map(str, files)), "path": str(path), "counts": str(counts), "seek": seek, "rate": rate}
    with subprocess.Popen([sys.executable, *command(serve, what)]) as server:
        try:
            while not os.path.ismount(path):
                if server.poll() is not None:
                    raise SystemExit(f"{path}: a disk can't be modelled here, that needs root and /dev/fuse")
                time.sleep(0.01)
            yield path, counts
        finally:
            ctypes.CDLL(None).umount2(bytes(path), DETACH)
            server.wait()


def serve(files: list[str], path: str, counts: str, seek: float, rate: float) -> None:
    """Mount the disk and answer until it is unmounted."""
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode={FOLDER:o},user_id=0,group_id=0".encode()
    if ctypes.CDLL(None).mount(b"disk", path.encode(), b"fuse.disk", READ_ONLY, options):
        raise SystemExit(1)
    server = _Server(list(map(Path, files)), Path(counts), seek, rate)
    while True:
        try:
            request = os.read(device, MOST_WRITTEN + 4096)
        except OSError as error:
            if error.errno == errno.ENODEV:  # unmounted
                return
            raise
        _, operation, unique, node, *_ = IN.unpack_from(request)
        if operation not in UNANSWERED:
            status, answer = server.answer(operation, node, request[IN.size :])
            os.write(device, OUT.pack(OUT.size + len(answer), -status, unique) + answer)


class _Server:
    """Nodes of the mount: 1 is the folder, the others are files in their order."""

    def __init__(self, files: list[Path], counts: Path, seek: float, rate: float):
        self.names = {path.name.encode(): ROOT_NODE + number for number, path in enumerate(files, 1)}
        self.opened = [os.open(path, os.O_RDONLY) for path in files]
        self.counts = os.open(counts, os.O_WRONLY)
        self.seek = seek
        self.rate = rate
        self.head = (0, 0)
        self.sums = [0, 0, 0]

    def answer(self, operation: int, node: int, body: bytes) -> tuple[int, bytes]:
        """An error number, and what is answered if it is 0."""
        match operation:
            case Operation.INIT:
                answer = WELCOME.pack(*VERSION, READ_AHEAD, 0, 12, 9, MOST_WRITTEN, 1, 0, 0, 0)
            case Operation.LOOKUP:
                child = self.names.get(body.rstrip(b"\0"))
                if child is None:
                    return errno.ENOENT, b""
                answer = ENTRY.pack(child, 0, VALID, VALID, 0, 0) + self._attributes(child)
            case Operation.GETATTR:
                answer = ATTRIBUTE_REPLY.pack(VALID, 0, 0) + self._attributes(node)
            case Operation.OPEN:
                answer = OPENED.pack(0, KEEP_CACHE, 0)
            case Operation.READ:
                _, offset, size, *_ = READ.unpack_from(body)
                answer = self._read(node, offset, size)
            case Operation.RELEASE | Operation.FLUSH:
                answer = b""
            case _:
                return errno.ENOSYS, b""
        return 0, answer

    def _read(self, node: int, offset: int, size: int) -> bytes:
        begin = time.perf_counter()
        data = os.pread(self._file(node), size, offset)
        passed = (offset - self.head[1]) / self.rate if self.head[0] == node else -1.0
        jumps = not 0.0 <= passed < self.seek
        self.head = (node, offset + len(data))
        self.sums = [self.sums[0] + 1, self.sums[1] + jumps, self.sums[2] + len(data)]
        os.pwrite(self.counts, COUNTS.pack(*self.sums), 0)
        needed = (self.seek if jumps else passed) + len(data) / self.rate
        time.sleep(max(0.0, needed - (time.perf_counter() - begin)))
        return data

    def _attributes(self, node: int) -> bytes:
        folder = node == ROOT_NODE
        size = 0 if folder else os.fstat(self._file(node)).st_size
        times = (0,) * 6
        owner_and_device = (0,) * 3
        mode = FOLDER if folder else FILE
        return ATTRIBUTES.pack(node, size, -(-size // 512), *times, mode, 1, *owner_and_device, 4096, 0)

    def _file(self, node: int) -> int:
        return self.opened[node - ROOT_NODE - 1]
