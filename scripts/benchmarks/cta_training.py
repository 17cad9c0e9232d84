"""Training of every network of telescope images as the application does it, on the same simulated events."""

import argparse
import contextlib
import csv
import io
import sys
import tempfile
from pathlib import Path

from benchmarks.common import ROOT, measure
from benchmarks.cta import simulate_file


def run(arguments: argparse.Namespace) -> None:
    """Seconds of a step, entries and images per second and memory of each network, and the ratio to the fastest."""
    measure(simulate_file, arguments.simulated)  # in another process, of which the memory is not the network's
    names = arguments.networks or sorted(path.stem for path in (ROOT / "conf" / "network").glob("cta_*.yaml"))
    size = arguments.minibatch
    device = arguments.device
    print(f"minibatch {size} (images or events), {arguments.steps} steps, {arguments.threads} threads, {device}")
    results = {}
    for name in names:
        what = {"network": name, "size": size, "steps": arguments.steps, "threads": arguments.threads, "device": device}
        results[name] = measure(train, {**what, "simulated": arguments.simulated})
        print(f"{name}: {cells(results[name])}", flush=True)
    fastest = max(results.values(), key=lambda result: result["images"])
    for name, result in sorted(results.items(), key=lambda item: -item[1]["images"]):
        print(f"{name}: {result['images'] / fastest['images']:.2f} of the fastest's images/s", flush=True)


def cells(result: dict) -> str:
    """One line of the table."""
    return (
        f"step {result['seconds']:.3f} s, {result['entries']:.1f} entries/s, {result['images']:.1f} images/s, "
        f"waiting for data {1e3 * result['waited']:.1f} ms a step, peak {result['memory'] / 2**30:.2f} GiB"
    )


def train(network: str, size: int, steps: int, threads: int, device: str, simulated: dict) -> dict:
    """Of the median step: seconds, entries and telescopes' images per second, and seconds of waiting; peak memory."""
    import torch
    from omegaconf import OmegaConf

    from airshower.config.build import component
    from airshower.main import cli
    from airshower.runtime.device import choose_device, peak_memory
    from airshower.runtime.ranks import Ranks

    events = {**simulated, **{f"simulation.{key}": value for key, value in simulated["simulation"].items()}}
    del events["simulation"]
    with tempfile.TemporaryDirectory() as output:
        options = [
            f"network={network}",
            "data=cta_simulated",
            *(f"data.{key}={value}" for key, value in events.items()),
        ]
        options += [f"run.minibatch_size={size}", f"run.iterations={steps}", f"run.compute_mode={device}"]
        options += ["mode.validation_iteration=0", f"framework.intra_op_parallelism_threads={threads}"]
        sys.argv = ["airshower", "mode=train", *options, f"output_dir={output}"]
        with contextlib.redirect_stdout(io.StringIO()):
            cli()
        with open(Path(output) / "metrics" / "train.csv") as file:
            rows = [(float(row["images_per_second"]), float(row["wait_share"])) for row in csv.DictReader(file)]
        data = OmegaConf.load(Path(output) / "config.yaml").data
    rows = sorted(rows[2:])  # the first steps warm up
    rate, wait_share = rows[len(rows) // 2]
    kind, config = component(data, "data")
    chosen = kind(config, seed=0).open().train
    multiplicity = len(chosen.source.images_of(chosen.entries)[0]) / len(chosen.entries)
    memory = peak_memory(choose_device(device, Ranks()) if device != "cpu" else torch.device("cpu"))
    return {
        "seconds": size / rate, "entries": rate, "images": multiplicity * rate,
        "waited": size / rate * wait_share, "memory": memory,
    }  # fmt: skip
