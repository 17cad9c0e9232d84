"""Commands of batch systems, replaced by small programs that note what they are asked; and an end to all processes."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIMIT = 120  # seconds after which something counts as hanging

NOTE = """#!{python} -SE
import json, os, pathlib, sys
notes, name = pathlib.Path({notes!r}), pathlib.Path(sys.argv[0]).name
variables = {{k: v for k, v in os.environ.items() if k.startswith("AIRSHOWER_")}}
with open(notes / name, "a") as file:
    file.write(json.dumps({{"words": sys.argv[1:], "variables": variables, "session": os.getsid(0)}}) + "\\n")
answer = notes / (name + ".answer")
print(answer.read_text() if answer.exists() else "", end="")
"""
"""A command that notes its words, the variables AIRSHOWER_... and its session, and prints what NAME.answer holds."""

LAUNCHER = (
    NOTE
    + """
import signal, time
end = None
def noted(number, frame):
    global end
    with open(notes / "signals", "a") as file:
        file.write(signal.Signals(number).name + chr(10))
    if not (number == signal.SIGUSR1 and (notes / "stubborn").exists()):
        end = 75 if number == signal.SIGUSR1 else 130
for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
    signal.signal(number, noted)
(notes / "ready").touch()
started = time.monotonic()
while end is None and not (notes / "code").exists() and time.monotonic() < started + 60:
    time.sleep(0.01)
sys.exit(int((notes / "code").read_text()) if end is None else end)
"""
)
"""A launcher that ends with the code in the file `code`, or at a signal: 75 at SIGUSR1, unless `stubborn`, else 130."""

REAL_LAUNCHER = """#!{python} -SE
import os, pathlib, signal, subprocess, sys, time
def forward(number, frame):
    while not pathlib.Path({begun!r}).exists():  # a limit within the first steps is another test's
        time.sleep(0.02)
    running.send_signal(number)
words = sys.argv[1:]
running = subprocess.Popen([{mpirun!r}, *{options!r}, *words[words.index({python!r}):]])
signal.signal(signal.SIGUSR1, forward)
sys.exit(running.wait())
"""
"""A launcher that leaves it to mpirun; it passes SIGUSR1 on, once the run has begun."""


@dataclass(frozen=True)
class Site:
    """A machine with a batch system: a folder of commands that come first on the path, and one of their notes."""

    commands: Path
    notes: Path
    mark: str

    @classmethod
    def at(cls, folder: Path) -> "Site":
        """Without any command yet."""
        site = cls(folder / "commands", folder / "notes", uuid.uuid4().hex)
        for path in (site.commands, site.notes):
            path.mkdir()
        return site

    def add(self, name: str, program: str = NOTE, **more: object) -> Path:
        """A command of this name."""
        path = self.commands / name
        path.write_text(program.format(python=sys.executable, notes=str(self.notes), **more))
        path.chmod(0o755)
        return path

    def noted(self, name: str) -> list[dict]:
        """The calls of a command, in order."""
        path = self.notes / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def signals(self) -> list[str]:
        """What the launcher got."""
        path = self.notes / "signals"
        return path.read_text().split() if path.exists() else []

    def start(self, script: Path, *words: str, cwd: Path, **variables: str) -> subprocess.Popen:
        """A script, started with nothing of the surroundings' own batch system; stdout and stderr in notes/output."""
        own = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "PBS_", "MPIRUN"))}
        environment = {
            **own,
            "PATH": f"{self.commands}:{own['PATH']}",
            "AIRSHOWER_PYTHON": sys.executable,
            "AIRSHOWER_MARK": self.mark,
            "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
            **variables,
        }
        with open(self.notes / "output", "w") as output, _not_ignored(signal.SIGINT, signal.SIGHUP):
            return subprocess.Popen(
                ["bash", str(script), *words], cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def output(self) -> str:
        """What the script that was started last has printed."""
        return (self.notes / "output").read_text()

    def wait_for(self, path: Path, process: subprocess.Popen) -> None:
        """Until there is a file."""
        self.wait_until(path.exists, process)

    def wait_until(self, condition: Callable[[], bool], process: subprocess.Popen) -> None:
        """Until something is so, while a process runs."""
        deadline = time.monotonic() + LIMIT
        while not condition():
            assert process.poll() is None, self.output()
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.02)

    def processes(self) -> list[int]:
        """What was started here and lives."""
        wanted, found = f"AIRSHOWER_MARK={self.mark}".encode(), []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if wanted in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
        return found


@contextlib.contextmanager
def _not_ignored(*numbers: int) -> Iterator[None]:
    """What starts here can catch these signals; bash can't where they are ignored, as in a shell's background."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def site_at(folder: Path) -> Iterator[Site]:
    """A site whose processes have all ended when it closes: that is checked, and those that have not are killed."""
    site = Site.at(folder)
    try:
        yield site
        deadline = time.monotonic() + 10
        while site.processes() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not site.processes(), "processes are left behind"
    finally:
        for number in site.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
