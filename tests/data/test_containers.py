"""Containers and batches: which fields become tensors, and when truth is read."""

from collections.abc import Callable
from dataclasses import fields, replace
from unittest import mock

import numpy as np
import pytest
import torch

from airshower.data.batch import Batch
from airshower.data.containers import CameraImages, Container, Images, SparseImages, Table, TelescopeImages
from airshower.data.source import Source
from airshower.data.truth import Frame, Truth
from airshower.detectors.hawc.simulated import SimulatedHawc
from airshower.detectors.lartpc.source import LartpcConfig, LartpcEvents
from tests.samples import simulated, simulated_showers

CPU = torch.device("cpu")


def telescopes(images: int) -> TelescopeImages:
    charge, time = np.random.default_rng(images).normal(size=(2, images, 7)).astype(np.float32)
    event, telescope = np.arange(images), np.zeros(images, int)
    return TelescopeImages(charge, time, charge > 0, event, telescope, np.zeros((images, 2), np.float32))


def sparse(label: np.ndarray | None) -> SparseImages:
    row, column = np.arange(5, dtype=np.int32), np.arange(5, dtype=np.int32)
    return SparseImages(row, column, np.ones(5, np.float32), label, np.array([[2, 3]]), (8, 8))


CONTAINERS = {
    "sparse images": (sparse(np.zeros(5, np.uint8)), 5 * (4 + 4 + 4 + 1)),
    "sparse images without labels": (sparse(None), 5 * (4 + 4 + 4)),
    "images of telescopes": (telescopes(3), 3 * (7 * (4 + 4 + 1) + 8 + 8 + 2 * 4)),
    "without cleaning": (replace(telescopes(3), clean=None), 3 * (7 * (4 + 4) + 8 + 8 + 2 * 4)),
    "images": (Images(np.zeros((2, 1, 4, 4), np.float32)), 2 * 16 * 4),
    "table": (Table(np.zeros((2, 3), np.float32)), 2 * 3 * 4),
    "frame without axis": (Frame(None, np.zeros((2, 2), np.float32)), 2 * 2 * 4),
}
each_container = pytest.mark.parametrize(("container", "size"), CONTAINERS.values(), ids=CONTAINERS)


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """The tensors that `pin_memory` is called of, which needs an accelerator."""
    called: list[torch.Tensor] = []

    def pin_memory(self: torch.Tensor) -> torch.Tensor:
        called.append(self)
        return self

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin_memory)
    return called


@each_container
def test_fields_become_tensors_but_those_of_the_host(container: Container, size: int) -> None:
    moved = container.to(CPU)
    assert type(moved) is type(container)
    for item in fields(container):
        before, after = getattr(container, item.name), getattr(moved, item.name)
        if before is None or item.metadata.get("host"):
            assert after is before
        else:
            assert isinstance(after, torch.Tensor)
            assert np.array_equal(after.numpy(), before)
            assert after.numpy().dtype == before.dtype
    assert moved.device == CPU
    assert container.nbytes == moved.nbytes == size


@each_container
def test_what_is_moved_is_pinned(container: Container, size: int, pinned: list[torch.Tensor]) -> None:
    container.pin()
    assert sum(tensor.nbytes for tensor in pinned) == size


def test_cameras_are_moved_together(pinned: list[torch.Tensor]) -> None:
    both = CameraImages((telescopes(2), telescopes(0)))
    assert both.nbytes == both.cameras[0].nbytes + both.cameras[1].nbytes
    moved = both.to(CPU)
    assert moved.device == CPU
    assert [len(camera) for camera in moved.cameras] == [2, 0]
    assert all(isinstance(camera.charge, torch.Tensor) for camera in moved.cameras)
    both.pin()
    assert len(pinned) == 2 * 6


def test_a_batch_moves_its_inputs_and_its_frame(pinned: list[torch.Tensor]) -> None:
    asked = mock.Mock(return_value={})
    images, table = Images(np.zeros((2, 1, 4, 4), np.float32)), Table(np.zeros((2, 3), np.float32))
    frame, entries = Frame(np.zeros((2, 2), np.float32), None), np.array([4, 2])
    inputs, ids = {"images": images, "parameters": table}, np.zeros((2, 3), int)
    batch = Batch(inputs, entries, ids, Truth(asked, entries), frame, np.ones(2, np.float32))
    moved = batch.pin().to(CPU)
    assert len(pinned) == 3
    assert batch.nbytes == images.nbytes + table.nbytes
    assert isinstance(moved["images"].values, torch.Tensor)
    assert isinstance(moved["parameters"].values, torch.Tensor)
    assert isinstance(moved.frame.axis, torch.Tensor)
    assert moved.device == CPU
    for name in ("entries", "event_ids", "truth", "weight"):
        assert getattr(moved, name) is getattr(batch, name)
    asked.assert_not_called()
    moved.truth.get("energy", "core")
    asked.assert_called_once_with(entries, ("energy", "core"))


def hawc() -> Source:
    config = SimulatedHawc.Config(events=12, validation_events=1, test_events=1)
    return SimulatedHawc(config, 0).open().train.source


SOURCES: dict[str, Callable[[], Source]] = {
    "lartpc": lambda: LartpcEvents(LartpcConfig(downsample=0), str(simulated(3))),
    "cta": lambda: simulated_showers().source,
    "hawc": hawc,
}


@pytest.mark.parametrize("name", SOURCES)
def test_truth_is_read_when_it_is_asked_for(name: str) -> None:
    source, entries = SOURCES[name](), np.array([2, 0])
    expected = source.truth(entries, ("energy",))["energy"]
    with mock.patch.object(type(source), "truth", autospec=True, side_effect=type(source).truth) as reading:
        batch = source.read(entries).to(CPU)
        reading.assert_not_called()
        np.testing.assert_array_equal(batch.truth.get("energy")["energy"], expected)
        reading.assert_called_once()
    assert batch.truth.get("nothing of this kind") == {}
