"""Two larcv3 files beside each other: occupancy, class shares, pixel values."""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from airshower.detectors.lartpc.larcv.wires import CLASSES, Products, WireFile

COLOURS = ("#888888", "#4477aa", "#cc3311")


class Content:
    """Pixels of a file by plane and class: shares of all pixels [events, planes, classes] and values."""

    def __init__(self, path: Path):
        file = WireFile(path, Products("sbndwire", "sbnd_cosmicseg", "sbndneutrino"))
        self.name = path.stem
        pixels = file.shape[0] * file.shape[1]
        shares = []
        values = {name: [] for name in CLASSES}
        for entry in range(len(file)):
            event = file.read(entry)
            assert event.label is not None
            plane = np.repeat(np.arange(file.planes), event.counts)
            counts = np.bincount(plane * 3 + event.label, minlength=3 * file.planes)
            shares.append(counts.reshape(file.planes, 3) / pixels)
            for index, name in enumerate(CLASSES):
                values[name].append(event.value[event.label == index])
        self.shares = np.array(shares)
        self.values = {name: np.concatenate(parts) for name, parts in values.items()}


def figure(simulated: Path, real: list[Path]) -> plt.Figure:
    """Shares by plane (bars: mean, lines: spread over events) and value distributions by class; in print shares, and
    what depends on the edges of tracks: faint labelled and bright unlabelled pixels."""
    files = [Content(path) for path in (simulated, *real[:1])]
    for content in files:
        share = 100 * content.shares.mean((0, 1))
        quantiles = np.quantile(np.concatenate(list(content.values.values())), (0.5, 0.99))
        print(f"{content.name}: occupied {share.sum():.3f} %, median {quantiles[0]:.1f}, 99 % {quantiles[1]:.0f}")
        print("  " + ", ".join(f"{name} {value:.3f} %" for name, value in zip(CLASSES, share, strict=True)))
        background, *labelled = (content.values[name] for name in CLASSES)
        faint = (
            f"{name} {100 * (values < 8).mean():.1f} %" for name, values in zip(CLASSES[1:], labelled, strict=True)
        )
        bright = 100 * (background > 30).sum() / sum(map(len, labelled))
        print(f"  below 8 counts: {', '.join(faint)}; background above 30 for 100 labelled pixels: {bright:.2f}")
    made, (left, right) = plt.subplots(1, 2, figsize=(13, 4.6), layout="constrained")
    planes = files[0].shares.shape[1]
    for number, content in enumerate(files):
        at = np.arange(planes * 3) + (number - 0.5) * 0.4
        mean, spread = (100 * f(content.shares, axis=0).ravel() for f in (np.mean, np.std))
        style = {"hatch": "//" * number, "edgecolor": "white"}
        left.bar(at, mean, 0.38, yerr=spread, color=COLOURS * planes, alpha=1 - 0.4 * number, **style)
        for colour, (name, values) in zip(COLOURS, content.values.items(), strict=True):
            line = "-" if number == 0 else "--"
            label = f"{content.name}: {name}"
            right.hist(
                values, np.geomspace(5, 3000, 60), density=True, histtype="step", ls=line, color=colour, label=label
            )
    names = [f"{name}\nplane {plane}" for plane in range(planes) for name in CLASSES]
    left.set_xticks(range(planes * 3), names, fontsize=7)
    left.set(ylabel="share of all pixels (%)", yscale="log")
    left.set_title(f"occupied pixels by class; plain: {files[0].name}, hatched: {files[1].name}", fontsize=10)
    right.set(xscale="log", yscale="log", xlabel="pixel value (counts)", ylabel="density", title="values by class")
    right.legend(fontsize=8)
    return made
