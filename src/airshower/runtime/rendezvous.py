"""Where ranks meet: a store on the master, found without a port or an address being configured."""

import os
import socket
import struct
from collections import Counter
from datetime import timedelta
from typing import Any

from torch.distributed import TCPStore

from airshower.errors import UserError
from airshower.runtime.ranks import Ranks

_SIOCGIFADDR = 0x8915  # Linux: ioctl that gives an interface's IPv4 address


def open_store(ranks: Ranks, timeout: float) -> TCPStore:
    """The key-value store of all ranks, served by the master. Collective.

    The master listens before it says where, and hands the listening socket over to the store: nobody can take the port
    in between. Each rank uses the first of the master's addresses that answers. gloo and NCCL are told to use the
    interface on which they met, as a host's name may mean an address that others can't reach.
    """
    one_host = ranks.local_size == ranks.size
    listener = None
    if ranks.master:
        listener = socket.create_server(("", 0), backlog=max(128, ranks.size))
    offer = (["127.0.0.1"] if one_host else list(interfaces()), listener.getsockname()[1] if listener else 0)
    addresses, port = ranks.broadcast(offer)
    met = None if ranks.master else _first_that_answers(addresses, port)
    everyone = ranks.exchange(met)
    lost = [str(rank) for rank, item in enumerate(everyone) if rank and not item]
    if lost:
        raise UserError(
            f"rank 0 can't be reached from rank {', '.join(lost)} at any of {', '.join(addresses)} (port {port}); "
            "is a firewall between?"
        )
    chosen = Counter(item[0] for item in everyone if item)
    address = met[0] if met else chosen.most_common(1)[0][0]
    _prefer_interface(met[1] if met else address)
    options: dict[str, Any] = {"master_listen_fd": listener.detach()} if listener else {}
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


def _first_that_answers(addresses: list[str], port: int) -> tuple[str, str] | None:
    """The master's address, and this rank's own on the way there; None if it can't be reached."""
    for address in addresses:
        try:
            with socket.create_connection((address, port), timeout=5) as connection:
                return address, connection.getsockname()[0]
        except OSError:
            continue
    return None


def _prefer_interface(own_address: str) -> None:
    name = interfaces().get(own_address)
    if name:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
        if not own_address.startswith("127."):
            os.environ.setdefault("NCCL_SOCKET_IFNAME", name)
