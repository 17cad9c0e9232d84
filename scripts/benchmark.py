#!/usr/bin/env python
"""Speed and memory, as ratios of things measured in one run.

    python scripts/benchmark.py reading --file events.h5 [--peer DIR --peer-python PYTHON]
    python scripts/benchmark.py training [--networks uresnet a21] [--downsample 1 2 3] [--peer DIR]
    python scripts/benchmark.py scaling --file events.h5 [--ranks 1 2] [--network a21] [--downsample 2]

Each measurement is a process of its own, one after the other; keep the machine otherwise idle. `--peer` is a checkout
of CosmicTagger, measured beside; its reader needs a Python with larcv and numpy 1.26 (`--peer-python`). Where there is
an accelerator, `training --device gpu` measures there.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SIZE = (1280, 2048)  # rows and columns of SBND's images


def main() -> None:
    """Parse and dispatch; `_read` and `_train` are the measurements that the others start as processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    reading = commands.add_parser("reading", help="events/s of dense batches, one thread")
    reading.add_argument("--file", type=Path, required=True)
    reading.add_argument("--events", type=int, default=500)
    reading.add_argument("--downsample", type=int, nargs="+", default=[0, 1, 2])
    reading.add_argument("--minibatch", type=int, nargs="+", default=[1, 8])
    reading.add_argument("--peer-python", default="")
    training = commands.add_parser("training", help="seconds and memory of forward passes and training steps")
    training.add_argument("--networks", nargs="+", default=["uresnet", "a21"])
    training.add_argument("--downsample", type=int, nargs="+", default=[3, 2, 1])
    training.add_argument("--precision", nargs="+", default=["float32", "bfloat16"])
    training.add_argument("--variants", nargs="+", default=["channels_last"], help="channels_last, contiguous, compile")
    training.add_argument("--threads", type=int, default=os.cpu_count())
    training.add_argument("--device", default="cpu")
    for command in (reading, training):
        command.add_argument("--peer", type=Path)
    scaling = commands.add_parser("scaling", help="images/s of ranks on one machine, and what coordination costs")
    scaling.add_argument("--file", type=Path, required=True)
    scaling.add_argument("--events", type=int, default=200)
    scaling.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    scaling.add_argument("--network", default="a21")
    scaling.add_argument("--downsample", type=int, default=2)
    scaling.add_argument("--steps", type=int, default=12)
    for name in ("_read", "_train", "_coordinate"):
        commands.add_parser(name).add_argument("what", type=json.loads)
    arguments = parser.parse_args()
    if arguments.command.startswith("_"):
        result = globals()[arguments.command](**arguments.what)
        if result is not None:
            print(json.dumps(result))
    else:
        globals()[arguments.command](arguments)


def reading(arguments: argparse.Namespace) -> None:
    """CPU milliseconds per event and events per second of every reader, and the ratio to the peer's or to larcv's."""
    with tempfile.TemporaryDirectory() as folder:
        file = repeat_events(arguments.file, Path(folder) / "repeated.h5", arguments.events)
        os.environ["AIRSHOWER_CACHE"] = folder
        readers = ["queueloader"] if arguments.peer and arguments.peer_python else []
        readers += ["larcv"] if has_larcv() else []
        print(f"{arguments.events} events, one thread; CPU ms per event (events/s)", flush=True)
        for downsample, size in itertools.product(arguments.downsample, arguments.minibatch):
            results = {}
            for reader in [*readers, "native", "cache"]:
                what = {"file": str(file), "reader": reader, "downsample": downsample, "size": size}
                python = sys.executable
                if reader == "queueloader":
                    what["peer"], python = str(arguments.peer), arguments.peer_python
                results[reader] = measure("_read", what, python)
            base = results.get("queueloader") or results.get("larcv") or results["native"]
            cells = [
                f"{name} {1e3 * r['cpu']:.2f} ({1 / r['wall']:.0f}/s) x{base['cpu'] / r['cpu']:.1f}"
                for name, r in results.items()
            ]
            print(f"downsample {downsample} minibatch {size}:  " + "   ".join(cells), flush=True)


def training(arguments: argparse.Namespace) -> None:
    """Seconds and memory per event (minibatch 1) of networks, and the ratio to the peer's."""
    print(f"minibatch 1, {arguments.threads} threads, {arguments.device}; wall seconds, peak GiB", flush=True)
    for network, downsample in itertools.product(arguments.networks, arguments.downsample):
        common = {"network": network, "downsample": downsample, "threads": arguments.threads}
        base = None
        if arguments.peer:
            base = measure("_train", {**common, "peer": str(arguments.peer)}, sys.executable)
            print(f"{network} downsample {downsample}  peer float32: {_cells(base, None)}", flush=True)
        for precision, variant in itertools.product(arguments.precision, arguments.variants):
            what = {**common, "precision": precision, "variant": variant, "device": arguments.device}
            result = measure("_train", what, sys.executable)
            print(f"{network} downsample {downsample}  {variant} {precision}: {_cells(result, base)}", flush=True)


def scaling(arguments: argparse.Namespace) -> None:
    """Weak scaling: one event a rank and step, one thread a rank; efficiency is images/s over N times that of one.

    Then what the plan, the agreement to stop and the sum of the metrics cost in a step.
    """
    step = {}
    with tempfile.TemporaryDirectory() as folder:
        file = repeat_events(arguments.file, Path(folder) / "repeated.h5", arguments.events)
        common = [f"network={arguments.network}", "data=lartpc", f"data.file={file}", "run.distributed=true"]
        common += [f"data.downsample={arguments.downsample}", f"network.depth={min(6, 8 - arguments.downsample)}"]
        common += ["framework.intra_op_parallelism_threads=1", "run.compute_mode=auto"]
        base: dict[str, float] = {}
        for ranks in arguments.ranks:
            for mode in ("iotest", "train"):
                output = Path(folder) / f"{mode}_{ranks}"
                options = [f"mode={mode}", f"output_dir={output}", f"run.minibatch_size={ranks}"]
                options += ["run.iterations=100"] if mode == "iotest" else [f"run.iterations={arguments.steps}"]
                launch(ranks, [str(ROOT / "bin" / "exec.py"), *common, *options])
                rate = _iotest_rate(output) if mode == "iotest" else _training_rate(output)
                step[ranks] = ranks / rate
                first = base.setdefault(mode, rate / ranks)
                print(f"{mode} {ranks} ranks: {rate:.2f} images/s, efficiency {rate / ranks / first:.2f}", flush=True)
    for ranks in arguments.ranks:
        said = launch(ranks, [__file__, "_coordinate", json.dumps({"entries": 1_000_000, "repeat": 2000})])
        costs = json.loads(said.strip().splitlines()[-1])
        cells = [f"{name} {1e6 * cost:.0f} us ({100 * cost / step[ranks]:.4f} %)" for name, cost in costs.items()]
        print(f"{ranks} ranks, of a step of {step[ranks]:.2f} s:  " + "   ".join(cells), flush=True)


def launch(ranks: int, command: list[str]) -> str:
    """What `mpirun -n ranks python command` prints, each rank with one thread."""
    mpirun = Path(sys.executable).with_name("mpirun")
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe", "PRTE_MCA_hwloc_default_binding_policy": "none",
    }  # fmt: skip
    line = [str(mpirun) if mpirun.exists() else "mpirun", "-n", str(ranks), sys.executable, *command]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(line)}:\n{done.stderr}")
    return done.stdout


def _iotest_rate(output: Path) -> float:
    return json.loads((output / "iotest" / "report.json").read_text())["images_per_second"]


def _training_rate(output: Path) -> float:
    rows = (output / "metrics" / "train.csv").read_text().splitlines()
    column = rows[0].split(",").index("images_per_second")
    rates = sorted(float(row.split(",")[column]) for row in rows[4:])  # the first steps warm up
    return rates[len(rates) // 2]


def _coordinate(entries: int, repeat: int) -> dict | None:
    """Seconds that each act of coordination takes, run on every rank by mpirun."""
    sys.path.insert(0, str(ROOT / "src"))
    import numpy as np
    import torch

    from airshower.data.plan import Dealer, EntryPlan
    from airshower.runtime import mpi

    here = mpi.connect(True, 600.0)
    here.start_torch(torch.device("cpu"))
    torch.set_num_threads(1)
    dealer = Dealer(EntryPlan(np.arange(entries), here.size), here.size, here)
    counters = {"confusion": torch.zeros(3, 3, 3), "sum": torch.zeros(3, 5), "count": torch.zeros(3, 5)}
    acts = {
        "plan": dealer.next,
        "stop": lambda: here.any(False),
        "metrics": lambda: here.sum_all(counters),
        "normaliser": lambda: here.sum(torch.zeros(3, 3, dtype=torch.float64)),
    }
    costs = {}
    for name, act in acts.items():
        act()
        here.barrier()
        start = time.perf_counter()
        for _ in range(repeat):
            act()
        costs[name] = (time.perf_counter() - start) / repeat
    here.close()
    return costs if here.master else None


def measure(command: str, what: dict, python: str) -> dict:
    """The result of one measurement in a process of its own."""
    threads = str(what.get("threads", 1))
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "HDF5_USE_FILE_LOCKING": "FALSE"}
    line = [python, __file__, command, json.dumps(what)]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{what}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def repeat_events(source: Path, path: Path, events: int) -> Path:
    """A larcv3 file of `events` events that repeats the wires and labels of `source`, in larcv's own layout."""
    import h5py
    import numpy as np

    keep = ("sparse2d_sbndwire_group", "sparse2d_sbnd_cosmicseg_group")
    with h5py.File(source) as old, h5py.File(path, "w", libver="earliest") as new:
        ids = old["Events/event_id"][:]
        times = -(-events // len(ids))
        repeated = np.tile(ids, times)[:events]
        repeated["event"] = np.arange(events)
        new.create_dataset("Events/event_id", data=repeated, chunks=(100,), maxshape=(None,), compression=1)
        for name in keep:
            below = {"extents": "voxel_extents", "voxel_extents": "voxels"}
            for table, data in old[f"Data/{name}"].items():
                rows = np.tile(data[:], times)
                if table in below:
                    step = len(old[f"Data/{name}/{below[table]}"])
                    rows["first"] += np.repeat(np.arange(times, dtype=np.uint64) * np.uint64(step), len(data))
                rows = rows[:events] if table == "extents" else rows
                new.create_dataset(
                    f"Data/{name}/{table}",
                    data=rows,
                    dtype=data.dtype,
                    chunks=data.chunks,
                    maxshape=(None,),
                    compression=1,
                )
    return path


def has_larcv() -> bool:
    """Whether the larcv package can be imported here."""
    return subprocess.run([sys.executable, "-c", "import larcv"], capture_output=True, check=False).returncode == 0


def _read(file: str, reader: str, downsample: int, size: int, peer: str = "") -> dict:
    fetch, events = _queueloader(file, downsample, size, peer) if peer else _source(file, reader, downsample, size)
    batches = min(events // size, max(24, 120 // size))
    for batch in range(4):
        fetch(batch)
    wall, cpu = time.perf_counter(), time.process_time()
    for batch in range(batches):
        fetch(batch)
    done = batches * size
    return {"wall": (time.perf_counter() - wall) / done, "cpu": (time.process_time() - cpu) / done}


def _source(file: str, reader: str, downsample: int, size: int) -> tuple:
    sys.path.insert(0, str(ROOT / "src"))
    import numpy as np
    import torch

    from airshower.data.dense import Densifier
    from airshower.detectors.lartpc.source import WireConfig, WireImages

    torch.set_num_threads(1)
    config = WireConfig(
        reader=reader if reader == "larcv" else "native", cache=reader == "cache", downsample=downsample
    )
    source, densify, cpu = WireImages(config, file), Densifier(downsample), torch.device("cpu")

    def fetch(batch: int) -> None:
        densify(source.read(np.arange(batch * size, (batch + 1) * size) % len(source)).to(cpu).images)

    return fetch, len(source)


def _queueloader(file: str, downsample: int, size: int, peer: str) -> tuple:
    sys.path.insert(0, peer)
    from src.utils.core.larcvio.larcv_fetcher import larcv_fetcher

    loader = larcv_fetcher("inference", False, downsample, "channels_first", False, False)
    events = loader.prepare_cosmic_sample("sample", file, size)
    return lambda batch: loader.fetch_next_batch("sample", force_pop=True), events


def _train(
    network: str,
    downsample: int,
    threads: int,
    precision: str = "float32",
    variant: str = "",
    device: str = "cpu",
    peer: str = "",
) -> dict:
    sys.path.insert(0, str(ROOT / "src"))
    import torch

    from airshower.runtime.device import choose_device, peak_memory, synchronize
    from airshower.runtime.ranks import Ranks

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    place = choose_device("cpu" if peer else device, Ranks())
    shape = (1, 3, SIZE[0] >> downsample, SIZE[1] >> downsample)
    image, label = _example(shape)
    example = (network, downsample, image.to(place), label.to(place))
    forward, backward = _peer_step(*example, peer) if peer else _our_step(*example, precision, variant, place)

    def timed(function: object) -> float:
        seconds = []
        for _ in range(3 if downsample < 2 and place.type == "cpu" else 6):
            start = time.perf_counter()
            function()
            synchronize(place)
            seconds.append(time.perf_counter() - start)
        return min(seconds)

    result = {"forward": timed(forward)}
    result["forward_memory"] = peak_memory(place)
    return {**result, "step": timed(backward), "memory": peak_memory(place)}


def _example(shape: tuple) -> tuple:
    """An image with 2 % of its pixels filled, half of them labelled."""
    import torch

    filled = torch.rand(shape) < 0.02
    image = torch.where(filled, torch.rand(shape) * 20, 0.0)
    return image, (filled * torch.randint(0, 3, shape)).to(torch.uint8)


def _our_step(
    network: str, downsample: int, image: object, label: object, precision: str, variant: str, place: object
) -> tuple:
    import torch
    from omegaconf import OmegaConf

    from airshower.config.schema import FrameworkConfig, OptimizerConfig, RunConfig
    from airshower.data.source import ImageSpec
    from airshower.engine.optimizer import build_optimizer
    from airshower.engine.parallel import ParallelModule
    from airshower.engine.step import Step, TrainedPhase
    from airshower.networks.uresnet import UResNet, UResNetConfig
    from airshower.runtime import device
    from airshower.runtime.ranks import Ranks
    from airshower.runtime.timers import Timers
    from airshower.tasks.segmentation import ImageSample, Segmentation

    node = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "network" / f"{network}.yaml"))["network"]
    node.pop("_target_")
    node["depth"] = min(node["depth"], 8 - downsample)
    spec = ImageSpec(3, SIZE, downsample, ("background", "cosmic", "neutrino"))
    options = FrameworkConfig(channels_last=variant != "contiguous", compile=variant == "compile")
    net = device.place(UResNet(UResNetConfig(**node), spec), place, options)

    class Fixed(Segmentation):
        def prepare(self, batch: object) -> ImageSample:
            return ImageSample(image, label)

    task, arithmetic = Fixed(Fixed.Config(), spec, False), device.Precision(RunConfig(precision=precision), place)
    parallel = ParallelModule(net, Ranks(), "ddp")
    phases = [TrainedPhase(phase, build_optimizer(OptimizerConfig(), net), parallel) for phase in task.phases(net)]
    step = Step(task, phases, arithmetic, Ranks(), 0.0, Timers(place, enabled=False))

    def forward() -> None:
        with torch.no_grad(), arithmetic.autocast():
            net(image)

    return forward, lambda: step([object()], 1e-3, measure=True)


def _peer_step(network: str, downsample: int, image: object, label: object, peer: str) -> tuple:
    sys.path.insert(0, peer)
    import torch
    from src.config import network as configs
    from src.networks.torch.uresnet2D import UResNet

    config = {"uresnet": configs.UResNet, "a21": configs.A21, "polaris": configs.Polaris, "scc21": configs.SCC21}[
        network
    ]()
    config.depth = min(config.depth, 8 - downsample)
    net = UResNet(config)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    planes = [label[:, plane].long() for plane in range(3)]

    def step() -> None:
        """The peer's focal loss, as its LossCalculator computes it."""
        optimizer.zero_grad()
        loss = 0.0
        for logits, target in zip(net(image), planes, strict=True):
            entropy = torch.nn.functional.cross_entropy(logits, target, reduction="none")
            with torch.no_grad():
                onehot = torch.nn.functional.one_hot(target, 3).permute(0, 3, 1, 2)
                weight = (onehot * (1 - logits.softmax(1)) ** 2).mean(1)
            loss = loss + (weight * entropy).sum() / weight.sum()
        loss.backward()
        optimizer.step()

    def forward() -> None:
        with torch.no_grad():
            net(image)

    return forward, step


def _cells(result: dict, base: dict | None) -> str:
    names = {"forward": "forward {:.3f} s", "step": "step {:.3f} s", "memory": "{:.2f} GiB"}
    scale = {"memory": 2**30}
    cells = []
    for name, text in names.items():
        ratio = f" ({base[name] / result[name]:.2f}x)" if base else ""
        cells.append(text.format(result[name] / scale.get(name, 1)) + ratio)
    return ", ".join(cells)


if __name__ == "__main__":
    main()
