"""mode=train: optimizer steps up to `run.iterations`, validation, checkpoints; resumes where the run stopped."""

import contextlib
import time
from typing import Any

import numpy as np
import torch

from airshower.config import record
from airshower.data.feeder import Feeder
from airshower.data.plan import EntryPlan
from airshower.engine import checkpoint
from airshower.engine.checkpoint import CheckpointFolder
from airshower.engine.optimizer import build_optimizer, learning_rate
from airshower.engine.step import Step, TrainedPhase
from airshower.errors import UserError
from airshower.modes.evaluate import Evaluation, evaluate
from airshower.modes.job import Job
from airshower.runtime import seeds
from airshower.runtime.device import peak_memory
from airshower.runtime.log import log_to, logger, progress_bar
from airshower.runtime.stop import EXIT_CODE, StopSignal
from airshower.writers import figures
from airshower.writers.scalars import Scalars, read_table


def run(job: Job) -> int:
    """Train; returns the exit code: 0, or 75 after a signal, with a checkpoint to resume from."""
    trainer = Trainer(job)  # first: what can't be built must not cost a run that is there
    record.claim(job.folder, job.config, job.settings.run.overwrite)
    log_to(job.folder / "process.log")
    trainer.start()
    record.write_provenance(job.folder, job.overrides, {"step": trainer.step, "ranks": job.ranks.size})
    with StopSignal() as stop:
        trainer.train(stop)
    trainer.finish()
    return EXIT_CODE if stop.received else 0


class Trainer:
    """The state of a training run and its loop."""

    def __init__(self, job: Job):
        self.job, self.run, self.mode = job, job.settings.run, job.settings.mode
        self.task, self.network = job.build_task(), job.build_network()
        if self.mode.weights_location:
            path = checkpoint.find(self.mode.weights_location)
            checkpoint.load_weights(self.network, checkpoint.load(path), path)
            logger.info("weights of %s", path)
        optimizer = self.mode.optimizer
        self.phases = [TrainedPhase(p, build_optimizer(optimizer, p.module)) for p in self.task.phases(self.network)]
        self.do_step = Step(self.task, self.phases, job.precision, job.ranks, optimizer.clip_norm)
        train = job.splits.train
        step_size = self.run.minibatch_size * optimizer.gradient_accumulation
        self.plan = EntryPlan(train.entries, step_size, job.order, job.settings.framework.seed)
        self.checkpoints = CheckpointFolder(job.folder / "checkpoints", self.mode.keep_checkpoints)
        self.step, self.best, self.validated = 0, -np.inf, -1
        self.plan_state = self.plan.state_dict()
        self.last: Evaluation | None = None

    def start(self) -> None:
        """Resume from the newest checkpoint, if there is one."""
        state = self.checkpoints.load_latest()
        if state is not None:
            self._restore(state)
            logger.info("resuming %s at step %d of %d", self.job.folder, self.step, self.run.iterations)
        self.scalars = Scalars(self.job.folder, self.step)
        parameters = sum(parameter.numel() for parameter in self.network.parameters())
        logger.info(
            "%d training events, %s parameters, %s on %s, output in %s",
            len(self.plan.entries), f"{parameters:,}", self.run.precision, self.job.device, self.job.folder,
        )  # fmt: skip

    def train(self, stop: StopSignal) -> None:
        """Steps up to `run.iterations`, or to the step at which a signal has come."""
        if self.step >= self.run.iterations:
            logger.info("step %d is reached already; raise run.iterations to go on", self.step)
            return
        feeder = Feeder(
            self.job.splits.train.source, self.plan, self.run.minibatch_size, self.job.ranks.share,
            self.run.iterations - self.step, pin=self.job.device.type == "cuda",
        )  # fmt: skip
        self._validate_if_due()
        with feeder, progress_bar() as bar:
            self._loop(
                feeder, bar, bar.add_task("training", total=self.run.iterations, completed=self.step, note=""), stop
            )

    def _loop(self, feeder: Feeder, bar: Any, line: Any, stop: StopSignal) -> None:
        pace = Pace(feeder)
        for planned, batches in feeder:
            batches = [batch.to(self.job.device) for batch in batches]
            rate = learning_rate(self.mode.optimizer, self.step, self.run.iterations, self.plan.steps_per_epoch)
            measure = (self.step + 1) % self.mode.summary_iteration == 0
            with _profiled(self.run.profile, self.job, self.step):
                counters = self.do_step(batches, rate, measure)
            self.step, self.plan_state = self.step + 1, planned.state
            speed = pace.count(len(planned.entries))
            if measure:
                self._report(counters, rate, speed)
            bar.update(line, completed=self.step, note=f"{speed['images_per_second']:.2f} img/s")
            stopping = self.job.ranks.any(stop.received is not None)
            if not stopping:
                self._validate_if_due()
                pace.restart()
            if stopping or self.step % self.mode.checkpoint_iteration == 0 or self.step == self.run.iterations:
                self._save()
            if stopping:
                logger.info("stopped at step %d (%s); the same command resumes it", self.step, stop.received)
                return

    def finish(self) -> None:
        """Curves, and where everything is."""
        self.scalars.close()
        tables = {name: table.path for name, table in self.scalars.tables.items() if table.path.exists()}
        if "train" not in tables:
            return
        rows = {name: read_table(tables[name]) if name in tables else [] for name in self.scalars.tables}
        path = figures.save(
            figures.training_curves(**rows, names=self.task.headline), self.job.folder / "figures" / "training.png"
        )
        if rows["validation"]:
            logger.info("validation: %s", self._line(rows["validation"][-1]))
        logger.info("peak memory %.2f GiB", peak_memory(self.job.device) / 2**30)
        logger.info("figures: %s and the event displays beside it", path)

    def _report(self, counters: dict[str, torch.Tensor], rate: float, speed: dict[str, float]) -> None:
        counters = {name: self.job.ranks.sum(value) for name, value in counters.items()}
        values = self.task.metrics(counters)
        self.scalars.write("train", self.step, {**values, "learning_rate": rate, **speed})
        if self.step % self.mode.logging_iteration == 0:
            logger.info(
                "step %d/%d  %s  %.2f img/s  waiting %.0f %%", self.step, self.run.iterations, self._line(values),
                speed["images_per_second"], 100 * speed["wait_share"],
            )  # fmt: skip

    def _validate_if_due(self) -> None:
        selection, interval = self.job.splits.validation, self.mode.validation_iteration
        due = interval and (self.step % interval == 0 or self.step == self.run.iterations)
        if selection is None or not due or self.validated == self.step:
            return
        size = self.run.aux_minibatch_size or self.run.minibatch_size
        # the same sample every time, so that the curve shows the network and not the draw
        sample = np.random.default_rng(self.job.settings.framework.seed).permutation(selection.entries)
        sample = sample[: self.run.aux_iterations * size]
        wanted = 0 if self.mode.no_summary_images else 2
        title = f"step {self.step}, validation event"
        result = evaluate(self.job, self.task, self.network, selection.source, sample, size, wanted, title)
        self.last, self.validated = result, self.step
        self.scalars.write("validation", self.step, result.metrics)
        logger.info(
            "step %d/%d  validation (%d events): %s", self.step, self.run.iterations, len(sample),
            self._line(result.metrics),
        )  # fmt: skip
        for number, (_, figure) in enumerate(result.displays):
            path = figures.save(figure, self.job.folder / "figures" / f"validation_event_{number}.png")
            self.scalars.write_image("validation", self.step, f"event_{number}", path)

    def _line(self, values: dict[str, float]) -> str:
        return "  ".join(f"{name} {values[key]:.4g}" for key, name in self.task.headline.items())

    def _save(self) -> None:
        score = self.last.metrics[self.task.score] if self.last and self.validated == self.step else -np.inf
        is_best = score > self.best
        self.best = max(self.best, score)
        state = {
            "step": self.step,
            "model": self.network.state_dict(),
            "optimizers": [trained.optimizer.state_dict() for trained in self.phases],
            "scaler": self.job.precision.scaler.state_dict(),
            "plan": self.plan_state,
            "random": [seeds.random_state(self.job.device)],
            "best": float(self.best),
            "data": self.job.splits.train.source.digest,
            "config": self.job.config,
        }
        self.checkpoints.save(state, is_best)

    def _restore(self, state: dict[str, Any]) -> None:
        if state["data"] != self.job.splits.train.source.digest:
            raise UserError(f"data.file: is not the file that {self.job.folder} was trained on; use another run.id")
        checkpoint.load_weights(self.network, state, self.job.folder)
        for trained, optimizer in zip(self.phases, state["optimizers"], strict=True):
            trained.optimizer.load_state_dict(optimizer)
        self.job.precision.scaler.load_state_dict(state["scaler"])
        self.plan.load_state_dict(state["plan"])
        self.plan_state, self.step, self.best = state["plan"], state["step"], state["best"]
        seeds.restore_random_state(state["random"][0], self.job.device)
        self.validated = self.step


class Pace:
    """Images per second and the share of time spent waiting for data, since the last count."""

    def __init__(self, feeder: Feeder):
        self.feeder = feeder
        self.restart()

    def restart(self) -> None:
        """Leave what was done since the last count out of the next."""
        self.time, self.waited = time.perf_counter(), self.feeder.waited

    def count(self, images: int) -> dict[str, float]:
        """Close the interval in which `images` were trained on."""
        passed = max(time.perf_counter() - self.time, 1e-9)
        waited = self.feeder.waited - self.waited
        self.restart()
        return {"images_per_second": images / passed, "wait_share": min(1.0, waited / passed)}


def _profiled(wanted: bool, job: Job, step: int) -> Any:
    """torch's profiler around a step, its trace in `profiles/`; nothing unless wanted."""
    if not wanted:
        return contextlib.nullcontext()
    folder = job.folder / "profiles"
    folder.mkdir(exist_ok=True)
    path = str(folder / f"step_{step:08d}.json")
    return torch.profiler.profile(on_trace_ready=lambda profile: profile.export_chrome_trace(path))
