"""What a rank sees of the others, as one line of JSON; run under mpirun."""

import json
import os
import socket
import sys

import torch

from airshower.runtime.mpi import connect

ranks = connect(True, 60.0)
ranks.start_torch(torch.device("cpu"))
total = int(ranks.sum(torch.tensor(ranks.rank + 1)))
names = {name.split("_")[0].lower(): os.environ.get(name) for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")}
about = {
    "host": socket.gethostname(),
    "means": socket.gethostbyname(socket.gethostname()),
    "store": ranks.store.host,
    "total": total,
    **{name: getattr(ranks, name) for name in ("rank", "size", "local_rank", "local_size")},
    **names,
}
seen = ranks.gather(about)
if ranks.master:
    print(json.dumps(seen))
    sys.stdout.flush()
ranks.close()
