"""Identity of this process, and whether another one is running."""

import os
import platform
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self


def boot_id() -> str:
    """Id of this machine's boot, which distinguishes hosts of the same name. Empty if the system has none."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""


def namespace() -> int:
    """Id of the namespace of process ids, which differs between containers. 0 if the system has none."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


@dataclass(frozen=True)
class Process:
    """A process: `host`, `boot` and `namespace` are the machine's or container's, `start` is its start in clock
    ticks since the boot (0 if unknown), as process ids are reused."""

    host: str
    boot: str
    namespace: int
    pid: int
    start: int

    @classmethod
    def current(cls) -> Self:
        """This process."""
        return cls(platform.node(), boot_id(), namespace(), os.getpid(), started(os.getpid()))

    @classmethod
    def from_record(cls, record: Any) -> Self | None:
        """Inverse of `dataclasses.asdict` for a record read from a file; None for anything else."""
        if not isinstance(record, dict):
            return None
        values: list[Any] = [record.get(item.name) for item in fields(cls)]
        fits = all(type(value) is item.type for value, item in zip(values, fields(cls), strict=True))
        return cls(*values) if fits else None

    def is_here(self) -> bool:
        """True for a process of this machine since its last boot, and of this container."""
        return (self.host, self.boot, self.namespace) == (platform.node(), boot_id(), namespace())


def is_running(pid: int, start: int) -> bool:
    """True if the process `pid` with this `start` is running; if `start` is 0, any process `pid`."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return not start or started(pid) in (0, start)


def started(pid: int) -> int:
    """Clock ticks from the machine's start to that of a process; 0 if unknown."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(line.rpartition(")")[2].split()[19])
