"""Which process this is, and whether another one still runs."""

import os
import platform
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self


def boot_id() -> str:
    """Of this machine since it was started; tells hosts of one name apart. Empty where the system has none."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""


def namespace() -> int:
    """Of process numbers: those of another container mean nothing here. 0 where the system has none."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


@dataclass(frozen=True)
class Process:
    """A process: `host`, `boot` and `namespace` are the machine's or container's, `start` is when it began in clock
    ticks since the boot (0 where the system does not tell), as numbers of processes are used again."""

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
        """What `dataclasses.asdict` gave, read from a file; None for anything else."""
        if not isinstance(record, dict):
            return None
        values: list[Any] = [record.get(item.name) for item in fields(cls)]
        fits = all(type(value) is item.type for value, item in zip(values, fields(cls), strict=True))
        return cls(*values) if fits else None

    def is_here(self) -> bool:
        """True if it is of this machine, since its last start, and of this container."""
        return (self.host, self.boot, self.namespace) == (platform.node(), boot_id(), namespace())


def is_running(pid: int, start: int) -> bool:
    """True if this machine has the process `pid` that began at `start`; any `pid` where `start` is 0."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return not start or started(pid) in (0, start)


def started(pid: int) -> int:
    """Clock ticks from the machine's start to that of a process; 0 where the system does not tell."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(line.rpartition(")")[2].split()[19])
