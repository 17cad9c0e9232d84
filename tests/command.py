"""Running the application inside the test's process."""

import contextlib
import io
import signal
import sys
from dataclasses import dataclass
from unittest import mock

from airshower.main import cli

TINY = (
    "network=uresnet",
    "task.loss_balance_scheme=focal",
    "task.lovasz=0",
    "run.precision=float32",
    "data.simulation.image_size=[128,96]",
    "data.simulation.cosmic_rate=4",
    "data.downsample=0",
    "data.events=6",
    "data.validation_events=3",
    "data.test_events=3",
    "network.depth=2",
    "network.n_initial_filters=4",
    "network.bottleneck_deepest=8",
    "network.blocks_per_layer=1",
    "network.blocks_final=1",
    "network.blocks_deepest_layer=1",
    "run.iterations=2",
    "run.minibatch_size=2",
    "run.aux_iterations=2",
    "run.compute_mode=cpu",
    "framework.intra_op_parallelism_threads=1",
)
"""A network and data small enough for a second a run."""

TINY_TRAIN = ("mode=train", *TINY, "mode.no_summary_images=true")
TINY_INFERENCE = ("mode=inference", *TINY, "mode.displays=0")
TINY_SHOWERS = (
    "data.events=12",
    "data.validation_events=6",
    "data.test_events=6",
    "data.simulation.lsts=2",
    "data.simulation.msts=2",
    "data.simulation.energy_min=0.5",
    "network.filters=[4,6]",
    "network.blocks=[1,1]",
    "network.width=8",
    "network.head_width=4",
    "task.report.worst=0",
    "task.report.observables=[true_energy]",
    *TINY[-5:],
)
"""The same of Cherenkov telescopes; most figures are left out."""
TINY_TANKS = (
    "data.events=40",
    "data.validation_events=60",
    "data.test_events=60",
    "data.parameters=[rec.nHit,rec.zenithAngle,rec.azimuthAngle]",
    "data.conditions=[SimEvent.energyTrue]",
    *TINY[-5:],
)
"""The same of water tanks: a logarithm, a number, an angle; most of the time would go into figures of others."""
TINY_FITS = (
    *(item for item in TINY_TANKS if not item.startswith(("data.parameters", "data.conditions", "run."))),
    "network=hawc_fits",
    "network.trees=5",
    "network.leaves=4",
    "network.least=2",
    "run.compute_mode=cpu",
)
"""The same of a network that is fitted and has no steps."""
TINY_HILLAS = (
    *(item for item in TINY_SHOWERS if not item.startswith(("network.", "run."))),
    "network=cta_hillas",
    "network.trees=5",
    "network.leaves=4",
    "network.least=2",
    "run.compute_mode=cpu",
)
"""The same of telescopes."""
TINY_STACK = (
    *(item for item in TINY_SHOWERS if not item.startswith(("network.", "run."))),
    *(item.replace("network.", "network.member.") for item in TINY_SHOWERS if item.startswith("network.")),
    *(item for item in TINY_HILLAS if item.startswith(("network.", "run."))),
    "network=cta_stack",
)
"""The same over a network with the sizes of `TINY_SHOWERS`, which `mode.weights_location` names."""
SEVEN = tuple(item for item in TINY if not item.startswith(("data.events", "run.iterations"))) + ("data.events=7",)
"""Seven events: minibatches of two leave one, which some of several ranks have no part in."""
SEVEN_TRAIN = ("mode=train", *SEVEN, "mode.no_summary_images=true", "mode.validation_iteration=0")
SEVEN_TRAIN += ("mode.optimizer.schedule.name=constant",)


@dataclass(frozen=True)
class Outcome:
    """Exit code, and what was printed."""

    code: int
    out: str
    err: str


def airshower(*overrides: str) -> Outcome:
    """What `airshower OVERRIDES` does."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with mock.patch.object(sys, "argv", ["airshower", *overrides]):
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                cli()
            except SystemExit as stop:
                code = int(stop.code or 0)
    return Outcome(code, out.getvalue(), err.getvalue())


def airshower_process(output: str, *overrides: str) -> None:
    """The main function of a process that runs `airshower OVERRIDES` and prints into the file `output`."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored where the tests were started by nohup
    with open(output, "w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        sys.argv = ["airshower", *overrides]
        cli()
