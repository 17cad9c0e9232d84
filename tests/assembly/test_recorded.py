"""A run's folder is enough: to go on, to infer, and with other files."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airshower.assembly.compose import compose, parsed, word
from airshower.config.record import unsealed
from airshower.engine import checkpoint
from tests.command import TINY, TINY_SHOWERS, airshower

WORDS = ("mode=train", "network=uresnet", "mode.optimizer.learning_rate=1e-4", *TINY)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of these tests alone."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as context:
        context.setenv("AIRSHOWER_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "a run, 'the first'"
    outcome = airshower(*WORDS, word("output_dir", folder))
    assert outcome.code == 0, outcome.err
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy elsewhere: a folder may be moved."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture(scope="module")
def showers(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    folder = tmp_path_factory.mktemp("showers") / "run"
    outcome = airshower("mode=train", "network=cta_stereo_resnet", *TINY_SHOWERS, f"output_dir={folder}")
    assert outcome.code == 0, outcome.err
    return folder


def test_inference_needs_nothing_else(run: Path) -> None:
    outcome = airshower("mode=inference", f"run.folder={run}")
    assert outcome.code == 0, outcome.err
    told = airshower("mode=inference", *WORDS[1:2], *TINY, f"mode.weights_location={run}", f"output_dir={run / 'told'}")
    assert told.code == 0, told.err
    for name in ("metrics.json", "events.csv"):
        assert (run / "predictions" / name).read_text() == (run / "told" / "predictions" / name).read_text()


def test_a_folder_of_any_name_goes_on(trained: Path, tmp_path: Path) -> None:
    outcome = airshower("mode=inference", word("run.folder", trained), f"output_dir={tmp_path}", "mode.displays=0")
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "predictions" / "metrics.json").exists()
    assert not (trained / "predictions").exists()


def test_training_goes_on(run: Path) -> None:
    outcome = airshower("mode=train", f"run.folder={run}", "run.iterations=4", "mode.extension=stretch")
    assert outcome.code == 0, outcome.err
    assert "resuming" in outcome.out
    assert checkpoint.find_and_load(str(run / "checkpoints" / "step_00000004.ckpt"))[1]["step"] == 4
    assert "learning_rate: 0.0001" in unsealed(run / "config.yaml")
    again = airshower(f"run.folder={run}")
    assert again.code == 0, again.err
    assert "step 4 is reached already" in again.out


def test_keys_that_contradict_the_network_are_named_and_only_those(run: Path) -> None:
    outcome = airshower("mode=inference", f"run.folder={run}", "network.depth=3", "network.blocks_final=1")
    assert outcome.code == 2
    (line,) = outcome.err.splitlines()
    assert line == f"airshower: network.depth=3 (it has 2): is not the network that was trained in {run}; leave it out"
    other = airshower("mode=inference", f"run.folder={run}", "network=uresnet_sparse")
    assert other.code == 2
    assert "network.depth" in other.err
    assert len(other.err.splitlines()) == 1


@pytest.mark.parametrize("named", [True, False])
def test_files_are_read_as_the_simulation_was_that_it_trained_on(run: Path, cache: Path, named: bool) -> None:
    (file,) = cache.glob("lartpc_simulated/validation_3_*.h5")
    words = ["data=lartpc"] if named else []
    outcome = airshower("mode=inference", f"run.folder={run}", f"data.file={file}", *words, "mode.displays=0")
    assert outcome.code == 0, outcome.err
    config = compose_of(run / "predictions" / "config.yaml")
    assert config["data"]["_target_"].endswith(".Lartpc")
    assert config["data"]["downsample"] == 0  # lartpc's own default is 2
    assert "3 events with the weights" in outcome.out


def test_other_files_forget_how_those_before_were_split(cache: Path, run: Path, tmp_path: Path) -> None:
    (train,) = cache.glob("lartpc_simulated/train_6_*.h5")
    (test,) = cache.glob("lartpc_simulated/validation_3_*.h5")
    words = ["network=uresnet", *(item for item in TINY if not item.startswith("data.") or "downsample" in item)]
    files = [f"data.file={train}", "data.validation_fraction=0.3", "data.test_fraction=0.3"]
    outcome = airshower("mode=train", *words, *files, f"output_dir={tmp_path / 'files'}")
    assert outcome.code == 0, outcome.err
    own = airshower("mode=inference", f"run.folder={tmp_path / 'files'}", "mode.displays=0")
    assert "2 events with the weights" in own.out
    other = airshower(
        "mode=inference", f"run.folder={tmp_path / 'files'}", f"data.file={test}", f"output_dir={tmp_path / 'other'}"
    )
    assert other.code == 0, other.err
    assert "3 events with the weights" in other.out


def test_stereo_events_are_read_as_in_training(showers: Path, cache: Path, tmp_path: Path) -> None:
    (file,) = cache.glob("cta_simulated/train_12_*.h5")
    outcome = airshower("mode=inference", f"run.folder={showers}", f"data.file={file}", f"output_dir={tmp_path}")
    assert outcome.code == 0, outcome.err
    assert compose_of(tmp_path / "predictions" / "config.yaml")["data"]["mode"] == "stereo"


def test_predictions_of_other_files_go_elsewhere(run: Path, cache: Path) -> None:
    (file,) = cache.glob("lartpc_simulated/validation_3_*.h5")
    assert airshower("mode=inference", f"run.folder={run}", "mode.displays=0").code == 0
    outcome = airshower("mode=inference", f"run.folder={run}", f"data.file={file}", "mode.displays=0")
    assert outcome.code == 2
    assert "; choose another output_dir, or run.overwrite=true" in outcome.err


def test_iotest_reads_the_data_of_a_run(showers: Path, tmp_path: Path) -> None:
    outcome = airshower("mode=iotest", f"run.folder={showers}", f"output_dir={tmp_path}", "run.iterations=1")
    assert outcome.code == 0, outcome.err
    assert json.loads((tmp_path / "iotest" / "report.json").read_text())


def test_files_name_their_data_without_a_run(cache: Path, trained: Path, tmp_path: Path) -> None:
    (file,) = cache.glob("lartpc_simulated/train_6_*.h5")
    outcome = airshower("mode=iotest", f"data.file={file}", f"output_dir={tmp_path}", "run.iterations=1")
    assert outcome.code == 0, outcome.err
    unknown = tmp_path / "a.h5"
    unknown.write_text("nothing")
    outcome = airshower("mode=iotest", f"data.file={unknown}")
    assert outcome.code == 2
    assert outcome.err == f"airshower: {unknown}: is of no known format; data=NAME says how to read it\n"


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda run: (run / "config.yaml").unlink(), "is no folder of a run"),
        (lambda run: (run / "config.yaml").write_text("# cut"), "is damaged"),
        (lambda run: (run / "provenance.json").write_text("[{"), "does not say how the run was started"),
        (lambda run: (run / "provenance.json").write_text("[]"), "does not say how the run was started"),
        (lambda run: shutil.rmtree(run / "checkpoints"), "no checkpoint is there"),
    ],
)
def test_what_a_folder_lacks_is_one_line(run: Path, damage: Callable[[Path], object], says: str) -> None:
    damage(run)
    outcome = airshower("mode=inference", f"run.folder={run}")
    assert outcome.code != 0
    (line,) = outcome.err.splitlines()
    assert says in line
    assert str(run) in line


def test_a_runs_folder_is_no_folder_of_configs(run: Path) -> None:
    outcome = airshower("--config-dir", str(run), "mode=inference")
    assert outcome.code == 2
    assert outcome.err == f"airshower: --config-dir={run}: is the folder of a run; run.folder={run} goes on with it\n"


def test_words_come_back_whatever_they_hold() -> None:
    for text in ("/a b/c", "it's", "a=b,c", "{x}", "back\\slash", "ä", "[1]", "$HOME", "null"):
        (item,) = parsed([word("run.folder", text)])
        assert item.value() == text


def test_composing_leaves_hydra_as_it_was() -> None:
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig

    before = GlobalHydra.instance().hydra, HydraConfig.instance().cfg
    assert compose(["network=a21", "run.id=x"]).output_dir == "output/torch/a21/x"
    assert (GlobalHydra.instance().hydra, HydraConfig.instance().cfg) == before


def compose_of(path: Path) -> dict:
    from omegaconf import OmegaConf

    config = OmegaConf.to_container(OmegaConf.create(unsealed(path)))
    assert isinstance(config, dict)
    return config
