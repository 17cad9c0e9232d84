"""What is recorded: each preset and each way of training, on a few small events, with all sizes stated."""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

STEPS = 12
FITTED = "run.iterations=0"  # of networks that have no optimizer steps
SAMPLES = "{samples}/"
DONE = "done: "  # and the name of a case: the line that is printed when it has been computed
COMMON = (
    f"run.iterations={STEPS}",
    "run.aux_iterations=2",
    "run.aux_minibatch_size=0",
    "run.compute_mode=cpu",
    "run.precision=float32",
    "framework.seed=1",
    "framework.intra_op_parallelism_threads=1",
)
TRAIN = (
    "mode=train",
    *COMMON,
    f"mode.validation_iteration={STEPS}",
    "mode.checkpoint_iteration=50",
    "mode.keep_checkpoints=1",
    "mode.summary_iteration=1",
    "mode.no_summary_images=true",
)
PREDICT = ("mode=inference", *COMMON, "mode.displays=0", "mode.scores=true")
WIRES = (
    "run.minibatch_size=2",
    "data.img_transform=true",
    "network.n_initial_filters=4",
    "network.depth=2",
    "network.bottleneck_deepest=8",
    "network.blocks_per_layer=1",
    "network.blocks_deepest_layer=1",
    "network.blocks_final=1",
    "network.event_filters=4",
    "network.event_blocks=1",
    "network.vertex_depth=1",
)
SHOWERS = ("run.minibatch_size=4", "task.report.worst=0", "task.report.observables=[true_energy]")
CAMERAS = ("network.filters=[4,6]", "network.blocks=[1,1]", "network.width=8", "network.head_width=4")
TANKS = (
    "run.minibatch_size=8",
    "data.parameters=[rec.nHit,rec.logNPE,rec.zenithAngle,rec.azimuthAngle]",
    "data.conditions=[SimEvent.energyTrue]",
)
FEW_TANKS = ("data.events=60", "data.validation_events=20", "data.test_events=20", "data.seed=1")
FEW_WIRES = (
    *WIRES,
    "data.events=10",
    "data.validation_events=4",
    "data.test_events=4",
    "data.seed=1",
    "data.downsample=0",
    "data.simulation.image_size=[128,96]",
    "data.simulation.cosmic_rate=4",
)
SIZES = {
    "lartpc_simulated": FEW_WIRES,
    "lartpc_laptop": FEW_WIRES,
    "cta_simulated": (
        *SHOWERS,
        "data.events=20",
        "data.validation_events=8",
        "data.test_events=8",
        "data.seed=1",
        "data.simulation.lsts=2",
        "data.simulation.msts=2",
        "data.simulation.energy_min=0.5",
    ),
    "hawc_simulated": (*TANKS, *FEW_TANKS),
    "hawc_images_simulated": (*TANKS, *FEW_TANKS),
    "hawc_mixed_simulated": (*TANKS, *FEW_TANKS),
}
"""By what a network's yaml takes its data from."""
NETWORKS = {
    "cta_mono_*": ("data.mode=mono", "data.telescope_types=[LST]", *CAMERAS),
    "cta_stereo_*": ("data.mode=stereo", "data.telescope_types=[]", *CAMERAS),
    "cta_hillas": (FITTED, "network.trees=10", "network.leaves=8", "network.least=2"),
    "hawc_fits": (
        FITTED,
        "data.parameters=[rec.logNPE,rec.nHit,rec.nTankHit,rec.zenithAngle,rec.azimuthAngle,rec.coreX,rec.coreY,"
        "rec.CxPE40,rec.PINC]",
        "network.trees=10",
        "network.leaves=8",
        "network.least=2",
    ),
    "hawc_param_*": ("data.channels=[]",),
    "hawc_param_*gan": ("network.noise=8", "network.generator=[16,8]", "network.critic=[16,8]"),
    "hawc_param_flow": ("network.bins=8", "network.width=16"),
    "hawc_map_*": ("network.channels=[charge]",),
    "hawc_map_flow": ("network.width=8", "network.steps=2"),
    "hawc_map_wgan": ("network.noise=8", "network.generator=8", "network.critic=4"),
    "hawc_pixelcnn_*": ("network.filters=4", "network.resnets=1", "network.mixtures=2"),
    "hawc_pixelcnn_1ch": ("network.channels=[charge]",),
    "hawc_pixelcnn_2ch": ("network.channels=[charge,time]",),
    "hawc_pixelcnn_small": ("network.channels=[charge]",),
}
"""By name; all patterns that fit count."""
OVER_OTHERS = ("cta_stack",)
"""Networks that are fitted over a trained one, which a record has not."""
LARTPC = ("data=lartpc", "data.file={samples}/lartpc/cosmic_tagging_light.h5", "data.validation_fraction=0.4")
CTA = (
    "data=cta",
    "data.file={samples}/cta/gamma_prod4_sst1m.dl1.h5",
    "data.classes=[gamma]",
    "data.telescope_types=[]",
    "data.validation_fraction=0.2",
    "data.test_fraction=0.2",
    "task.type.weight=0",
)
HAWC = (
    "data=hawc",
    "data.gammas={samples}/hawc/hawc_like_gamma.xcd",
    "data.protons={samples}/hawc/hawc_like_proton.xcd",
    "data.validation_fraction=0.01",
    "data.test_fraction=0.004",
)


def of_network(network: str) -> tuple[str, ...]:
    """The sizes of a network in `NETWORKS`."""
    return tuple(key for pattern, keys in NETWORKS.items() if fnmatch(network, pattern) for key in keys)


FILES = {
    "lartpc_uresnet": ("network=uresnet", *LARTPC, *WIRES, "data.downsample=3"),
    "lartpc_uresnet_sparse": ("network=uresnet_sparse", *LARTPC, *WIRES, "data.downsample=2"),
    "cta_mono_resnet": ("network=cta_mono_resnet", *CTA, *SHOWERS, *CAMERAS, "data.mode=mono"),
    "cta_stereo_hex": ("network=cta_stereo_hex", *CTA, *SHOWERS, *CAMERAS, "data.mode=stereo"),
    "hawc_param_flow": ("network=hawc_param_flow", *HAWC, *TANKS, *of_network("hawc_param_flow")),
    "hawc_pixelcnn_1ch": ("network=hawc_pixelcnn_1ch", *HAWC, *TANKS, *of_network("hawc_pixelcnn_1ch")),
}
"""Data from the sample files, {samples} their folder."""
ALL_BUT_ONE = ("mode.start_index=1", "data.validation_fraction=0")
FIRST = {"lartpc_uresnet": ALL_BUT_ONE, "lartpc_uresnet_sparse": ALL_BUT_ONE}
"""Where predictions begin, that two batches are left."""
WAYS = ("uresnet", "uresnet_sparse", "cta_stereo_hex", "hawc_param_wgan")
"""The networks that are also trained with accumulation, with two ranks and with a stop."""
CONSTANT = "mode.optimizer.schedule.name=constant"  # the others depend on the number of steps


@dataclass(frozen=True)
class Case:
    """A training of `STEPS` steps and a prediction, by the keys on the command line.

    `train` and `predict` are keys of one mode alone. `ranks`: processes that train; `stop`: the step at which training
    stops and is resumed, 0 for none; `skipped`: why the case can't be run.
    """

    name: str
    overrides: tuple[str, ...]
    train: tuple[str, ...] = ()
    predict: tuple[str, ...] = ()
    ranks: int = 1
    stop: int = 0
    skipped: str = ""

    @property
    def commands(self) -> dict[str, list[str]]:
        """The keys on the command line of both modes, without those of folders and weights."""
        return {
            "train": [*TRAIN, *self.overrides, *self.train],
            "inference": [*PREDICT, *self.overrides, *self.predict],
            "ranks, stop": [f"{self.ranks} {self.stop}"],
        }

    @property
    def files(self) -> list[str]:
        """The sample files that it reads, in their folder."""
        return [key.split(SAMPLES, 1)[1] for key in self.overrides if SAMPLES in key]


def cases(source: Path) -> Iterator[Case]:
    """All cases, those of the presets by what `source`, a checkout, has in conf/network."""
    presets = {path.stem: preset(path) for path in sorted((source / "conf" / "network").glob("*.yaml"))}
    for name, case in presets.items():
        yield Case(f"network/{name}", case.overrides, skipped=case.skipped)
    for name in WAYS:
        if name in presets:
            overrides = presets[name].overrides
            accumulation = "mode.optimizer.gradient_accumulation=2"
            yield Case(f"accumulation/{name}", overrides, train=(CONSTANT, accumulation))
            yield Case(f"ranks/{name}", overrides, train=(CONSTANT,), ranks=2)
            yield Case(f"resume/{name}", overrides, train=(CONSTANT,), stop=STEPS // 2 - 1)
    for name in ("uresnet", "uresnet_sparse"):
        if name in presets:
            yield Case(f"neutrino/{name}", (*presets[name].overrides, "task=neutrino"))
    for name, overrides in FILES.items():
        yield Case(f"files/{name}", overrides, predict=FIRST.get(name, ()))


def preset(path: Path) -> Case:
    """A network with its own data and task."""
    defaults = [item for item in DictConfig(OmegaConf.load(path))["defaults"] if hasattr(item, "items")]
    data = next((value for item in defaults for key, value in item.items() if key == "override /data"), "none")
    if path.stem in OVER_OTHERS:
        return Case(path.stem, (), skipped="it is fitted over a trained network")
    if data not in SIZES:
        return Case(path.stem, (), skipped=f"scripts/goldens/cases.py states no sizes for data={data}")
    return Case(path.stem, (f"network={path.stem}", *SIZES[data], *of_network(path.stem)))
