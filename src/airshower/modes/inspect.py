"""mode=inspect: what files hold, before anything is trained: a report, figures and a page. No network is built."""

import json
import re
from pathlib import Path

import numpy as np

from airshower.config.schema import InspectConfig
from airshower.data.channels import channels
from airshower.data.feeder import Feeder
from airshower.data.order import OrderConfig
from airshower.data.plan import Dealer, EntryPlan
from airshower.data.splits import Selection, Splits
from airshower.data.truth import Columns
from airshower.modes.job import Job
from airshower.runtime import run_folder
from airshower.runtime.folders import write_whole
from airshower.runtime.log import logger, progress_bar
from airshower.writers.event_displays import display_event
from airshower.writers.figures import save
from airshower.writers.inspection import console
from airshower.writers.inspection.figures import channel_figures, layout_figures, truth_figures
from airshower.writers.inspection.page import Drawing, page
from airshower.writers.inspection.record import report
from airshower.writers.inspection.tally import Tally
from airshower.writers.page import svg

SPLITS = ("train", "validation", "test")
"""What is opened before the run starts."""
AT_ONCE = 8  # events that a rank reads at a time
Tallies = dict[tuple[str, str], Tally]


def run(job: Job[InspectConfig]) -> int:
    """Describe all entries by their truth, and `mode.events` of them by what is read of them; return 0. Collective."""
    folder = job.folder / "inspect"
    ranks = job.ranks
    pools = pooled(job.splits)
    chosen = spread(pools, job.settings.mode.events)
    with run_folder.claimed(ranks, folder, job.config, overwrite=True):
        everyone = ranks.gather(_read(job, chosen))
        if ranks.master:
            _write(job, folder, pools, chosen, joined(everyone))
        ranks.barrier(patient=True)
    return 0


def pooled(splits: Splits) -> list[Selection]:
    """The sources of all splits, with each of their entries once, in ascending order."""
    entries: dict[int, list[np.ndarray]] = {}
    sources = {}
    for part in splits.selections(SPLITS):
        sources[id(part.source)] = part.source
        entries.setdefault(id(part.source), []).append(part.entries)
    return [Selection(source, np.unique(np.concatenate(entries[key]))) for key, source in sources.items()]


def spread(pools: list[Selection], count: int) -> list[Selection]:
    """That many entries of all, evenly spread over them; 0: all."""
    total = sum(len(pool.entries) for pool in pools)
    wanted = min(count or total, total)
    rows = np.arange(wanted) * total // max(wanted, 1)
    ends = np.cumsum([len(pool.entries) for pool in pools])
    parts = np.split(rows, np.searchsorted(rows, ends[:-1]))
    return [
        Selection(pool.source, pool.entries[part - (end - len(pool.entries))])
        for pool, part, end in zip(pools, parts, ends, strict=True)
    ]


def joined(everyone: list[Tallies]) -> list[Tally]:
    """The channels of all ranks."""
    whole: Tallies = {}
    for tallies in everyone:
        for key, tally in tallies.items():
            if key in whole:
                whole[key].joined(tally)
            else:
                whole[key] = tally
    return list(whole.values())


def _read(job: Job, chosen: list[Selection]) -> Tallies:
    """The channels of this rank's part of the chosen entries. Collective."""
    tallies: Tallies = {}
    size = AT_ONCE * job.ranks.size
    offset = 0
    total = sum(len(part.entries) for part in chosen)
    logger.info("inspect: reading %d entries", total)
    with progress_bar() as bar:
        line = bar.add_task("reading entries", total=total, note="")
        for part in chosen:
            plan = EntryPlan(part.entries, size, OrderConfig("serial"))
            dealer = Dealer(plan, size, job.ranks)
            steps = plan.steps_per_epoch
            with Feeder(part.source, dealer, steps, job.settings.framework.reading_threads) as feeder:
                for step, batches in feeder:
                    for batch in batches:
                        places = offset + np.searchsorted(part.entries, batch.entries)
                        for channel in channels(part.source.spec, batch):
                            key = channel.container, channel.name
                            tallies.setdefault(key, Tally(channel)).add(channel, places)
                    bar.update(line, advance=step.events)
            offset += len(part.entries)
    return tallies


def _write(job: Job, folder: Path, pools: list[Selection], chosen: list[Selection], tallies: list[Tally]) -> None:
    spec = pools[0].source.spec
    truth = _truth(pools)
    splits = _rows(job.splits, pools)
    ids = [pool.source.event_ids[pool.entries] for pool in pools]
    record = report(spec, [pool.source.contents() for pool in pools], ids, splits, truth, tallies)
    write_whole(folder / "report.json", json.dumps(record, indent=1) + "\n")
    run_folder.write_provenance(folder, job.overrides, {"ranks": job.ranks.size})
    for line in console.lines(record):
        logger.info("%s", line)
    drawings: list[Drawing] = []
    drawn = [*truth_figures(spec.truth, truth, splits), *layout_figures(spec), *channel_figures(tallies)]
    for section, name, draw in drawn:
        figure = draw()
        drawings.append((section, name, svg(figure, name)))
        save(figure, folder / "figures" / f"{section}_{_file_name(name)}.png")
    displays = _displays(spread(chosen, job.settings.mode.displays) if job.settings.mode.displays else [], folder)
    provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))[-1]
    files = record["files"]
    title = Path(files[0]).name if len(files) == 1 else f"{len(files)} files" if files else "simulated events"
    write_whole(folder / "index.html", page(title, record, drawings, displays, provenance))
    logger.info("open %s; report: %s", folder / "index.html", folder / "report.json")


def _truth(pools: list[Selection]) -> Columns:
    """The columns of truth that all sources have, of all their entries."""
    parts = [pool.source.truth(pool.entries) for pool in pools]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0] if all(name in p for p in parts)}


def _rows(splits: Splits, pools: list[Selection]) -> dict[str, np.ndarray]:
    """Of each split the rows of its entries among those of all pools."""
    rows = {}
    for name in SPLITS:
        rows[name] = np.zeros(0, np.int64)
        for part in splits.selections((name,)):
            offset = 0
            for pool in pools:
                if pool.source is part.source:
                    rows[name] = offset + np.searchsorted(pool.entries, part.entries)
                offset += len(pool.entries)
    return rows


def _displays(shown: list[Selection], folder: Path) -> list[tuple[str, Path]]:
    """Draw events; their captions and files."""
    drawn = []
    for part in shown:
        for entry in part.entries.tolist():
            batch = part.source.read(np.array([entry]))
            ids = ", ".join(
                f"{name} {value}" for name, value in zip(part.source.spec.ids, batch.event_ids[0], strict=False)
            )
            figure = display_event(part.source.spec, batch, 0, f"entry {entry}: {ids}")
            if figure is not None:
                path = folder / "figures" / f"event_{len(drawn) + 1}.png"
                drawn.append((f"entry {entry}: {ids}", save(figure, path)))
    return drawn


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)
