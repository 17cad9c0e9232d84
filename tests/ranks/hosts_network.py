"""Two hosts on one machine: network namespaces joined by a cable, each with its own host name and /etc/hosts."""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.launch import ROOT, environment, mpirun_command

NAMES = ("airshower-a", "airshower-b")
ADDRESSES = ("10.77.7.1", "10.77.7.2")
_ENTER = """#!/bin/sh
exec ip netns exec {namespace} unshare --uts --mount sh -c '
echo {name} > /proc/sys/kernel/hostname
mount --bind {folder}/hosts /etc/hosts
exec "$@"' sh env {variables} "$@"
"""
_REMOTE = """#!/bin/sh
# stands for ssh: what it starts on the other host begins with an empty environment
while [ "${{1#-}}" != "$1" ]; do shift; done
shift
exec env -i PATH="$PATH" PYTHONPATH="$PYTHONPATH" HOME="$HOME" {enter} sh -c "$*"
"""


@dataclass(frozen=True)
class Hosts:
    """`mpirun` runs on the first; each has a folder, and in the environment its own AIRSHOWER_CACHE and MY_DATA."""

    namespaces: tuple[str, str]
    folders: tuple[Path, Path]

    def start(self, *command: str) -> subprocess.Popen:
        """One rank of `python command...` on each host; the process is mpirun's."""
        both, ssh = ",".join(f"{address}:1" for address in ADDRESSES), str(self.folders[0] / "ssh")
        mpirun = [mpirun_command(), "--host", both, "--map-by", "ppr:1:node", "--prtemca", "plm_ssh_agent", ssh]
        return subprocess.Popen(
            [self.folders[0] / "enter", *mpirun, "-x", "OMP_NUM_THREADS", "-n", "2", sys.executable, *command],
            env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip

    def processes(self, host: int) -> list[int]:
        """All that run on a host."""
        return [int(line) for line in _ip("netns", "pids", self.namespaces[host]).split()]

    def remove(self) -> None:
        """End what still runs there and delete the hosts."""
        made = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False).stdout.split()
        for host, namespace in enumerate(self.namespaces):
            if namespace in made:
                for process in self.processes(host):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
                _ip("netns", "del", namespace)


def make_hosts(folder: Path) -> Hosts:
    """Two hosts, with folders inside `folder`; skips the test where they can't be made.

    As on Debian, the name of each means 127.0.1.1 in its /etc/hosts, which is of no use to the other.
    """
    if os.geteuid() or not all(shutil.which(tool) for tool in ("ip", "unshare", "mount")):
        pytest.skip("needs root, ip, unshare and mount, to make two hosts of one")
    namespaces = (f"{NAMES[0]}-{os.getpid()}", f"{NAMES[1]}-{os.getpid()}")
    hosts = Hosts(namespaces, (folder / NAMES[0], folder / NAMES[1]))
    try:
        for namespace, name, own in zip(namespaces, NAMES, hosts.folders, strict=True):
            own.mkdir()
            _ip("netns", "add", namespace)
            (own / "hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {name}\n")
            variables = shlex.join([f"AIRSHOWER_CACHE={own / 'cache'}", f"MY_DATA={own / 'events.h5'}"])
            _script(own / "enter", _ENTER.format(namespace=namespace, name=name, folder=own, variables=variables))
        _script(hosts.folders[0] / "ssh", _REMOTE.format(enter=hosts.folders[1] / "enter"))
        _ip(*f"link add cable netns {namespaces[0]} type veth peer name cable netns {namespaces[1]}".split())
        for namespace, address in zip(namespaces, ADDRESSES, strict=True):
            for command in ("link set lo up", f"addr add {address}/24 dev cable", "link set cable up"):
                _ip("-n", namespace, *command.split())
        subprocess.run([hosts.folders[0] / "enter", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        hosts.remove()
        pytest.skip(f"no network namespaces here: {getattr(error, 'stderr', '') or error}")
    return hosts


def _ip(*command: str) -> str:
    return subprocess.run(["ip", *command], check=True, capture_output=True, text=True).stdout


def _script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)
