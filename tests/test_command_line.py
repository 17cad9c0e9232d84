"""The command line: help, and one line for every mistake."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.command import TINY, airshower

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("network.depht=3", "depht"),
        ("+network.depht=3", "network.depht: there is no such key; did you mean network.depth?"),
        ("network.depth=three", "network.depth"),
        ("network.depth=99", "network.depth=99: must be at least 0 and at most 12"),
        ("network.connections=sideways", "network.connections=sideways: must be one of concat, sum, none"),
        ("run.iterations=1e3", "run.iterations"),
        ("run.minibatch_size=0", "run.minibatch_size=0: must be at least 1"),
        ("+run.mini=1", "run.mini: there is no such key"),
        ("mode.optimizer.learning_rate=0", "mode.optimizer.learning_rate=0.0: must be above 0"),
        ("mode.optimizer.learning_rate=nan", "mode.optimizer.learning_rate=nan"),
        ("+mode.optimizer.schedule.warmpu=2", "did you mean mode.optimizer.schedule.warmup?"),
        ("mode.optimizer.schedule.name=sawtooth", "mode.optimizer.schedule.name=sawtooth: must be one of constant"),
        ("mode=trian", "trian"),
        ("network=resunet", "resunet"),
        ("learning_rate=1", "learning_rate"),
        ("data=null", "Config group override must be a string or a list"),
        ("+learning_rate=1", "learning_rate: there is no such section"),
        ("data.reader=queueloader", "data.reader=queueloader: with numpy >= 2"),
        ("data.seed=-1", "data.seed=-1: must be at least 0"),
        ("run.precision=mixed", "run.precision=mixed: float16 needs an accelerator"),
        ("run.compute_mode=gpuu", "run.compute_mode=gpuu: must be one of auto, cpu, gpu, xpu, mps"),
        ("network._target_=airshower.networks.uresnet.network.UNet", "can't be imported"),
        ("data.downsample=6", "data.downsample=6: images of 96 x 128 pixels can be halved at most 5 times"),
        ("network.depth=6", "network.depth=6: images of 96 x 128 pixels"),
        ("task._target_=tests.test_command_line.AnotherTask", "task: this network is trained with task=segmentation"),
        ("mode.weights_location=nowhere", "mode.weights_location=nowhere: no checkpoint is there"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(tmp_path: Path, override: str, says: str) -> None:
    outcome = airshower("mode=train", *TINY, f"output_dir={tmp_path / 'out'}", override)
    assert outcome.code == 2
    assert says in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "out" / "checkpoints").exists()


class AnotherTask:
    """A task that no network of this version is trained for."""

    from airshower.tasks.segmentation.task import Segmentation

    name, Config, check_columns = "rings", Segmentation.Config, Segmentation.check_columns


def test_an_output_folder_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    outcome = airshower("mode=train", *TINY, f"output_dir={tmp_path / 'file' / 'run'}")
    assert outcome.code == 2
    assert f"{tmp_path / 'file' / 'run'}: can't be written" in outcome.err


@pytest.mark.parametrize("mode", ["train", "iotest", "inspect", "inference"])
def test_a_missing_file_is_named_in_every_mode(tmp_path: Path, mode: str) -> None:
    outcome = airshower(f"mode={mode}", "data=lartpc", "data.file=/nowhere/events.h5", f"output_dir={tmp_path}")
    assert outcome.code == 2
    assert outcome.err == "airshower: /nowhere/events.h5: there is no such file\n"


def test_a_mandatory_value_is_asked_for() -> None:
    outcome = airshower("data=lartpc")
    assert outcome.code == 2
    assert outcome.err == "airshower: data.file: has no value; give one, as in data.file=...\n"


def test_inference_without_a_checkpoint_says_so(tmp_path: Path) -> None:
    outcome = airshower("mode=inference", *TINY, f"output_dir={tmp_path / 'none'}")
    assert outcome.code == 2
    assert "no checkpoint is there" in outcome.err


def test_processes_that_do_not_see_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The launcher started two, MPI counts one: each would believe to be rank 0."""
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    outcome = airshower("mode=iotest", *TINY, "run.distributed=true")
    assert outcome.code == 2
    assert "2 processes" in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_help_teaches_without_torch() -> None:
    code = (
        "import sys; sys.argv = ['airshower', '--help']\n"
        "from airshower.main import cli\n"
        "try: cli()\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    for word in (
        "train",
        "iotest",
        "inspect",
        "simulate",
        "inference",
        "uresnet",
        "a21",
        "scc21",
        "polaris",
        "lartpc_simulated",
    ):
        assert word in done.stdout
    assert done.stdout.count("python bin/exec.py mode=") >= 6


def test_exec_and_the_installed_command_say_the_same() -> None:
    commands = [[sys.executable, str(ROOT / "bin" / "exec.py")], [str(Path(sys.executable).parent / "airshower")]]
    printed = [
        subprocess.run([*c, "--cfg", "job"], capture_output=True, text=True, check=True).stdout for c in commands
    ]
    assert printed[0] == printed[1]
    assert "n_initial_filters: 8" in printed[0]


def test_a_users_own_yaml_is_found_and_checked(tmp_path: Path) -> None:
    (tmp_path / "network").mkdir()
    mine = tmp_path / "network" / "mine.yaml"
    mine.write_text(
        "# @package _global_\ndefaults:\n  - uresnet\n  - _self_\nnetwork:\n  depth: 1\n  n_initial_filters: 2\n"
    )
    tiny = [item for item in TINY if not item.startswith(("network=", "network.depth", "network.n_init"))]
    command = ("--config-dir", str(tmp_path), "network=mine", *tiny, f"output_dir={tmp_path / 'out'}")
    assert airshower(*command, "mode=train", "mode.no_summary_images=true").code == 0
    assert "depth: 1" in (tmp_path / "out" / "config.yaml").read_text()
    mine.write_text(mine.read_text() + "  depht: 2\n")
    outcome = airshower(*command, "mode=train", "run.overwrite=true")
    assert outcome.code == 2
    assert "did you mean network.depth?" in outcome.err


def test_the_old_command_lines_vocabulary_works() -> None:
    words = (
        "run.id=x run.distributed=false run.iterations=5 run.minibatch_size=1 run.aux_iterations=2 run.profile=false"
    )
    words += " run.compute_mode=CPU run.precision=float32 mode.optimizer.learning_rate=0.01 data.downsample=1"
    words += " mode.optimizer.gradient_accumulation=2 mode.optimizer.name=adam mode.no_summary_images=true"
    words += " mode.weights_location=x mode.checkpoint_iteration=5 network.block_concat=false framework.seed=3"
    started = time.monotonic()
    assert (
        airshower("--cfg", "job", "--resolve", "network=a21", "data=lartpc", "data.file=a.h5", *words.split()).code == 0
    )
    assert time.monotonic() - started < 60
