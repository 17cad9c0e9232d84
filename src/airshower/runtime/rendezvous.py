"""Where ranks meet: a store on the master, found without a port or an address being configured."""

import contextlib
import os
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from torch.distributed import TCPStore

from airshower.errors import UserError
from airshower.runtime.ranks import Ranks

_SIOCGIFADDR = 0x8915  # Linux: ioctl that gives an interface's IPv4 address


def open_store(ranks: Ranks, timeout: float) -> TCPStore:
    """The key-value store of all ranks, served by the master. Collective.

    The master listens before it says where, and hands the listening socket over to the store: nobody can take the port
    in between. Where all ranks are on one host it listens on the loopback alone, else on the first of its addresses
    that all ranks reach, as whoever reaches the store can write to it. gloo and NCCL are told to use the interface on
    which the ranks met, as a host's name may mean an address that others can't reach.
    """
    listeners = _listen(["127.0.0.1"] if ranks.local_size == ranks.size else list(interfaces())) if ranks.master else {}
    offer = ranks.broadcast([listener.getsockname()[:2] for listener in listeners.values()])
    reached = {address: address for address in listeners} if ranks.master else _reached(offer)
    everyone = ranks.exchange(reached)
    address, port = max(offer, key=lambda item: sum(item[0] in each for each in everyone))  # the first of the best
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
    found = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                import fcntl

                answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            except (ImportError, OSError):  # no address, or not Linux
                continue
            found[socket.inet_ntoa(answer[20:24])] = name
    if not found:
        found = {socket.gethostbyname(socket.gethostname()): ""}
    return dict(sorted(found.items(), key=lambda item: item[0].startswith("127.")))


def _listen(addresses: list[str]) -> dict[str, socket.socket]:
    """A listening socket on each address that can be listened on, at a free port."""
    listeners = {}
    for address in addresses:
        with contextlib.suppress(OSError):
            listeners[address] = socket.create_server((address, 0), backlog=1024)
    return listeners


def _reached(offer: list[tuple[str, int]]) -> dict[str, str]:
    """The master's addresses that answer, and this rank's own on the way there; all are tried at once."""

    def own(place: tuple[str, int]) -> str | None:
        try:
            with socket.create_connection(place, timeout=5) as connection:
                return connection.getsockname()[0]
        except OSError:
            return None

    with ThreadPoolExecutor(len(offer)) as pool:
        answers = zip(offer, pool.map(own, offer), strict=True)
        return {address: mine for (address, _), mine in answers if mine}


def _prefer_interface(own_address: str) -> None:
    name = interfaces().get(own_address)
    if name:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
        if not own_address.startswith("127."):
            os.environ.setdefault("NCCL_SOCKET_IFNAME", name)
