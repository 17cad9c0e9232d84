"""Networks that were trained on simulated events alone, on real ones: accuracy and IoU.

Joined pixels have the mean of their charges. Where a network was trained on pixels that were simulated coarsely, which
hold what fell into them, the charges of real pixels are added instead.
"""

import argparse
from pathlib import Path

from benchmarks.common import add_machine, measure

SHOWN = {"Cosmic_IoU": "cosmic IoU", "Neutrino_IoU": "neutrino IoU", "Non_Bkg_Accuracy": "non-background accuracy"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--file", type=Path, required=True, help="larcv3 file of wire images with labels")
    parser.add_argument("--weights", nargs="+", required=True, help="runs' folders, or names of pretrained networks")
    parser.add_argument("--downsample", type=int, nargs="+", default=[0, 1])
    add_machine(parser)


def run(arguments: argparse.Namespace) -> None:
    """Means over the images of all events and planes."""
    for weights in arguments.weights:
        for downsample in arguments.downsample:
            what = {"file": str(arguments.file), "weights": weights, "downsample": downsample}
            result = measure(judge, {**what, "threads": arguments.threads})
            values = "  ".join(f"{name} {result[key]:.3f}" for key, name in SHOWN.items())
            print(f"{weights} (step {result['step']}), downsample {downsample}: {values}", flush=True)


def judge(file: str, weights: str, downsample: int, threads: int) -> dict:
    """The metrics of a trained network over all events of a file."""
    from dataclasses import replace

    import numpy as np
    import torch

    import airshower
    from airshower.assembly.trained import load_trained
    from airshower.engine.step import add_counters

    torch.set_num_threads(threads)
    source = airshower.open(file, downsample=downsample).source
    trained = load_trained(weights, "cpu")
    task, network = trained.suited(source.spec)
    scale = np.float32(4.0 ** (downsample - trained.spec["images"].downsample))
    counters: dict = {}
    with torch.no_grad():
        for entry in range(len(source)):
            batch = source.read(np.array([entry]))
            images = replace(batch["images"], value=batch["images"].value * scale)
            sample = task.prepare(replace(batch, inputs={"images": images}).to(torch.device("cpu")))
            add_counters(counters, task.evaluate(network, sample, lambda tensor: tensor)[1])
    metrics = task.metrics(counters)
    return {"step": trained.step, **{name: metrics[f"Average/{name}"] for name in SHOWN}}
