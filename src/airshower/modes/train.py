"""mode=train: optimizer steps up to `run.iterations`, validation, checkpoints; resumes where the run stopped.
A network without weights to optimise is fitted by its task, validated and saved as step 0."""

import contextlib
import platform
import time
from functools import partial
from typing import Any

import numpy as np
import torch

from airshower.config import record
from airshower.config.schema import TrainConfig
from airshower.data.described import described
from airshower.data.feeder import Feeder
from airshower.data.plan import Dealer, EntryPlan
from airshower.data.shares import Shares
from airshower.engine import checkpoint
from airshower.engine.checkpoint import CheckpointFolder
from airshower.engine.optimizer import FITTED, Cycle
from airshower.engine.parallel import load_optimizer, whole
from airshower.engine.step import Step, TrainedPhase
from airshower.errors import UserError
from airshower.modes.evaluate import Evaluation, RegularEvaluation, evaluate
from airshower.modes.job import Job
from airshower.modes.pace import Pace
from airshower.modes.profile import StepProfile
from airshower.modes.trunk import over_trunk
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

SPLITS = ("train", "validation")
"""What is opened before the run starts."""


def run(job: Job[TrainConfig]) -> int:
    """Train; returns the exit code: 0, or 75 after a signal, with a checkpoint to resume from. Collective."""
    trainer = Trainer(job)  # first: an error here must not overwrite an existing run
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
        self.job = job
        self.run = job.settings.run
        self.mode = job.settings.mode
        self.stop = job.stop
        self.evaluated_at_once = self.run.aux_minibatch_size or self.run.minibatch_size
        self.task = job.build_task()
        for selection in (job.splits.train, job.splits.validation):
            if selection is not None:
                self.task.check(selection.source)
        self.network = job.build_network(self.task.outputs)
        if (trunk := getattr(self.network, "trunk", None)) is not None:
            self.job = job = over_trunk(job, trunk)
        self.task.fit(job.splits.train, self.network)
        if self.mode.weights_location and trunk is None:
            path, state = job.ranks.from_master(lambda: checkpoint.find_and_load(self.mode.weights_location))
            checkpoint.start_from(self.network, state, path)
            logger.info("weights of %s", path)
        optimizer = self.mode.optimizer
        ranks = job.ranks
        self.timers = Timers(job.device, self.run.profile)
        self.phases = [self._trained(phase) for phase in self.task.phases(self.network)]
        if not self.phases:  # with phases the engine gives all ranks the master's weights
            buffers = self.network.state_dict().items()
            self.network.load_state_dict(ranks.from_master(lambda: {name: value.cpu() for name, value in buffers}))
        self.averages = [trained.average for trained in self.phases if trained.average]
        self.do_step = Step(self.task, self.phases, job.precision, ranks, optimizer.clip_norm, self.timers)
        train = job.splits.train
        size = self.run.minibatch_size
        step_size = size * optimizer.gradient_accumulation
        seed = job.settings.framework.seed
        shares = Shares(train.entries, train.source, job.order) if job.order.share < 1.0 else None
        self.plan = EntryPlan(train.entries, step_size, job.order, seed, train.source.file_ends(), shares)
        self.dealer = Dealer(self.plan, size, ranks)
        self.checkpoints = CheckpointFolder(job.folder / "checkpoints", self.mode.keep_checkpoints)
        self.step, self.best = 0, -np.inf
        self.validation, training_set = self._validation(), self._evaluation_of_training_set()
        self.regular = [self.validation, training_set] if self.validation else [training_set]
        self.cycle = Cycle(0, self.run.iterations)
        self.plan_state = self.plan.state_dict()
        if ranks.size > 1 and self.phases:
            self.do_step.warm_up(train.source.read(train.entries[: self.dealer.largest]).to(job.device))

    def start(self, lock: Lock) -> None:
        """Resume from the newest checkpoint, if there is one; `lock` is the master's on the run's folder."""
        job = self.job
        self.lock = lock
        state = job.ranks.from_master(self._newest)
        if state is not None:
            with checkpoint.restoring(job.folder):
                self._restore(state)
            logger.info("resuming %s at step %d of %d", job.folder, self.step, self.run.iterations)
        parameters = sum(p.numel() for p in self.network.parameters() if p.requires_grad)
        logger.info(
            "%d training events, %s parameters, %s on %s%s, output in %s", len(self.plan.entries), f"{parameters:,}",
            job.precision.name, job.device, f", {job.ranks.size} ranks" if job.ranks.size > 1 else "", job.folder,
        )  # fmt: skip
        hosts = job.ranks.gather(platform.node())
        if job.ranks.master:
            done = {evaluation.name: evaluation.done for evaluation in self.regular}
            self.scalars = Scalars(job.folder, self.step, done)
            about = {
                "step": self.step,
                "parameters": parameters,
                "ranks": job.ranks.size,
                "hosts": list(dict.fromkeys(hosts)),
            }
            run_folder.write_provenance(job.folder, job.overrides, about)

    def train(self) -> bool:
        """Train up to `run.iterations`. Returns True if a signal on any rank stopped it before."""
        evaluated = self._evaluate_if_due()
        if not self.phases:
            self._save()
            return False
        if evaluated and self.step:  # the run stopped before this step's evaluation
            self._save()
        if self.step >= self.run.iterations:
            logger.info(
                "step %d is reached already; raise run.iterations to go on (mode.extension: with which learning rate)",
                self.step,
            )
            return False
        steps = self.run.iterations - self.step
        pin = self.job.device.type == "cuda"
        source = self.job.splits.train.source
        threads = self.job.settings.framework.reading_threads
        change = partial(source.augmented, seed=self.job.settings.framework.seed)
        with Feeder(source, self.dealer, steps, threads, pin=pin, change=change) as feeder, progress_bar() as bar:
            line = bar.add_task("training", total=self.run.iterations, completed=self.step, note="")
            with StepProfile(self.job, self.timers) as profile:
                return self._loop(feeder, bar, line, profile)

    def _loop(self, feeder: Feeder, bar: Any, line: Any, profile: StepProfile) -> bool:
        job = self.job
        pace = Pace(feeder)
        own_pace = Pace(feeder)
        own_images = 0
        steps = iter(feeder)
        while self.step < self.run.iterations:
            with self.timers("read"):
                dealt, batches = next(steps)
            with self.timers("copy"):
                batches = [batch.to(job.device) for batch in batches]
            rate = self.cycle.rate(self.mode.optimizer, self.step, self.plan.steps_per_epoch)
            measure = (self.step + 1) % self.mode.summary_iteration == 0
            counters = self.do_step(batches, rate, measure, self.step)
            self.step = self.step + 1
            self.plan_state = dealt.state
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
                    self._evaluate_if_due()
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
        """Draw the training curves and log the output paths."""
        if not self.job.ranks.master:
            return
        self.scalars.close()
        rows = {name: self.scalars.tables[name].rows() for name in ("train", "validation", "training_set")}
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
        distributed_mode = self.job.settings.framework.distributed_mode
        trained = TrainedPhase.of(phase, self.network, self.mode.optimizer, self.job.ranks, distributed_mode)
        self.timers.watch(phase.module)
        return trained

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

    def _validation(self) -> RegularEvaluation | None:
        """The evaluation of a fixed sample of validation events, so that the curve has no sampling noise; None if no
        events are held out."""
        selection = self.job.splits.validation
        if selection is None:
            return None
        shuffled = np.random.default_rng(self.job.settings.framework.seed).permutation(selection.entries)
        sample = shuffled[: self.run.aux_iterations * self.evaluated_at_once]
        interval = self.mode.validation_iteration
        displays = 0 if self.mode.no_summary_images else 2
        return RegularEvaluation("validation", selection.source, sample, interval, displays=displays)

    def _evaluation_of_training_set(self) -> RegularEvaluation:
        """The evaluation of all training events, after epochs."""
        selection = self.job.splits.train
        interval = self.mode.training_set_epochs * self.plan.steps_per_epoch
        return RegularEvaluation("training_set", selection.source, selection.entries, interval, first=1)

    def _evaluate_if_due(self) -> bool:
        """Make the evaluations that are due; returns True if there were any."""
        due = [evaluation for evaluation in self.regular if evaluation.due(self.step, self.run.iterations)]
        for evaluation in due:
            title = f"step {self.step}, {evaluation.name} event"
            size = self.evaluated_at_once
            entries = evaluation.entries
            displays = evaluation.displays
            with contextlib.ExitStack() as averaged:
                for average in self.averages:
                    averaged.enter_context(average.used())
                result = evaluate(self.job, self.task, self.network, evaluation.source, entries, size, displays, title)
            evaluation.newest = result
            evaluation.done = self.step
            if self.job.ranks.master:
                self._record(evaluation.name, result, len(entries))
        return bool(due)

    def _record(self, name: str, result: Evaluation, events: int) -> None:
        self.scalars.write(name, self.step, result.metrics)
        logger.info(
            "step %d/%d  %s (%d events): %s", self.step, self.run.iterations, name.replace("_", " "), events,
            self._line(result.metrics),
        )  # fmt: skip
        for number, (_, figure) in enumerate(result.displays):
            path = figures.save(figure, self.job.folder / "figures" / f"{name}_event_{number}.png")
            self.scalars.write_image(name, self.step, f"event_{number}", path)

    def _line(self, values: dict[str, float]) -> str:
        named = {name: values.get(key, np.nan) for key, name in self.task.headline.items()}
        return "  ".join(f"{name} {value:.4g}" for name, value in named.items() if np.isfinite(value))

    def _save(self) -> None:
        validated = self.validation.at(self.step) if self.validation else None
        score = validated.metrics[self.task.score] if validated else -np.inf
        is_best = score > self.best
        self.best = max(self.best, score)
        job = self.job
        ranks = job.ranks
        state = {
            "step": self.step,
            "model": whole(self.network.state_dict(), ranks.master),
            "outputs": list(self.task.outputs),
            "spec": described(job.splits.train.source.spec),
            "version": record.version("airshower"),
            "optimizers": [whole(trained.optimizer.state_dict(), ranks.master) for trained in self.phases],
            "balances": [trained.balance_state() for trained in self.phases],
            "averages": [average.state_dict(ranks.master) for average in self.averages],
            "scaler": job.precision.scaler.state_dict(),
            "plan": self.plan_state,
            "random": ranks.gather(seeds.random_state(job.device)),
            "best": float(self.best),
            "evaluated": {evaluation.name: evaluation.done for evaluation in self.regular},
            "cycle": [self.cycle.begin, self.cycle.end],
            "data": job.splits.train.source.digest,
            "config": job.config.text,
        }
        if ranks.master:
            self.lock.check()
            self.checkpoints.save(state, is_best)

    def _newest(self) -> dict[str, Any] | None:
        """The master's newest state to resume from. `config.yaml` may have been lost, so the config is compared,
        too."""
        state = self.checkpoints.load_latest(STATE)
        folder = self.job.folder
        if state is not None:
            with checkpoint.restoring(folder):
                changed = self.job.config.changes(state["config"])
            if changed:
                raise UserError(
                    f"{folder}: its checkpoints are of another config ({'; '.join(changed)}); choose another run.id"
                )
        return state

    def _restore(self, state: dict[str, Any]) -> None:
        job = self.job
        ranks = self.job.ranks
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
        self.plan_state = state["plan"]
        self.step = state["step"]
        self.best = state["best"]
        if len(state["random"]) == ranks.size:
            seeds.restore_random_state(state["random"][ranks.rank], job.device)
        else:
            logger.info("the run had %d ranks before: same entries in the same order", len(state["random"]))
            seeds.reseed(job.settings.framework.seed, ranks.rank, self.step)
        # checkpoints of older versions have the step of the validation only
        evaluated = state.get("evaluated", {"validation": state.get("validated", self.step)})
        for evaluation in self.regular:
            evaluation.done = evaluated.get(evaluation.name, -1)
        self._extend(Cycle(*state.get("cycle", (0, record.flat(state["config"])["run.iterations"]))))

    def _extend(self, before: Cycle) -> None:
        """Continue the cycle of the checkpoint, with a warning if a fitted schedule ends before the run."""
        total = self.run.iterations
        extension = self.mode.extension
        fitted = self.mode.optimizer.schedule.name in FITTED
        self.cycle = before.resumed(extension if fitted else "stretch", self.step, total)
        if fitted and before.end < total and self.step < total and self.job.ranks.master:
            logger.warning(
                "run.iterations=%d: the schedule of the learning rate was for %d steps; mode.extension=%s: %s", total,
                before.end, extension, EXTENSIONS[extension],
            )  # fmt: skip
