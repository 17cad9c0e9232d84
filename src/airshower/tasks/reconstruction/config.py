"""`task.*` of reconstruction, and the targets that it asks for."""

import dataclasses
import difflib
from dataclasses import dataclass, field
from typing import Any

from airshower.config.fields import check, choice, number, section
from airshower.data.truth import CLASS, DIRECTION, NUMBER, POSITION, Column
from airshower.errors import UserError
from airshower.tasks.reconstruction.classes import ClassTarget
from airshower.tasks.reconstruction.performance import ReportConfig
from airshower.tasks.reconstruction.targets import Target, TargetConfig, regression


@dataclass
class ShortTypeConfig:
    """`task.type.*`: short for `task.targets.type.*`."""

    weight: float | None = None
    class_weights: Any = None


@dataclass
class ShortConfig:
    """`task.energy.*` and its like: short for `task.targets.energy.*`."""

    weight: float | None = None
    loss: str | None = None


SHORT = {"type": "primary", "energy": "energy", "direction": "direction", "core": "core", "x_max": "x_max"}
"""Targets whose keys may be given without `targets`, and their columns; data may lack these."""

OPTIONS = {
    CLASS: ("class_weights",),
    NUMBER: ("loss", "unit", "log10", "middle", "scale"),
    DIRECTION: ("loss",),
    POSITION: ("loss", "unit", "scale"),
}
"""Options of a target, beside its column and weight, by the kind of its column."""


@dataclass
class ReconstructionConfig:
    """`task.*`."""

    targets: dict[str, TargetConfig] = field(default_factory=dict)
    type: ShortTypeConfig = section(ShortTypeConfig)
    energy: ShortConfig = section(ShortConfig)
    direction: ShortConfig = section(ShortConfig)
    core: ShortConfig = section(ShortConfig)
    x_max: ShortConfig = section(ShortConfig)
    signal: str = "gamma"
    only_gammas: bool = True
    balance: str = choice("fixed", "uncertainty")
    balance_learning_rate: float = number(0.025, above=0.0)
    scale_learning_rate: bool = False
    report: ReportConfig = section(ReportConfig)


def asked_targets(config: ReconstructionConfig, columns: tuple[Column, ...]) -> dict[str, Target]:
    """All targets whose column this kind of data has, those of weight 0, too. Raises `UserError` where none is left
    that has a weight, for other targets than the usual ones without their column, and for options that do not fit.

    The metrics and scores of the first class target that has a weight have no prefix.
    """
    by_name = {column.name: column for column in columns}
    first = True
    signal = signal_row(config, columns)
    targets: dict[str, Target] = {}
    wanted = {name: _merged(config, name) for name in config.targets}
    for name, options in wanted.items():
        column = by_name.get(options.column or name)
        if column is None:
            if options.weight and SHORT.get(name) != (options.column or name):
                raise UserError(_no_column(name, options.column or name, list(by_name)))
            continue
        _check_options(name, options, column)
        if column.kind == CLASS:
            prefix = "" if first and options.weight else f"{name}/"
            targets[name] = ClassTarget(name, options, column, max(_row(config.signal, column.classes), 0), prefix)
            first = first and bool(prefix)
        else:
            targets[name] = regression(name, options, column, config.only_gammas and signal >= 0)
    if not any(target.config.weight for target in targets.values()):
        able = [name for name, options in wanted.items() if (options.column or name) in by_name]
        weighted = [options.column or name for name, options in wanted.items() if options.weight]
        if able:
            raise UserError(f"task.targets: all weights are 0; give one of {', '.join(able)} another")
        raise UserError(
            f"task.targets: this data has no true {', '.join(weighted)}; it has {', '.join(by_name) or 'no truth'}"
        )
    return targets


def _merged(config: ReconstructionConfig, name: str) -> TargetConfig:
    """The options of a target, those given by its short keys, too."""
    options = config.targets[name]
    short = getattr(config, name) if name in SHORT else None
    given = {key: value for key, value in vars(short).items() if value is not None} if short else {}
    merged = dataclasses.replace(options, **given)
    check(merged, f"task.targets.{name}")
    return merged


def _check_options(name: str, options: TargetConfig, column: Column) -> None:
    """Raise `UserError` for an option that is given, but does not fit the column's kind."""
    fitting = OPTIONS[column.kind]
    for key, default in vars(TargetConfig()).items():
        if key not in ("column", "weight", *fitting) and getattr(options, key) != default:
            raise UserError(
                f"task.targets.{name}.{key}: does not fit {column.name}, a {column.kind} that has {', '.join(fitting)}"
            )


def _no_column(name: str, column: str, columns: list[str]) -> str:
    near = difflib.get_close_matches(column, columns, n=1)
    hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(columns) or 'no truth'}"
    return f"task.targets.{name}.column={column}: this data has no such truth; {hint}"


def _row(signal: str, classes: tuple[str, ...]) -> int:
    """The row of the signal among classes, -1 if it is none of them."""
    return next((row for row, name in enumerate(classes) if signal in name.split("+")), -1)


def signal_row(config: ReconstructionConfig, columns: tuple[Column, ...]) -> int:
    """The row of the signal among the classes of the first class target, -1 where there is none. Raises `UserError`
    where something is to be learned from the signal alone and it is none of the classes."""
    by_name = {column.name: column for column in columns}
    wanted = [by_name.get(options.column or name) for name, options in config.targets.items()]
    classes = next((column.classes for column in wanted if column is not None and column.kind == CLASS), ())
    row = _row(config.signal, classes)
    if classes and row < 0 and config.only_gammas:
        learned = [column for column in wanted if column is not None and column.kind != CLASS]
        weights = [_merged(config, name).weight for name in config.targets]
        if any(column in learned and weight for column, weight in zip(wanted, weights, strict=True)):
            raise UserError(
                f"task.only_gammas: none of the classes {', '.join(classes)} is task.signal={config.signal}; use "
                "task.only_gammas=false, or name another signal"
            )
    return row
