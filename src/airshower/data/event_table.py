"""Tables of events for people: named columns with units."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from airshower.runtime.folders import whole
from airshower.runtime.packages import imported

SHOWN = 8  # rows at most in `repr`


@dataclass(frozen=True, eq=False)
class EventTable:
    """Columns [events] by name, with their `units` ("" or nothing where there is none).

    `parts` is a table of what the events are made of, such as pixels or hits, with a column `event`, the row in this
    table; None where there is no such table.
    """

    columns: Mapping[str, np.ndarray]
    units: Mapping[str, str]
    parts: "EventTable | None" = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __getitem__(self, name: str) -> np.ndarray:
        """The column of this name. Raises `KeyError` that says which there are."""
        if name not in self.columns:
            raise KeyError(f"{name}: there is no such column; there are {', '.join(self.columns)}")
        return self.columns[name]

    def keys(self) -> list[str]:
        """Names of the columns."""
        return list(self.columns)

    def unit(self, name: str) -> str:
        """The unit of a column; "" for a number without one, a class or a text."""
        return self.units.get(name, "")

    def rows(self, chosen: Any) -> Self:
        """Some of the rows, without `parts`."""
        return type(self)({name: column[chosen] for name, column in self.columns.items()}, self.units)

    @classmethod
    def joined(cls, tables: Sequence[Self]) -> Self:
        """The rows of all tables, which have the same columns; at least one table."""
        first = tables[0]
        columns = {name: np.concatenate([table.columns[name] for table in tables]) for name in first.columns}
        if first.parts is None:
            return cls(columns, first.units)
        begin = np.cumsum([0, *map(len, tables)])
        parts = [
            EventTable({**table.parts.columns, "event": table.parts["event"] + start}, table.parts.units)
            for table, start in zip(tables, begin[:-1], strict=True)
            if table.parts is not None
        ]
        return cls(columns, first.units, EventTable.joined(parts))

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame`; units are in its `attrs`."""
        frame = imported("pandas").DataFrame(dict(self.columns))
        frame.attrs["units"] = dict(self.units)
        return frame

    def to_astropy(self) -> Any:
        """An `astropy.table.Table` whose columns have units."""
        table = imported("astropy.table").Table(dict(self.columns))
        units = imported("astropy.units")
        for name, unit in self.units.items():
            if unit and name in self.columns:
                table[name].unit = units.Unit(unit, parse_strict="silent")
        return table

    def to_npz(self, path: str | Path) -> None:
        """Write the columns as arrays of an NPZ file, and their units as the array `units` of names and units."""
        names = [[name, self.unit(name)] for name in self.columns]
        arrays: dict[str, Any] = {**self.columns, "units": np.array(names, str).reshape(-1, 2)}
        with whole(Path(path)) as handle:
            np.savez(handle, **arrays)

    def to_parquet(self, path: str | Path) -> None:
        """Write the columns as a Parquet file; each field's metadata has its `unit`."""
        arrow, parquet = imported("pyarrow"), imported("pyarrow.parquet")
        arrays = [arrow.array(column) for column in self.columns.values()]
        fields = [
            arrow.field(name, array.type, metadata={"unit": self.unit(name)})
            for name, array in zip(self.columns, arrays, strict=True)
        ]
        with whole(Path(path)) as handle:
            parquet.write_table(arrow.Table.from_arrays(arrays, schema=arrow.schema(fields)), handle)

    def __repr__(self) -> str:
        heads = [f"{name} ({self.unit(name)})" if self.unit(name) else name for name in self.columns]
        cells = [[_cell(value) for value in column[:SHOWN]] for column in self.columns.values()]
        widths = [max(map(len, [head, *column])) for head, column in zip(heads, cells, strict=True)]
        lines = [
            "  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True))
            for row in [heads, *zip(*cells, strict=True)]
        ]
        if len(self) > SHOWN:
            lines.append(f"... {len(self)} rows")
        return "\n".join(lines)


def _cell(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float | np.floating) else str(value)
