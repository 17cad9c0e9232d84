"""Files of tables as ctapipe's."""

import datetime
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import airshower
from airshower.detectors.cta.dl1 import columns as dl1
from airshower.detectors.cta.dl1.columns import Column
from airshower.detectors.cta.dl1.pytables import Table, set_attributes
from airshower.runtime.hdf5_output import Hdf5Output


class TablesFile(Hdf5Output):
    """See `Hdf5Output`; `provenance` becomes attributes of the file, `shapes` are those of columns that are arrays, in
    whatever table."""

    def __init__(self, path: str | Path, provenance: Mapping[str, str] | None = None, **shapes: tuple[int, ...]):
        super().__init__(path)
        self.provenance = dict(provenance or {})
        self.shapes = shapes
        self.tables: dict[str, Table] = {}

    def _add(self, path: str, columns: tuple[Column, ...], rows: Any, **shapes: tuple[int, ...]) -> None:
        """Rows (tuples, or an array) to a table, which is made if it isn't there."""
        if path not in self.tables:
            attributes = {
                f"CTAFIELD_{i}_{name}": value for i, c in enumerate(columns) for name, value in c.attributes.items()
            }
            self.tables[path] = Table(self.file, path, dl1.row_type(columns, **self.shapes, **shapes), attributes)
        table = self.tables[path]
        table.append(rows if isinstance(rows, np.ndarray) else np.array(rows, table.row))

    def _describe(self, product: Mapping[str, Any], obs_ids: Iterable[int]) -> None:
        """The attributes of the file: what it is (`product`), who made it and when."""
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        about = {
            "CTA ACTIVITY NAME": "airshower", "CTA ACTIVITY ID": str(uuid.uuid4()), "CTA ACTIVITY START TIME": now,
            "CTA ACTIVITY STOP TIME": now, "CTA ACTIVITY SOFTWARE NAME": "airshower",
            "CTA ACTIVITY SOFTWARE VERSION": airshower.__version__, "CTA PRODUCT CREATION TIME": now,
            "CTA PRODUCT ID": str(uuid.uuid4()), "CTA PROCESS ID": ",".join(map(str, obs_ids)),
        }  # fmt: skip
        pytables = {"CLASS": "GROUP", "TITLE": "", "VERSION": "1.0", "PYTABLES_FORMAT_VERSION": "2.1"}
        set_attributes(self.file, {**pytables, **product, **about, **self.provenance})
