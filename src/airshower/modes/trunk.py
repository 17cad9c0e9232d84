"""Training of a network that is fitted over the outputs of another, trained one."""

import dataclasses

from torch import nn

from airshower.config import record
from airshower.config.schema import TrainConfig
from airshower.engine import checkpoint
from airshower.errors import UserError
from airshower.modes.job import Job
from airshower.runtime.log import logger


def over_trunk(job: Job[TrainConfig], trunk: nn.Module) -> Job[TrainConfig]:
    """The job with the events that are held out from the training of a network whose weights are put into `trunk`.
    Raises `UserError` where these are not known to be other events."""
    location = job.settings.mode.weights_location
    if not location:
        raise UserError("mode.weights_location: name the run of the trained network that this one is fitted over")
    path, state = job.ranks.from_master(lambda: checkpoint.find_and_load(location))
    checkpoint.load_weights(trunk, state, path)
    with checkpoint.restoring(path):
        seed = record.flat(state["config"])["framework.seed"]
        changed = [line for line in job.config.changes(state["config"]) if line.startswith("data.")]
    if seed != job.settings.framework.seed:
        changed.append(f"framework.seed: {seed} -> {job.settings.framework.seed}")
    if changed:
        raise UserError(
            f"mode.weights_location={location}: was trained with other data ({'; '.join(changed)}), and events that it "
            "was not trained on must be known; give the same"
        )
    logger.info("weights of %s; fitted to half of the events that it was validated on", path)
    return dataclasses.replace(job, splits=job.splits.held_out(job.settings.framework.seed))
