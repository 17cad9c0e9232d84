"""XCDF files whose scalars come from the index of many files, and whose hits are read when they are wanted."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from airshower.data.handles import check_unchanged
from airshower.data.index import FileIndex, Indexed
from airshower.data.index_table import OPTIONAL, Entry
from airshower.detectors.hawc.xcdf.block import Columns
from airshower.detectors.hawc.xcdf.file import KEPT_BYTES, XcdfFile

VERSION = 1  # raise when entries of the index change


def xcdf_index(scalars: Sequence[str]) -> FileIndex:
    """The index of XCDF files with the values of these fields of all events, where files have them."""

    def read(path: Path, entry: Entry, names: Sequence[str]) -> Entry:
        file = XcdfFile(path)
        columns = file.columns([name for name in names if name in file.scalars])
        fields = [field.name for field in file.fields]
        texts = {"field": fields, "scalar": file.scalars, "digest": file.digest}
        base = {name: np.array(text, np.str_) for name, text in texts.items()} | {"events": np.array(len(file))}
        return {**({} if entry else base), **{OPTIONAL + name: np.asarray(values) for name, values in columns.items()}}

    return FileIndex(f"xcdf version {VERSION}", read, scalars)


class IndexedXcdf:
    """An XCDF file of the index, see `events.EventFile`. It is opened when more is read than the index has; then
    `kept_bytes` of its blocks stay in memory."""

    def __init__(self, indexed: Indexed, kept_bytes: int = KEPT_BYTES):
        self.path = indexed.path
        self.stamp = indexed.stamp
        self.entry = indexed.entry
        self.kept_bytes = kept_bytes
        self.digest = str(indexed.entry["digest"])

    def __len__(self) -> int:
        return int(self.entry["events"])

    @property
    def scalars(self) -> list[str]:
        """Names of the fields that have one value in each event."""
        return self.entry["scalar"].tolist()

    def has(self, name: str) -> bool:
        """True if the file has this field."""
        return bool((self.entry["field"] == name).any())

    def columns(self, names: Sequence[str]) -> Columns:
        """Values of some fields in all events."""
        if all(OPTIONAL + name in self.entry for name in names):
            return {name: self.entry[OPTIONAL + name] for name in names}
        return self.file.columns(names)

    @cached_property
    def file(self) -> XcdfFile:
        """The opened file. Raises `DataError` if it has changed."""
        check_unchanged(self.path, self.stamp)
        return XcdfFile(self.path, self.kept_bytes)
