"""Rendezvous of ranks: a store on the master, without a configured port or address."""

import contextlib
import os
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from torch.distributed import Store, TCPStore

from airshower.errors import UserError
from airshower.runtime.failure import RanksError
from airshower.runtime.ranks import Ranks

_SIOCGIFADDR = 0x8915  # Linux: ioctl that gives an interface's IPv4 address


class CheckedStore(Store):
    """A store whose values are never empty, as gloo's are not: it crashes where one is, which a stranger at the store
    can bring about. Raises `RanksError` instead."""

    def __init__(self, store: Store):
        super().__init__()
        self.store = store

    def get(self, key: str) -> bytes:
        """The value, once there is one."""
        value = self.store.get(key)
        if not value:
            raise RanksError(f"the value of {key} in the store of ranks was deleted: is another program writing to it?")
        return value

    def set(self, key: str, value: Any) -> None:
        """Give the key a value."""
        self.store.set(key, value)

    def wait(self, keys: list[str], timeout: timedelta | None = None) -> None:
        """Return when all keys have values."""
        self.store.wait(keys, timeout) if timeout else self.store.wait(keys)

    def add(self, key: str, value: int) -> int:
        """Add to a counter and return it."""
        return self.store.add(key, value)

    def check(self, keys: list[str]) -> bool:
        """Whether all keys have values."""
        return self.store.check(keys)

    def delete_key(self, key: str) -> bool:
        """Whether there was such a key."""
        return self.store.delete_key(key)


def open_store(ranks: Ranks, timeout: float) -> TCPStore:
    """The key-value store of all ranks, served by the master. Collective.

    The master listens before it sends the address, and passes the listening socket to the store, so that no other
    process can take the port in between. If all ranks are on one host it listens on the loopback only, else on the
    first of its addresses that all ranks reach: every process that reaches the store can write to it. gloo and NCCL are
    set to use the same interface, as a host's name may resolve to an address that others can't reach.
    """
    listeners = _listen(["127.0.0.1"] if ranks.local_size == ranks.size else list(interfaces())) if ranks.master else {}
    offer = ranks.broadcast([listener.getsockname()[:2] for listener in listeners.values()])
    reached = {address: address for address in listeners} if ranks.master else _reached(offer)
    everyone = ranks.exchange(reached)
    # the first of those that most ranks reach
    address, port = max(offer, key=lambda item: sum(item[0] in each for each in everyone))
    lost = [str(rank) for rank, each in enumerate(everyone) if address not in each]
    if lost:
        addresses = ", ".join(f"{address}:{port}" for address, port in offer)
        raise UserError(
            f"rank 0 can't be reached from rank {', '.join(lost)} at {address} (it listened on {addresses}); "
            "is a firewall between?"
        )
    _prefer_interface(reached[address])
    options: dict[str, Any] = {"master_listen_fd": listeners.pop(address).detach()} if ranks.master else {}
    for listener in listeners.values():
        listener.close()
    return TCPStore(
        address, port, ranks.size, ranks.master, timedelta(seconds=timeout), wait_for_workers=False, **options
    )


def interfaces() -> dict[str, str]:
    """IPv4 addresses of this host and the interfaces that have them, loopback last."""
    addresses = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                import fcntl

                answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            except (ImportError, OSError):  # no address, or not Linux
                continue
            addresses[socket.inet_ntoa(answer[20:24])] = name
    if not addresses:
        addresses = {socket.gethostbyname(socket.gethostname()): ""}
    return dict(sorted(addresses.items(), key=lambda item: item[0].startswith("127.")))


def _listen(addresses: list[str]) -> dict[str, socket.socket]:
    """A listening socket at a free port of each address that allows one."""
    listeners = {}
    for address in addresses:
        with contextlib.suppress(OSError):
            listeners[address] = socket.create_server((address, 0), backlog=1024)
    return listeners


def _reached(offer: list[tuple[str, int]]) -> dict[str, str]:
    """The master's addresses that answer, each with this rank's address of the connection; all are tried at once."""

    def own_address(target: tuple[str, int]) -> str | None:
        try:
            with socket.create_connection(target, timeout=5) as connection:
                return connection.getsockname()[0]
        except OSError:
            return None

    with ThreadPoolExecutor(len(offer)) as pool:
        answers = zip(offer, pool.map(own_address, offer), strict=True)
        return {address: mine for (address, _), mine in answers if mine}


def _prefer_interface(own_address: str) -> None:
    name = interfaces().get(own_address)
    if name:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
        if not own_address.startswith("127."):
            os.environ.setdefault("NCCL_SOCKET_IFNAME", name)
