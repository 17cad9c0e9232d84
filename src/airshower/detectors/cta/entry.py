"""What opening a file of telescopes' images reads, as named arrays for the index of many files, and back."""

import hashlib
from collections.abc import Mapping
from weakref import WeakValueDictionary

import numpy as np

from airshower.data.index_table import Entry
from airshower.detectors.cta.image_file import TRUTH, Events, ImageIndex
from airshower.detectors.cta.subarray import Subarray
from airshower.geometry.camera import CameraGeometry

EVENT = ("obs_id", "event_id", "event_type", "triggered", "time")
IMAGE = ("event", "telescope", "table", "row")
TEXTS = ("types", "names", "descriptions")
NUMBERS = ("ids", "position", "focal_length", "camera")
PIXEL = ("x", "y", "area")

_subarrays: WeakValueDictionary[bytes, Subarray] = WeakValueDictionary()  # those in use, by `telescope.digest`


def pack(subarray: Subarray, events: Events, images: ImageIndex, truth: Mapping[str, np.ndarray] | None) -> Entry:
    """The arrays of a file's telescopes, events, images and true values."""
    columns = {f"event.{name}": getattr(events, name) for name in EVENT}
    columns |= {f"image.{name}": getattr(images, name) for name in IMAGE}
    columns |= {f"true.{name}": values for name, values in (truth or {}).items()}
    return columns | _pack_subarray(subarray)


def unpack_events(entry: Entry) -> Events:
    """The events of `pack`."""
    return Events(*(entry[f"event.{name}"] for name in EVENT))


def unpack_images(entry: Entry) -> ImageIndex:
    """The images of `pack`."""
    return ImageIndex(*(entry[f"image.{name}"] for name in IMAGE))


def unpack_truth(entry: Entry) -> dict[str, np.ndarray] | None:
    """The true values of `pack`."""
    truth = {name: entry[f"true.{name}"] for name in TRUTH if f"true.{name}" in entry}
    return truth or None


def unpack_subarray(entry: Entry) -> Subarray:
    """The telescopes of `pack`; files with equal ones share them."""
    digest = bytes(entry["telescope.digest"])
    if (subarray := _subarrays.get(digest)) is None:
        subarray = _subarrays[digest] = _unpack_subarray(entry)
    return subarray


def _pack_subarray(subarray: Subarray) -> dict[str, np.ndarray]:
    cameras = subarray.cameras
    columns = {f"telescope.{name}": np.array(getattr(subarray, name)) for name in (*TEXTS, *NUMBERS)}
    columns |= {f"camera.{name}": np.array([getattr(camera, name) for camera in cameras]) for name in ("name", "shape")}
    rotations = [(camera.pixel_rotation, camera.camera_rotation) for camera in cameras]
    columns["camera.rotation"] = np.array(rotations, np.float64).reshape(-1, 2)
    columns["camera.pixels"] = np.array([len(camera) for camera in cameras], np.int64)
    columns |= {f"camera.{name}": np.concatenate([getattr(camera, name) for camera in cameras]) for name in PIXEL}
    content = hashlib.blake2b(digest_size=16)
    for values in columns.values():
        content.update(np.ascontiguousarray(values).data)
    return columns | {"telescope.digest": np.frombuffer(content.digest(), np.uint8)}


def _unpack_subarray(entry: Entry) -> Subarray:
    parts = zip(
        *(np.split(entry[f"camera.{name}"], entry["camera.pixels"].cumsum()[:-1]) for name in PIXEL), strict=True
    )
    heads = zip(entry["camera.name"].tolist(), entry["camera.shape"].tolist(), entry["camera.rotation"], strict=True)
    cameras = tuple(
        CameraGeometry(name, *pixels, shape=shape, pixel_rotation=float(turned), camera_rotation=float(turn))
        for (name, shape, (turned, turn)), pixels in zip(heads, parts, strict=True)
    )
    types, names, descriptions = (tuple(entry[f"telescope.{name}"].tolist()) for name in TEXTS)
    numbers = {name: entry[f"telescope.{name}"] for name in NUMBERS}
    return Subarray(types=types, names=names, descriptions=descriptions, cameras=cameras, **numbers)
