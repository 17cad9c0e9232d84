"""Reading images of telescopes: batches of charge and peak time by every reader, in the file's order and at random.

ctapipe's TableLoader reads events in the file's order; at random it can be asked for one event at a time only.
dl1-data-handler's images are interpolated to square cells, so ours are shown with and without that.
"""

import argparse
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.common import measure, timed
from benchmarks.cta import simulate_file

if TYPE_CHECKING:
    import numpy as np

SIZE = 64  # images in a batch


def run(arguments: argparse.Namespace) -> None:
    """Images per CPU second and per second of every reader; of the peers', how many times ours is as fast, and for
    images of square cells ours of the same cells."""
    simulated = Path(measure(simulate_file, arguments.simulated)["path"])
    peers = [(python, name) for python in arguments.peer_python for name in measure(find_peers, {}, python)["peers"]]
    for file in [simulated, *arguments.file]:
        chosen = measure(choose_telescopes, {"file": str(file)})
        print(f"{file.name}: {chosen['images']} images of {chosen['kind']}, batches of {SIZE}; images per CPU second")
        for order in ("serial", "random"):
            what = {"file": str(file), "telescopes": chosen["telescopes"], "order": order, "seconds": arguments.seconds}
            ours = {}
            for mapping, threads in (("", 1), ("", 2), ("axial", 1), ("bilinear", 1)):
                options = {"reader": "airshower", "readers": threads, "mapping": mapping}
                result = ours[mapping, threads] = measure(read, {**what, **options})
                name = "airshower" + ", 2 threads" * (threads - 1) + f", {mapping} image" * bool(mapping)
                print(f"  {order}  {name}: {result['cpu']:.0f} ({result['wall']:.0f}/s)", flush=True)
            for python, name in peers:
                result = measure(read, {**what, "reader": name}, python)
                base = ours["bilinear" if name == "DLImageReader" else "", 1]
                ratio = f"airshower {base['cpu'] / result['cpu']:.1f}x"
                rates = f"{result['cpu']:.0f} ({result['wall']:.0f}/s), {ratio}"
                print(f"  {order}  {result['version']} {name}: {rates}", flush=True)


def find_peers() -> dict:
    """Which of the peers' readers this Python can import."""
    from importlib.util import find_spec

    packages = {"TableLoader": "ctapipe", "DLImageReader": "dl1_data_handler"}
    return {"peers": [name for name, package in packages.items() if find_spec(package)]}


def choose_telescopes(file: str) -> dict:
    """The kind of telescope of which a file has the most images: ids, what the file calls it, and how many images."""
    import numpy as np

    from airshower.detectors.cta.dl1.file import Dl1File

    found = Dl1File(file)
    kind = np.array(found.subarray.descriptions)[found.images.telescope]
    kinds, counts = np.unique(kind, return_counts=True)
    most = kinds[counts.argmax()]
    rows = np.unique(found.images.telescope[kind == most])
    return {"telescopes": found.subarray.ids[rows].tolist(), "kind": str(most), "images": int(counts.max())}


def read(file: str, telescopes: list[int], order: str, seconds: float, reader: str, **options: int | str) -> dict:
    """Images per CPU second and per second of one reader, and its version."""
    makers = {"airshower": our_reader, "TableLoader": table_loader, "DLImageReader": image_reader}
    fetch, version = makers[reader](file, telescopes, order, **options)
    return {**timed(fetch, seconds), "version": version}


def our_reader(file: str, telescopes: list[int], order: str, readers: int, mapping: str) -> tuple[Callable, str]:
    """What reads the next batch, or with several `readers` as many at once, and says how many images it has."""
    import torch

    import airshower
    from airshower.detectors.cta.source import CtaConfig, CtaEvents
    from airshower.geometry.camera import lattice
    from airshower.geometry.mapping import camera_mapping
    from airshower.networks.telescopes.hexagonal import ToImage

    torch.set_num_threads(1)
    source = CtaEvents(CtaConfig(mode="mono", telescopes=telescopes), file)
    to_image = ToImage(camera_mapping(mapping or "axial", lattice(source.spec["images"].cameras[0])))
    batches = entries(len(source), order)
    pool = ThreadPoolExecutor(readers)

    def fetch() -> int:
        """Batches by all threads."""
        wanted = [next(batches) for _ in range(readers)]
        for batch in pool.map(source.read, wanted):
            if mapping:
                images = batch["images"].cameras[0]
                to_image(torch.stack([torch.from_numpy(images.charge), torch.from_numpy(images.time)], 1))
        return sum(map(len, wanted))

    return fetch, airshower.__version__


def table_loader(file: str, telescopes: list[int], order: str) -> tuple[Callable, str]:
    """The same with ctapipe's: chunks of events of about a batch of images, or one event at random."""
    import ctapipe
    import numpy as np
    from ctapipe.io import TableLoader

    loader = TableLoader(file)
    wanted = {"dl1_images": True, "dl1_parameters": False, "true_images": False, "true_parameters": False}
    load = partial(loader.read_telescope_events, telescopes=telescopes, instrument=False, pointing=True, **wanted)
    generator = np.random.default_rng(0)
    first = 0
    step = SIZE // 4 if order == "serial" else 1

    def fetch() -> int:
        """A chunk as one array of charges and one of times."""
        nonlocal first
        start = first % len(loader) if order == "serial" else int(generator.integers(len(loader)))
        first = start + step
        table = load(start=start, stop=min(start + step, len(loader)))
        arrays = [np.asarray(table[name], np.float32) for name in ("image", "peak_time") if len(table)]
        return len(arrays[0]) if arrays else 0

    return fetch, f"ctapipe {ctapipe.__version__}"


def image_reader(file: str, telescopes: list[int], order: str) -> tuple[Callable, str]:
    """The same with dl1-data-handler's."""
    from importlib.metadata import version

    from dl1_data_handler.reader import DLImageReader
    from traitlets.config import Config

    options = {"mode": "mono", "allowed_tels": telescopes, "channels": ["image", "peak_time"]}
    config = Config({"DLImageReader": options, "TableQualityQuery": {"quality_criteria": []}})
    reader = DLImageReader(input_url_signal=[file], config=config)
    batches = entries(len(reader.example_identifiers), order)
    return lambda: len(reader.generate_mono_batch(next(batches))), f"dl1-data-handler {version('dl1-data-handler')}"


def entries(images: int, order: str) -> Iterator["np.ndarray"]:
    """Batches of entries without end, each image once a round; the last of a round may be smaller."""
    import numpy as np

    generator = np.random.default_rng(0)
    while True:
        round_ = np.arange(images) if order == "serial" else generator.permutation(images)
        yield from np.split(round_, range(SIZE, images, SIZE))
