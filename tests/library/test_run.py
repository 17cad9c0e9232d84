"""`airshower.train` and `airshower.load`: what they give is what the command line writes."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import airshower as library
from airshower.engine import checkpoint
from airshower.errors import DataError, UserError
from tests.command import TINY, TINY_SHOWERS, TINY_TANKS, airshower

NETWORK_OF_TANKS = ("network.width=8", "network.bins=4")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of these tests alone, in which there is one file of each kind to test on."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as context:
        context.setenv("AIRSHOWER_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def wires(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wires") / "run"
    outcome = airshower(
        "mode=train", "network=uresnet", "task=neutrino", "network.vertex_depth=1", *TINY, f"output_dir={folder}"
    )
    assert outcome.code == 0, outcome.err
    return inferred(folder)


@pytest.fixture(scope="module")
def showers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("showers") / "run"
    outcome = airshower("mode=train", "network=cta_stereo_resnet", *TINY_SHOWERS, f"output_dir={folder}")
    assert outcome.code == 0, outcome.err
    return inferred(folder)


@pytest.fixture(scope="module")
def tanks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tanks") / "run"
    outcome = airshower("mode=train", "network=hawc_param_flow", *TINY_TANKS, *NETWORK_OF_TANKS, f"output_dir={folder}")
    assert outcome.code == 0, outcome.err
    return inferred(folder)


def inferred(folder: Path) -> Path:
    """The run's folder, after an inference that needs nothing but the folder."""
    outcome = airshower("mode=inference", f"run.folder={folder}")
    assert outcome.code == 0, outcome.err
    return folder


def test_predicted_pixels_are_those_of_inference_to_the_bit(wires: Path, cache: Path) -> None:
    run = library.load(wires, "cpu")
    (file,) = cache.glob("lartpc_simulated/test_*.h5")
    table = run.predict(file)
    parts = table.parts
    assert parts is not None
    with h5py.File(wires / "predictions" / "predictions.h5") as written:
        for name in ("cosmic", "neutrino"):
            values = written[f"Data/sparse2d_airshower_{name}_group/voxels"]["value"]
            assert len(values) == len(parts) > 0
            np.testing.assert_array_equal(values, parts[f"score_{name}"])
        labels = written["Data/sparse2d_airshower_label_group/voxels"]["value"]
        np.testing.assert_array_equal(labels, parts["class"])
    assert table.unit("vertex0_distance") == "cm"
    assert set(table["predicted"]) <= {"nu_e CC", "nu_mu CC", "NC", "cosmic"}


def test_a_trained_step_predicts_arrays_as_it_does_files(wires: Path, cache: Path) -> None:
    run = library.load(wires, "cpu")
    (file,) = cache.glob("lartpc_simulated/test_*.h5")
    images = run.open(file).read([0, 1])["images"]
    dense = np.zeros((2, 3, *images.shape), np.float32)
    event, plane = np.divmod(images.image_index, 3)
    dense[event, plane, images.row, images.column] = images.value
    of_arrays, of_files = run.predict({"images": dense}), run.predict(run.open(file)[:2])
    assert of_arrays.parts is not None
    assert of_files.parts is not None
    for name in of_files.parts:
        np.testing.assert_array_equal(of_arrays.parts[name], of_files.parts[name])


def test_predicted_showers_are_those_of_inference(showers: Path, cache: Path) -> None:
    run = library.load(showers, "cpu")
    (file,) = cache.glob("cta_simulated/test_*.h5")
    table = run.predict(file)
    lines = (showers / "predictions" / "events.csv").read_text().splitlines()
    names = lines[0].split(",")
    assert names == table.keys()
    for number, line in enumerate(lines[1:]):
        for name, cell in zip(names, line.split(","), strict=True):
            value = table[name][number]
            assert cell == (f"{value:.8g}" if isinstance(value, np.floating) else str(value)), name
    assert [table.unit(name) for name in ("energy", "alt", "core_x", "true_offset")] == ["TeV", "rad", "m", "deg"]


def test_batches_and_other_events_change_nothing_but_rounding(showers: Path, cache: Path) -> None:
    run = library.load(showers, "cpu")
    (file,) = cache.glob("cta_simulated/test_*.h5")
    events = run.open(file)
    whole, one_by_one = run.predict(events), run.predict(events, batch=1)
    np.testing.assert_allclose(one_by_one["energy"], whole["energy"], rtol=1e-5)
    last = run.predict(events[[5]], batch=1)
    np.testing.assert_array_equal(last["energy"], one_by_one["energy"][5:])


def test_generated_events_are_those_of_inference(tanks: Path) -> None:
    run = library.load(tanks, "cpu")
    with np.load(tanks / "predictions" / "generated.npz") as file:
        written = dict(file)
    conditions = {"SimEvent.energyTrue": written["SimEvent.energyTrue"]}
    table = run.generate(len(written["entry"]), conditions)
    for name in ("rec.nHit", "rec.zenithAngle", "rec.azimuthAngle"):
        np.testing.assert_array_equal(table[name], written[name])
    assert table.unit("rec.zenithAngle") == "rad"
    np.testing.assert_array_equal(run.generate(7, conditions, batch=2)["rec.nHit"], table["rec.nHit"][:7])
    assert not np.array_equal(run.generate(7, conditions, seed=2)["rec.nHit"], table["rec.nHit"][:7])


@pytest.mark.parametrize("conditions", [None, {"energy": 1.0}, {"SimEvent.energyTrue": -1.0}])
def test_conditions_that_are_missing_unknown_or_impossible_are_refused(tanks: Path, conditions: dict | None) -> None:
    with pytest.raises(UserError, match=r"^conditions"):
        library.load(tanks, "cpu").generate(3, conditions)


def test_networks_that_generate_predict_nothing_and_others_generate_nothing(tanks: Path, wires: Path) -> None:
    with pytest.raises(UserError, match="use generate"):
        library.load(tanks, "cpu").predict({"parameters": {}})
    with pytest.raises(UserError, match="use predict"):
        library.load(wires, "cpu").generate(3)


def test_events_of_another_detector_are_refused(wires: Path) -> None:
    showers = library.open(data="cta_simulated", mode="stereo", events=6, simulation={"lsts": 2, "energy_min": 0.5})
    with pytest.raises(UserError, match=r"takes images \(sparse images\), these events have camera images"):
        library.load(wires, "cpu").predict(showers)


def test_a_checkpoint_alone_is_enough(wires: Path, tmp_path: Path) -> None:
    copy = tmp_path / "a.ckpt"
    copy.write_bytes((wires / "checkpoints" / "best.ckpt").read_bytes())
    run = library.load(copy, "cpu")
    assert run.metrics == {}
    assert run.config.network.depth == 2
    for one, other in zip(run.network.parameters(), library.load(wires, "cpu").network.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert "UResNet for Segmentation after 2 steps" in repr(run)


def test_metrics_are_the_tables_of_the_run(wires: Path) -> None:
    train = library.load(wires, "cpu").metrics["train"]
    assert train["step"].tolist() == [1, 2]
    assert np.isfinite(train["loss"]).all()


def test_a_checkpoint_of_an_older_version_is_refused_in_one_line(wires: Path, tmp_path: Path) -> None:
    state = checkpoint.load(wires / "checkpoints" / "best.ckpt")
    del state["spec"]
    path = checkpoint.CheckpointFolder(tmp_path).save(state, best=False)
    with pytest.raises(UserError, match="older version"):
        library.load(path, "cpu")


def test_a_spec_of_a_foreign_class_is_refused(wires: Path, tmp_path: Path) -> None:
    """Nothing that a file names is called but descriptions of data of airshower's and the network's packages."""
    state = checkpoint.load(wires / "checkpoints" / "best.ckpt")
    for foreign in ("os.system", "subprocess.Popen", "airshower.main.cli", "airshower.library.run.Run"):
        state["spec"] = {"class": foreign, "fields": {}}
        path = checkpoint.CheckpointFolder(tmp_path).save(state, best=False)
        with pytest.raises(DataError, match=foreign.rpartition(".")[2]):
            library.load(path, "cpu")


def test_nothing_there_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such checkpoint"):
        library.load(tmp_path / "nothing")
    with pytest.raises(UserError, match="no checkpoint is there"):
        library.load(tmp_path)


def test_training_is_that_of_the_command_line(wires: Path, tmp_path: Path) -> None:
    run = library.train("uresnet", ["network.vertex_depth=1", *TINY], task="neutrino", folder=tmp_path / "run")
    for one, other in zip(run.network.parameters(), library.load(wires, "cpu").network.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert run.path == tmp_path / "run" / "checkpoints" / "best.ckpt"


def test_training_goes_on_in_a_thread(tmp_path: Path) -> None:
    library.train("uresnet", [*TINY], folder=tmp_path / "run")
    steps = []

    def go_on() -> None:
        steps.append(library.train("uresnet", [*TINY, "run.iterations=3"], folder=tmp_path / "run").metrics)

    thread = threading.Thread(target=go_on)
    thread.start()
    thread.join()
    assert steps[0]["train"]["step"].tolist() == [1, 2, 3]


def test_mistakes_are_user_errors(tmp_path: Path) -> None:
    for words, said in ((["network.depht=2"], "depht"), (["run.iterations=-1"], "run.iterations"), (["a=("], "a=")):
        with pytest.raises(UserError, match=said):
            library.train("uresnet", words, folder=tmp_path)


def test_importing_the_package_imports_neither_torch_nor_hydra() -> None:
    code = "import sys, airshower; assert not {'torch', 'hydra', 'numpy'} & set(sys.modules); airshower.open"
    subprocess.run([sys.executable, "-c", code], check=True)
