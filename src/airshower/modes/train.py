"""mode=train: optimizer steps up to `run.iterations`, validation, checkpoints; resumes where the run stopped."""

import contextlib
import platform
import time
from typing import Any

import numpy as np
import torch

from airshower.config import record
from airshower.config.schema import TrainConfig
from airshower.data.feeder import Feeder
from airshower.data.plan import Dealer, EntryPlan
from airshower.engine import checkpoint
from airshower.engine.average import WeightAverage
from airshower.engine.checkpoint import CheckpointFolder
from airshower.engine.optimizer import FITTED, Cycle, build_optimizer
from airshower.engine.parallel import ParallelModule, load_optimizer, whole
from airshower.engine.step import Step, TrainedPhase
from airshower.errors import UserError
from airshower.modes.evaluate import Evaluation, evaluate
from airshower.modes.job import Job
from airshower.modes.profile import StepProfile
from airshower.runtime import run_folder, seeds
from airshower.runtime.device import peak_memory
from airshower.runtime.lock import Lock
from airshower.runtime.log import log_to, logger, progress_bar
from airshower.runtime.stop import EXIT_CODE
from airshower.runtime.timers import Timers
from airshower.tasks.task import Phase
from airshower.writers import figures
from airshower.writers.scalars import Scalars

STATE = ("model", "optimizers", "scaler", "plan", "random", "best", "data", "config")
"""What a checkpoint must hold, besides its step, for a run to go on from it."""

EXTENSIONS = {
    "keep": "the rate stays at that schedule's end (others: restart, stretch)",
    "restart": "the schedule starts again here and ends at the new last step (others: keep, stretch)",
    "stretch": "the rate jumps to that of a schedule over all steps (others: keep, restart)",
}


def run(job: Job[TrainConfig]) -> int:
    """Train; returns the exit code: 0, or 75 after a signal, with a checkpoint to resume from. Collective."""
    trainer = Trainer(job)  # first: what can't be built must not cost a run that is there
    with run_folder.claimed(job.ranks, job.folder, job.config, job.settings.run.overwrite) as lock:
        if job.ranks.master:
            log_to(job.folder / "process.log")
        trainer.start(lock)
        trainer.stop.listen()
        stopped = trainer.train()
        trainer.finish()
    return EXIT_CODE if stopped else 0


class Trainer:
    """The state of a training run and its loop. All methods are collective."""

    def __init__(self, job: Job[TrainConfig]):
        assert job.stop is not None
        self.job, self.run, self.mode = job, job.settings.run, job.settings.mode
        self.stop = job.stop
        self.task = job.build_task()
        for selection in (job.splits.train, job.splits.validation):
            if selection is not None:
                self.task.check(selection.source)
        self.network = job.build_network(self.task.outputs)
        self.task.fit(job.splits.train, self.network)
        if self.mode.weights_location:
            path, state = job.ranks.from_master(lambda: checkpoint.find_and_load(self.mode.weights_location))
            checkpoint.load_weights(self.network, state, path)
            logger.info("weights of %s", path)
        optimizer, ranks = self.mode.optimizer, job.ranks
        self.timers = Timers(job.device, self.run.profile)
        self.phases = [self._trained(phase) for phase in self.task.phases(self.network)]
        self.averages = [trained.average for trained in self.phases if trained.average]
        self.do_step = Step(self.task, self.phases, job.precision, ranks, optimizer.clip_norm, self.timers)
        train, size = job.splits.train, self.run.minibatch_size
        step_size = size * optimizer.gradient_accumulation
        self.plan = EntryPlan(train.entries, step_size, job.order, job.settings.framework.seed)
        self.dealer = Dealer(self.plan, size, ranks)
        self.checkpoints = CheckpointFolder(job.folder / "checkpoints", self.mode.keep_checkpoints)
        self.step, self.best, self.validated = 0, -np.inf, -1
        self.cycle = Cycle(0, self.run.iterations)
        self.plan_state = self.plan.state_dict()
        if ranks.size > 1:
            self.do_step.warm_up(train.source.read(train.entries[: self.dealer.largest]).to(job.device))
        self.last: Evaluation | None = None

    def start(self, lock: Lock) -> None:
        """Resume from the newest checkpoint, if there is one; `lock` is the master's on the run's folder."""
        job, self.lock = self.job, lock
        state = job.ranks.from_master(self._newest)
        if state is not None:
            with checkpoint.restoring(job.folder):
                self._restore(state)
            logger.info("resuming %s at step %d of %d", job.folder, self.step, self.run.iterations)
        parameters = sum(p.numel() for p in self.network.parameters() if p.requires_grad)
        logger.info(
            "%d training events, %s parameters, %s on %s%s, output in %s", len(self.plan.entries), f"{parameters:,}",
            self.run.precision, job.device, f", {job.ranks.size} ranks" if job.ranks.size > 1 else "", job.folder,
        )  # fmt: skip
        hosts = job.ranks.gather(platform.node())
        if job.ranks.master:
            self.scalars = Scalars(job.folder, self.step, self.validated)
            about = {
                "step": self.step,
                "parameters": parameters,
                "ranks": job.ranks.size,
                "hosts": list(dict.fromkeys(hosts)),
            }
            run_folder.write_provenance(job.folder, job.overrides, about)

    def train(self) -> bool:
        """Steps up to `run.iterations`, or to the step at which a signal has come to any rank: then True."""
        before = self.validated
        self._validate_if_due()
        if self.step and self.validated != before:  # a stop came before this step's validation
            self._save()
        if self.step >= self.run.iterations:
            logger.info(
                "step %d is reached already; raise run.iterations to go on (mode.extension: with which learning rate)",
                self.step,
            )
            return False
        steps, pin = self.run.iterations - self.step, self.job.device.type == "cuda"
        with Feeder(self.job.splits.train.source, self.dealer, steps, pin=pin) as feeder, progress_bar() as bar:
            line = bar.add_task("training", total=self.run.iterations, completed=self.step, note="")
            with StepProfile(self.job, self.timers) as profile:
                return self._loop(feeder, bar, line, profile)

    def _loop(self, feeder: Feeder, bar: Any, line: Any, profile: StepProfile) -> bool:
        job = self.job
        pace, own_pace, own_images = Pace(feeder), Pace(feeder), 0
        steps = iter(feeder)
        while self.step < self.run.iterations:
            with self.timers("read"):
                dealt, batches = next(steps)
            with self.timers("copy"):
                batches = [batch.to(job.device) for batch in batches]
            rate = self.cycle.rate(self.mode.optimizer, self.step, self.plan.steps_per_epoch)
            measure = (self.step + 1) % self.mode.summary_iteration == 0
            counters = self.do_step(batches, rate, measure, self.step)
            self.step, self.plan_state = self.step + 1, dealt.state
            own_images += sum(len(batch) for batch in batches)
            speed = pace.count(dealt.events)
            if measure:
                with self.timers("metrics"):
                    self._report(counters, speed)
            if self.step % self.mode.logging_iteration == 0 and job.ranks.size > 1:
                self._report_ranks(own_pace.count(own_images))
                own_images = 0
            bar.update(line, completed=self.step, note=f"{speed['images_per_second']:.2f} img/s")
            with self.timers("reduce"):
                stopping = job.ranks.any(self.stop.received is not None)
            if not stopping:
                begun = time.perf_counter()
                with self.timers("validation"):
                    self._validate_if_due()
                pace.restart()
                own_pace.leave_out(time.perf_counter() - begun)
            if stopping or self.step % self.mode.checkpoint_iteration == 0 or self.step == self.run.iterations:
                with self.timers("checkpoint"):
                    self._save()
            profile.step(self.step)
            if stopping:
                logger.info(
                    "stopped at step %d (%s); the same command resumes it",
                    self.step,
                    self.stop.received or "another rank",
                )
                return True
        return False

    def finish(self) -> None:
        """Curves, and where everything is."""
        if not self.job.ranks.master:
            return
        self.scalars.close()
        rows = {name: self.scalars.tables[name].rows() for name in ("train", "validation")}
        if not rows["train"]:
            return
        path = figures.save(
            figures.training_curves(**rows, names=self.task.headline), self.job.folder / "figures" / "training.png"
        )
        if rows["validation"]:
            logger.info("validation: %s", self._line(rows["validation"][-1]))
        logger.info("peak memory %.2f GiB", peak_memory(self.job.device) / 2**30)
        logger.info("figures: %s and the event displays beside it", path)

    def _trained(self, phase: Phase) -> TrainedPhase:
        parallel = ParallelModule(phase.module, self.job.ranks, self.job.settings.framework.distributed_mode)
        self.timers.watch(phase.module)
        average = WeightAverage(self.network, phase.module, phase.average) if phase.average else None
        optimizer = build_optimizer(self.mode.optimizer, phase.module, phase.betas)
        return TrainedPhase(phase, optimizer, parallel, average)

    def _report(self, counters: dict[str, torch.Tensor], speed: dict[str, float]) -> None:
        counters = self.job.ranks.sum_all(counters)
        if not self.job.ranks.master:
            return
        values = self.task.metrics(counters)
        rate = self.phases[0].optimizer.param_groups[0]["lr"]  # as the step scaled it
        self.scalars.write("train", self.step, {**values, "learning_rate": rate, **speed})
        if self.step % self.mode.logging_iteration == 0:
            logger.info(
                "step %d/%d  %s  %.2f img/s  waiting %.0f %%", self.step, self.run.iterations, self._line(values),
                speed["images_per_second"], 100 * speed["wait_share"],
            )  # fmt: skip

    def _report_ranks(self, speed: dict[str, float]) -> None:
        memory = peak_memory(self.job.device) / 2**30
        for rank, row in enumerate(self.job.ranks.gather({**speed, "peak_memory_gib": memory})):
            self.scalars.tables["ranks"].append({"step": self.step, "rank": rank, **row})

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
        with contextlib.ExitStack() as averaged:
            for average in self.averages:
                averaged.enter_context(average.used())
            result = evaluate(self.job, self.task, self.network, selection.source, sample, size, wanted, title)
        self.last, self.validated = result, self.step
        if not self.job.ranks.master:
            return
        self.scalars.write("validation", self.step, result.metrics)
        logger.info(
            "step %d/%d  validation (%d events): %s", self.step, self.run.iterations, len(sample),
            self._line(result.metrics),
        )  # fmt: skip
        for number, (_, figure) in enumerate(result.displays):
            path = figures.save(figure, self.job.folder / "figures" / f"validation_event_{number}.png")
            self.scalars.write_image("validation", self.step, f"event_{number}", path)

    def _line(self, values: dict[str, float]) -> str:
        named = {name: values.get(key, np.nan) for key, name in self.task.headline.items()}
        return "  ".join(f"{name} {value:.4g}" for name, value in named.items() if np.isfinite(value))

    def _save(self) -> None:
        score = self.last.metrics[self.task.score] if self.last and self.validated == self.step else -np.inf
        is_best = score > self.best
        self.best = max(self.best, score)
        ranks = self.job.ranks
        state = {
            "step": self.step,
            "model": whole(self.network.state_dict(), ranks.master),
            "optimizers": [whole(trained.optimizer.state_dict(), ranks.master) for trained in self.phases],
            "balances": [trained.balance_state() for trained in self.phases],
            "averages": [average.state_dict(ranks.master) for average in self.averages],
            "scaler": self.job.precision.scaler.state_dict(),
            "plan": self.plan_state,
            "random": ranks.gather(seeds.random_state(self.job.device)),
            "best": float(self.best),
            "validated": self.validated,
            "cycle": [self.cycle.begin, self.cycle.end],
            "data": self.job.splits.train.source.digest,
            "config": self.job.config,
        }
        if ranks.master:
            self.lock.check()
            self.checkpoints.save(state, is_best)

    def _newest(self) -> dict[str, Any] | None:
        """The master's: the state to go on from. `config.yaml` may have been lost, so it is compared, too."""
        state, folder = self.checkpoints.load_latest(STATE), self.job.folder
        if state is not None:
            with checkpoint.restoring(folder):
                changed = record.differences(state["config"], self.job.config)
            if changed:
                raise UserError(
                    f"{folder}: its checkpoints are of another config ({'; '.join(changed)}); choose another run.id"
                )
        return state

    def _restore(self, state: dict[str, Any]) -> None:
        job, ranks = self.job, self.job.ranks
        if state["data"] != job.splits.train.source.digest:
            raise UserError(f"data.file: is not the file that {job.folder} was trained on; use another run.id")
        checkpoint.load_weights(self.network, state, job.folder, averaged=False)
        for average, means in zip(self.averages, state.get("averages", []), strict=True):
            average.load_state_dict(means)
        for trained, optimizer in zip(self.phases, state["optimizers"], strict=True):
            load_optimizer(trained.optimizer, optimizer)
        for trained, balance in zip(self.phases, state.get("balances", []), strict=False):
            trained.load_balance_state(balance)
        job.precision.scaler.load_state_dict(state["scaler"])
        self.plan.load_state_dict(state["plan"])
        self.plan_state, self.step, self.best = state["plan"], state["step"], state["best"]
        if len(state["random"]) == ranks.size:
            seeds.restore_random_state(state["random"][ranks.rank], job.device)
        else:
            logger.info("the run had %d ranks before: same entries in the same order", len(state["random"]))
            seeds.reseed(job.settings.framework.seed, ranks.rank, self.step)
        self.validated = state.get("validated", self.step)
        self._extend(Cycle(*state.get("cycle", (0, record.flat(state["config"])["run.iterations"]))))

    def _extend(self, before: Cycle) -> None:
        """Take over the cycle of the checkpoint, with a warning where a fitted schedule ended before the run does."""
        total, extension = self.run.iterations, self.mode.extension
        fitted = self.mode.optimizer.schedule.name in FITTED
        self.cycle = before.resumed(extension if fitted else "stretch", self.step, total)
        if fitted and before.end < total and self.step < total and self.job.ranks.master:
            logger.warning(
                "run.iterations=%d: the schedule of the learning rate was for %d steps; mode.extension=%s: %s", total,
                before.end, extension, EXTENSIONS[extension],
            )  # fmt: skip


class Pace:
    """Images per second and the share of time spent waiting for data, since the last count."""

    def __init__(self, feeder: Feeder):
        self.feeder = feeder
        self.restart()

    def restart(self) -> None:
        """Leave what was done since the last count out of the next."""
        self.time, self.waited = time.perf_counter(), self.feeder.waited

    def leave_out(self, seconds: float) -> None:
        """Do not count what was spent on something else."""
        self.time += seconds

    def count(self, images: int) -> dict[str, float]:
        """Close the interval in which `images` were trained on."""
        passed = max(time.perf_counter() - self.time, 1e-9)
        waited = self.feeder.waited - self.waited
        self.restart()
        return {"images_per_second": images / passed, "wait_share": min(1.0, waited / passed)}
