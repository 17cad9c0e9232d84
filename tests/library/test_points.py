"""Events as files of points, and as graphs."""

import sys
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

import airshower as library
from airshower.data.batch import Batch
from airshower.errors import DataError, UserError
from airshower.networks.layers.neighbours import nearest

TANKS = {"data": "hawc_mixed_simulated", "events": 60, "features": ["charge", "time", "central"], "time": "absolute"}


@pytest.fixture(scope="module")
def tanks() -> library.Events:
    return library.open(**TANKS)


@pytest.fixture(scope="module")
def written(tanks: library.Events, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("points") / "events.dat"
    tanks.to_points(path)
    return path


def arrays(batch: Batch) -> dict[str, np.ndarray]:
    """All that a batch has of events."""
    assert batch.truth is not None
    assert batch.frame is not None
    points = batch["points"]
    return {
        "position": points.position,
        "features": points.features,
        "counts": points.counts,
        "ids": batch.event_ids,
        "axis": batch.frame.axis,
        "origin": batch.frame.origin,
        **batch.truth.get(),
    }


@pytest.mark.parametrize("numbers", [range(60), [7], [59, 3, 3, 20]])
def test_events_come_back_to_the_bit(tanks: library.Events, written: Path, numbers: Any) -> None:
    back = library.open(written)
    assert back.name == "points"
    one, other = arrays(tanks.read(list(numbers))), arrays(back.read(list(numbers)))
    assert one.keys() == other.keys()
    for name, values in one.items():
        assert values.dtype == other[name].dtype, name
        assert values.tobytes() == other[name].tobytes(), name


def test_what_is_said_of_events_comes_back(tanks: library.Events, written: Path) -> None:
    back = library.open(written)
    assert back.spec.truth == tanks.spec.truth
    assert (back.spec.known, back.spec.ids) == (tanks.spec.known, tanks.spec.ids)
    one, other = tanks.spec["points"], back.spec["points"]
    assert (one.axes, one.unit, one.features) == (other.axes, other.unit, other.features)
    np.testing.assert_array_equal(one.sensors, other.sensors)
    np.testing.assert_array_equal(one.centre, other.centre)
    assert "charge (p.e.), time (ns), central" in repr(back)
    assert back.display(1).axes


def test_showers_are_kept_and_tables_can_be_cut_on(tanks: library.Events, written: Path) -> None:
    one, other = (np.unique(events.source.showers, return_inverse=True)[1] for events in (tanks, library.open(written)))
    assert np.array_equal(one[:, None] == one, other[:, None] == other)
    hits = tanks.table["rec.nHit"]
    middle = np.median(hits)
    assert len(library.open(written, cuts=f"rec.nHit > {middle}")) == (hits > middle).sum()


def test_some_events_are_written(tanks: library.Events, tmp_path: Path) -> None:
    some = tanks[[40, 3]]
    assert isinstance(some, library.Events)
    some.to_points(tmp_path / "some.h5")
    back = library.open(tmp_path / "some.h5")
    for name, values in arrays(some.read([1, 0])).items():
        np.testing.assert_array_equal(values, arrays(back.read([1, 0]))[name])


def test_a_failed_write_leaves_the_old_file(
    tanks: library.Events, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.h5"
    path.write_text("old")

    def fail(entries: np.ndarray) -> Batch:
        raise DataError("damaged")

    some = library.open(**TANKS)
    monkeypatch.setattr(some.source, "read", fail)
    with pytest.raises(DataError, match="damaged"):
        some.to_points(path)
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["events.h5"]


def test_events_without_points_have_no_such_file_and_no_graphs(tmp_path: Path) -> None:
    events = library.open(data="hawc_simulated", events=12)
    with pytest.raises(UserError, match="to_points: these events have no points but images, parameters, conditions"):
        events.to_points(tmp_path / "events.h5")
    with pytest.raises(UserError, match="there are no events"):
        library.open(**TANKS)[:0].to_points(tmp_path / "events.h5")
    assert not list(tmp_path.iterdir())


def test_predictions_have_ids_and_units(written: Path, tmp_path: Path) -> None:
    source = library.open(written).source
    with source.event_writer(tmp_path / "predictions", {"step": "3"}) as writer:
        for entries in ([3, 1], [2]):
            columns = {"energy": np.array(entries) * 2.0, "alt": np.zeros(len(entries))}
            writer.append(np.array(entries), columns)
    with h5py.File(tmp_path / "predictions.h5") as file:
        assert file.attrs["step"] == "3"
        assert file["predictions/energy"][:].tolist() == [6.0, 2.0, 4.0]
        assert (file["predictions/energy"].attrs["unit"], file["predictions/alt"].attrs["unit"]) == ("GeV", "rad")
        assert np.array_equal(file["events/event"][:], source.event_ids[[3, 1, 2], 1])


def geometric() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it compiles with torch.jit, which torch deprecates
        return pytest.importorskip("torch_geometric.loader", reason="needs torch_geometric (the extra graph)")


def test_edges_are_the_nearest_points_of_the_event_alone(written: Path) -> None:
    geometric()
    events = library.open(written)
    graph = events.graphs(k=6)[5]
    position = torch.from_numpy(events.read([5])["points"].position)
    index, valid = nearest(position[None], torch.ones(1, len(position), dtype=torch.bool), 6)
    expected = {(int(j), i) for i in range(len(position)) for j in index[0, i][valid[0, i]]}
    assert set(map(tuple, graph.edge_index.T.tolist())) == expected
    assert graph.edge_index.dtype == torch.int64
    assert not graph.has_self_loops()
    assert torch.equal(graph.pos, position)
    assert graph.y[0].tolist()[1] == events.truth["energy"][5]


def test_batches_of_graphs_keep_edges_apart(written: Path) -> None:
    loader = geometric()
    events = library.open(written)
    graphs = events.graphs(k=4)
    (batch,) = loader.DataLoader([graphs[0], graphs[1]], batch_size=2)
    assert batch.num_nodes == graphs[0].num_nodes + graphs[1].num_nodes
    source, target = batch.batch[batch.edge_index]
    assert torch.equal(source, target)
    edges = graphs[0].edge_index.shape[1]
    assert torch.equal(batch.edge_index[:, edges:] - graphs[0].num_nodes, graphs[1].edge_index)
    assert batch.y.shape == (2, len(graphs.columns))
    assert graphs.columns == ("primary", "energy", "alt", "az", "core_x", "core_y")
    assert len(list(loader.DataLoader(graphs, batch_size=25))) == 3


def test_without_the_package_one_line_says_so(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_geometric.data", None)
    with pytest.raises(UserError, match=r"torch_geometric can't be imported .*pip install torch_geometric"):
        library.open(written).graphs()
