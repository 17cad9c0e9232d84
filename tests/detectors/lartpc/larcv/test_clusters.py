"""Clusters of voxels: the neutrino's vertex in SBND's files and in simulated ones."""

import numpy as np
import pytest

from airshower.detectors.lartpc.larcv.file import LarcvFile
from airshower.detectors.lartpc.larcv.writer import ImageMeta, LarcvWriter, Voxels
from airshower.detectors.lartpc.simulated import SimulatedLartpc
from airshower.detectors.lartpc.simulation import LartpcSimulation, simulate_event
from airshower.detectors.lartpc.source import INTERACTIONS, LartpcConfig, LartpcEvents
from airshower.errors import DataError

METAS = [ImageMeta.unit((16, 12)), ImageMeta.unit((20, 10))]
GROUP = "Data/cluster2d_nu_group"
SMALL = {"image_producer": "wire", "label_producer": "", "particle_producer": "nu"}


def write(path, events, metas=METAS):
    """Events of clusters, per projection a list of voxel ids each."""
    with LarcvWriter(path) as writer:
        for entry, projections in enumerate(events):
            wires = [(METAS[0], Voxels(np.array([3]), [1.0]))] * 2
            clusters = [
                (meta, [Voxels(np.array(ids, np.uint64), np.ones(len(ids))) for ids in lists])
                for meta, lists in zip(metas, projections, strict=True)
            ]
            writer.append((0, 0, entry), {"wire": wires}, {"nu": clusters})
    return path


@pytest.fixture
def clusters(tmp_path):
    """A second cluster that is not to be read, a plane without clusters, and an empty cluster."""
    events = [([[13, 14, 25, 26], [0]], [[199]]), ([[2]], []), ([[]], [[0, 1, 2]])]
    return write(tmp_path / "clusters.h5", events)


def test_the_first_cluster_of_each_plane(clusters):
    table = LarcvFile(clusters).clusters("nu")
    assert table.shapes.tolist() == [[16, 12], [20, 10]]
    nan = [np.nan] * 2
    expected = [[[2.0, 2.0], [19.5, 9.5]], [[0.5, 2.5], nan], [nan, [0.5, 1.5]]]
    np.testing.assert_array_equal(table.first_centres(), expected)


def test_no_clusters_at_all(tmp_path):
    path = write(tmp_path / "none.h5", [([], []), ([[]], [])])
    assert np.isnan(LarcvFile(path).clusters("nu").first_centres()).all()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("extents", ", entry 0: points outside the table of 6 projections"),
        ("projection_extents", ", entry 0, plane 0: points outside the table of 6 clusters"),
        ("cluster_extents", ", entry 0, plane 0: points outside the table of 10 voxels"),
    ],
)
def test_tables_that_point_outside_are_refused(clusters, rewrite, table, said):
    def far(rows):
        rows["first"][0] = 10**9
        return rows

    rewrite(clusters, f"{GROUP}/{table}", far)
    with pytest.raises(DataError, match=rf"clusters\.h5: cluster2d_nu{said}"):
        LarcvFile(clusters).clusters("nu")


@pytest.mark.parametrize("table", ["extents", "projection_extents", "cluster_extents", "image_meta", "voxels"])
def test_a_missing_table_is_named(clusters, rewrite, table):
    rewrite(clusters, f"{GROUP}/{table}", lambda rows: None)
    with pytest.raises(DataError, match=f"cluster2d_nu: its table {table} is missing"):
        LarcvFile(clusters).clusters("nu")


@pytest.mark.parametrize("voxel", [16 * 12, 2**63, 2**64 - 1])
def test_voxels_outside_their_image_are_refused(clusters, rewrite, voxel):
    def far(rows):
        rows["id"][0] = voxel
        return rows

    rewrite(clusters, f"{GROUP}/voxels", far)
    with pytest.raises(DataError, match="a voxel lies outside its image"):
        LarcvFile(clusters).clusters("nu").first_centres()


def test_the_cluster_of_lowest_id_is_the_first(clusters, rewrite):
    def exchanged(rows):
        rows["ID"][:2] = 1, 0
        return rows

    rewrite(clusters, f"{GROUP}/cluster_extents", exchanged)
    np.testing.assert_array_equal(LarcvFile(clusters).clusters("nu").first_centres()[0], [[0.5, 0.5], [19.5, 9.5]])


def test_a_voxel_that_a_cluster_has_twice_is_refused(clusters, rewrite):
    def twice(rows):
        rows["id"][1] = rows["id"][3]
        return rows

    rewrite(clusters, f"{GROUP}/voxels", twice)
    with pytest.raises(DataError, match="cluster2d_nu, entry 0, plane 0: a cluster has a voxel twice"):
        LarcvFile(clusters).clusters("nu").first_centres()


def test_clusters_on_images_of_another_size_are_refused(clusters):
    source = LartpcEvents(LartpcConfig(**SMALL), str(clusters))
    with pytest.raises(DataError, match=r"cluster2d_nu, entry 0, plane 1: its image \(20 x 10 .* does not cover that"):
        source.truth(np.array([0]), ("vertex",))


def test_a_file_without_any_cluster_has_no_vertex(tmp_path, rewrite):
    path = write(tmp_path / "none.h5", [([], []), ([], [])])

    def none(rows):
        rows["N"] = 0
        return rows

    rewrite(path, f"{GROUP}/extents", none)
    truth = LartpcEvents(LartpcConfig(**SMALL), str(path)).truth(np.arange(2), ("vertex",))
    assert truth["vertex"].shape == (2, 2, 2)
    assert np.isnan(truth["vertex"]).all()


def test_clusters_are_not_read_where_no_vertex_is_asked_for(clusters):
    """Those of this file would be refused."""
    source = LartpcEvents(LartpcConfig(**SMALL), str(clusters))
    batch = source.read(np.array([0]))
    assert batch.truth.get("energy", "interaction") == {}
    with pytest.raises(DataError):
        batch.truth.get("vertex")


@pytest.mark.larcv
@pytest.mark.full
def test_vertices_of_the_real_file_are_larcvs(larcv, sbnd_file):
    found = LartpcEvents(LartpcConfig(), str(sbnd_file)).truth(np.arange(5), ("vertex",))["vertex"]
    manager = larcv.IOManager()
    manager.add_in_file(str(sbnd_file))
    manager.initialize()
    for entry in range(5):
        manager.read_entry(entry)
        for plane, image in enumerate(manager.get_data("cluster2d", "sbndneutrino").as_vector()):
            ids = np.asarray(image.as_vector()[0].indexes())
            assert len(ids) == 9
            np.testing.assert_allclose(found[entry, plane], [(ids % 1280).mean() + 0.5, (ids // 1280).mean() + 0.5])


def test_simulated_events_carry_their_vertex(monkeypatch, tmp_path):
    monkeypatch.setenv("AIRSHOWER_CACHE", str(tmp_path))
    simulation = LartpcSimulation(image_size=[256, 128], cosmic_rate=2.0, neutrino_fraction=0.5)
    config = SimulatedLartpc.Config(events=6, simulation=simulation, downsample=0)
    source = SimulatedLartpc(config, 1).open().train.source
    assert source.spec["images"].pixel_size == pytest.approx((3.125, 2.4))
    truth = source.truth(np.arange(6), ("interaction", "vertex"))
    without = truth["interaction"] == INTERACTIONS.index("cosmic")
    assert 0 < without.sum() < 6
    assert np.isnan(truth["vertex"][without]).all()
    for entry in np.flatnonzero(~without):
        wire, tick = simulate_event(simulation, 2 * config.seed, int(entry)).vertex.T
        np.testing.assert_allclose(truth["vertex"][entry], np.stack([tick, wire], 1) + 0.5, atol=0.51)
