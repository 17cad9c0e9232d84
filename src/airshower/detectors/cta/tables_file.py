"""Files of tables as ctapipe's, written to a temporary name until they are whole."""

import contextlib
import datetime
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import airshower
from airshower.detectors.cta import dl1_columns as dl1
from airshower.detectors.cta.dl1_columns import Column
from airshower.detectors.cta.pytables import Table, set_attributes
from airshower.detectors.lartpc.larcv_writer import OutputFile
from airshower.errors import DataError, UserError
from airshower.runtime import folders


class TablesFile:
    """A file that is written to a temporary name, which becomes `path` when all is on disk; `provenance` becomes
    attributes of it, `shapes` are those of columns that are arrays, in whatever table.

    Use as a context manager: it calls `_finish` at the end. After an exception nothing is left and an existing file
    stays as it was. Raises `UserError` if the file can't be made and `DataError` if it can't be written to its end.
    """

    def __init__(self, path: str | Path, provenance: Mapping[str, str] | None = None, **shapes: tuple[int, ...]):
        self.path, self.provenance, self.shapes = Path(path), dict(provenance or {}), shapes
        self.partial = folders.partial(self.path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.output = OutputFile(self.partial)
        except OSError as error:
            raise UserError(f"{self.path}: can't be written ({error.strerror})") from None
        self.file = h5py.File(self.output, "w")
        self.tables: dict[str, Table] = {}

    def __enter__(self) -> "TablesFile":
        return self

    def __exit__(self, kind: type | None, *_: Any) -> None:
        try:
            if kind is None:
                with self._writing():
                    self._finish()
                    self.file.close()
                    self.output.close()
                    self.output.check()
                    os.replace(self.partial, self.path)
        finally:
            with contextlib.suppress(OSError, RuntimeError):
                self.file.close()
            self.output.close()
            self.partial.unlink(missing_ok=True)

    def _finish(self) -> None:
        """Write what is known at the end."""

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
            self.output.check()
        except (OSError, RuntimeError) as error:
            reason = self.output.error or error
            raise DataError(f"{self.path}: can't be written ({getattr(reason, 'strerror', None) or reason})") from None

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
