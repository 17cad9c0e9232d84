"""XCDF files as HDF5 files and back, to the bit.

HDF5 has the group `fields` with a dataset for each field, in the file's order, with the attributes `type` (unsigned,
signed, float), `resolution` and `parent`; vectors are all events' values in a row, their lengths follow from the
parents as in XCDF. `comments` and `aliases` (name, expression, type) are datasets of strings.

A value of XCDF is its block's least value and some steps: it can't be written again exactly without that. `blocks` are
numbers of events, and the group `encoding` has for each field the `minimum` (bits) and `size` in bits of each block,
and as the attribute `maximum` bits of the field's greatest value and of what the trailer has for it, before rounding.
With them values come back to the bit; floats that were changed in HDF5 are written as they are, integers are rounded to
their resolution. Without `blocks` values are written as any others, in blocks of `STEP` events.
"""

import os
from pathlib import Path

import h5py
import numpy as np

from airshower.detectors.hawc.xcdf.block import Columns, Layout, Ragged
from airshower.detectors.hawc.xcdf.encoder import highest, lengths
from airshower.detectors.hawc.xcdf.file import XcdfFile
from airshower.detectors.hawc.xcdf.format import ACTIVE, Alias, BlockHeader, Field, FieldType
from airshower.detectors.hawc.xcdf.writer import XcdfWriter
from airshower.errors import DataError, UserError
from airshower.runtime import folders
from airshower.runtime.hdf5_output import OutputFile

STEP = 1000  # events that are in memory at once
CHUNK = 1 << 14


def to_hdf5(source: Path, target: Path) -> int:
    """Write `target` with all that `source` has; returns the number of events."""
    file = XcdfFile(source)
    partial = folders.partial(target)
    for field in file.fields:
        if "/" in field.name:
            raise DataError(f"{source}: the field {field.name} has a / in its name, which HDF5 takes for a folder")
    try:
        output = OutputFile(partial)
    except OSError as error:
        raise UserError(f"{target}: can't be written ({error.strerror})") from None
    try:
        with h5py.File(output, "w") as hdf5:
            _write(file, hdf5)
        output.close()
        output.check()
        os.replace(partial, target)
    except OSError as error:
        raise DataError(f"{target}: can't be written ({error.strerror or error})") from None
    finally:
        output.close()
        partial.unlink(missing_ok=True)
    return len(file)


def _write(file: XcdfFile, hdf5: h5py.File) -> None:
    group = hdf5.create_group("fields", track_order=True)
    for field in file.fields:
        dataset = group.create_dataset(
            field.name, (0,), field.type.dtype, maxshape=(None,), chunks=(CHUNK,), shuffle=True, compression="gzip"
        )
        attributes = {"type": field.type.name.lower(), "resolution": field.resolution, "parent": field.parent}
        dataset.attrs.update(attributes)
    text = h5py.string_dtype()
    hdf5.create_dataset("comments", data=np.array(file.comments, object), dtype=text)
    aliases = [(alias.name, alias.expression, alias.type.name.lower()) for alias in file.aliases]
    hdf5.create_dataset("aliases", data=np.array(aliases, object).reshape(len(aliases), 3), dtype=text)
    headers = [block.header for block in file.blocks if block.header.events]
    hdf5.create_dataset("blocks", data=np.array([header.events for header in headers], "<u4"))
    encoding = hdf5.create_group("encoding")
    for row, field in enumerate(file.fields):
        active = np.array([(header.minima[row], header.sizes[row]) for header in headers], ACTIVE)
        encoding.create_dataset(field.name, data=active)
    greatest: dict[str, list[int]] = {field.name: [] for field in file.fields}
    for start in range(0, len(file), STEP):
        for name, column in file.columns(start=start, stop=start + STEP).items():
            values = column.values if isinstance(column, Ragged) else column
            group[name].resize((len(group[name]) + len(values),))
            group[name][len(group[name]) - len(values) :] = values
            greatest[name] += [highest(values)] if len(values) else []
    complete = file.unfinished is None and all(file.statistics)  # the trailers tell of all events
    for row, field in enumerate(file.fields):
        total = file.total(row)
        if complete and total.filled and greatest[field.name]:
            top = highest(np.array(greatest[field.name], "<u8").view(field.type.dtype))
            encoding[field.name].attrs["maximum"] = np.array([top, total.maximum], "<u8")


def from_hdf5(source: Path, target: Path) -> int:
    """Write `target` from what `to_hdf5` made; returns the number of events."""
    try:
        with h5py.File(source) as hdf5:
            fields = [_field(name, dataset) for name, dataset in hdf5["fields"].items()]
            aliases = [Alias(name, text, FieldType[kind.upper()]) for name, text, kind in hdf5["aliases"].asstr()[:]]
            comments = hdf5["comments"].asstr()[:].tolist()
            with XcdfWriter(target, fields, comments, aliases) as writer:
                return _append(writer, hdf5, source)
    except (OSError, RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        message = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{source}: can't be read as HDF5 that was made of XCDF ({message})") from None


def _field(name: str, dataset: h5py.Dataset) -> Field:
    type_, resolution, parent = (dataset.attrs[key] for key in ("type", "resolution", "parent"))
    return Field(name, FieldType[type_.upper()], resolution.item(), parent)


def _append(writer: XcdfWriter, hdf5: h5py.File, source: Path) -> int:
    group = hdf5["fields"]
    layout = writer.layout
    events = _events(group, layout, source)
    headers = _headers(hdf5, layout) if "blocks" in hdf5 else []
    if headers and sum(header.events for header in headers) != events:
        raise DataError(f"{source}: blocks have {sum(header.events for header in headers)} events, columns {events}")
    writer.maxima = _maxima(hdf5, layout) if headers else {}
    at = dict.fromkeys(layout.row, 0)
    for header in headers:
        writer.append_block(_next(group, layout, at, header.events), header)
    for _ in range(0, 0 if headers else events, STEP):
        writer.append(_next(group, layout, at, STEP))
    for name, used in at.items():
        if used != len(group[name]):
            raise DataError(f"{source}: {name} has {len(group[name])} values, {used} are needed")
    return events


def _next(group: h5py.Group, layout: Layout, at: dict[str, int], events: int) -> Columns:
    """Columns of the next events; `at` is how many values of each field were read, which is moved on."""
    columns: Columns = {}

    def take(name: str, count: int) -> np.ndarray:
        values = group[name][at[name] : at[name] + count]
        at[name] += len(values)
        return values

    for field in layout.fields:
        if field.parent:
            counts = lengths(layout, columns, layout.row[field.parent])
            columns[field.name] = Ragged(take(field.name, int(counts.sum())), counts)
        else:
            columns[field.name] = take(field.name, events)
    return columns


def _events(group: h5py.Group, layout: Layout, source: Path) -> int:
    """The number of events; all values that datasets claim are in the file, so that none of them takes other memory."""
    for field in layout.fields:
        dataset = group[field.name]
        stored = dataset.id.get_num_chunks() * dataset.chunks[0] if dataset.chunks else dataset.id.get_storage_size()
        if len(dataset) > stored:
            raise DataError(f"{source}: {field.name} has {len(dataset)} values, {stored} are in the file")
    events = {len(group[field.name]) for field in layout.fields if not field.parent} or {0}
    if len(events) > 1:
        raise DataError(f"{source}: columns have {' and '.join(map(str, sorted(events)))} events")
    return events.pop()


def _maxima(hdf5: h5py.File, layout: Layout) -> dict[str, tuple[int, int]]:
    """Bits of greatest values and of what they were before rounding, of the fields that have them."""
    maxima = {}
    for name in layout.row:
        if "maximum" in hdf5["encoding"][name].attrs:
            greatest, before = np.asarray(hdf5["encoding"][name].attrs["maximum"]).astype("<u8").tolist()
            maxima[name] = (greatest, before)
    return maxima


def _headers(hdf5: h5py.File, layout: Layout) -> list[BlockHeader]:
    """Those of the blocks that the file was made of."""
    events = hdf5["blocks"][:].tolist()
    rows = np.stack([hdf5["encoding"][field.name][:].astype(ACTIVE) for field in layout.fields], 1)
    if ((rows["size"] < 0) | (rows["size"] > 64)).any():
        raise ValueError("a size in encoding is not 0 to 64 bits")
    return [BlockHeader(n, row["minimum"], row["size"].astype(np.int64)) for n, row in zip(events, rows, strict=True)]
