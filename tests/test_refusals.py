"""Whole runs that meet damage, a shortage or a trap: one line, no traceback, and nothing lost."""

import re
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from airshower.engine.checkpoint import CheckpointFolder
from airshower.runtime.lock import Lock
from airshower.writers.scalars import read_table
from tests.checkpoints import newest
from tests.command import TINY, TINY_TRAIN, Outcome, airshower
from tests.processes import start

TORCH_LOG = re.compile(r"[WE]\d{4} [\d:.]+ \d+ ")  # lines of torch's own log, about a module that it could not open
TRAIN = (*TINY_TRAIN, "mode.checkpoint_iteration=1", "mode.validation_iteration=0", "mode.optimizer.learning_rate=1e-3")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps, to be left as it is."""
    folder = tmp_path_factory.mktemp("finished")
    assert airshower(*TRAIN, f"output_dir={folder}").code == 0
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A run of two steps of the test's own."""
    return shutil.copytree(finished, tmp_path / "run")


def resume(run: Path, *more: str) -> Outcome:
    return airshower(*TRAIN, f"output_dir={run}", "run.iterations=3", *more)


def assert_one_line(outcome: Outcome, says: str, code: int = 2) -> None:
    assert outcome.code == code, outcome
    (line,) = outcome.err.splitlines()
    assert line.startswith("airshower: ")
    assert says in line


def test_a_finished_run_that_goes_on_says_with_which_learning_rate(run: Path, tmp_path: Path) -> None:
    """The rate stays at the schedule's end by default. Once it jumped back to near the peak without a word."""
    started = [row["learning_rate"] for row in read_table(run / "metrics" / "train.csv")]
    runs = {extension: shutil.copytree(run, tmp_path / extension) for extension in ("keep", "restart", "stretch")}
    expected = {
        "keep": [1e-5] * 4,
        # by hand: a cycle of four steps, and the last four of six
        "restart": [4e-5, 9.357e-4, 8.136e-4, 2.902e-4],
        "stretch": [9.945e-4, 8.136e-4, 4.680e-4, 1.421e-4],
    }
    for extension, folder in runs.items():
        command = (*TRAIN, f"output_dir={folder}", "run.iterations=6")
        outcome = airshower(*command, f"mode.extension={extension}")
        assert outcome.code == 0, outcome.err
        warned = "run.iterations=6: the schedule of the learning rate was for 2 steps; "
        assert warned + f"mode.extension={extension}: " in outcome.out
        rates = [row["learning_rate"] for row in read_table(folder / "metrics" / "train.csv")]
        assert rates == pytest.approx(started + expected[extension], rel=1e-3)
    again = airshower(*command, f"mode.extension={extension}")
    assert "schedule of the learning rate" not in again.out
    assert "raise run.iterations to go on (mode.extension" in again.out


def test_a_damaged_checkpoint_is_passed_over_with_one_line(run: Path) -> None:
    path = run / "checkpoints" / "step_00000002.ckpt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    outcome = resume(run)
    assert outcome.code == 0, outcome.err
    (line,) = [line for line in outcome.out.splitlines() if "is damaged" in line]
    assert line.startswith(f"{path}: is damaged or no checkpoint (its content does not fit its digest); using the one")
    assert "at step 1 of 3" in outcome.out
    assert [row["step"] for row in read_table(run / "metrics" / "train.csv")] == [1, 2, 3]


@pytest.mark.parametrize("lost", ["model", "optimizers", "config"])
def test_checkpoints_without_one_of_their_keys_are_named(run: Path, lost: str) -> None:
    for path in (run / "checkpoints").glob("*.ckpt"):
        state = torch.load(path, weights_only=True)
        del state[lost]
        torch.save({**state, "format": 1}, path)
    outcome = resume(run)
    assert_one_line(outcome, f"{run / 'checkpoints'}: none of its 2 checkpoints can be read")
    assert f"step_00000002.ckpt: is no whole checkpoint, it has no {lost}" in outcome.out


@pytest.mark.parametrize(
    "change",
    [
        {"optimizers": [{}]}, {"plan": {}}, {"config": ""}, {"data": 5},
        *(
            pytest.param(change, marks=pytest.mark.full)
            for change in (
                {"optimizers": []}, {"optimizers": 5}, {"model": {}}, {"model": None}, {"plan": None},
                {"random": [{}]}, {"config": 5}, {"step": "two"}, {"cycle": [1]}, {"averages": [{}]},
            )
        ),
    ],
    ids=str,
)  # fmt: skip
def test_a_checkpoint_of_other_content_is_refused(run: Path, change: dict) -> None:
    for path in (run / "checkpoints").glob("*.ckpt"):
        torch.save({**torch.load(path, weights_only=True), **change, "format": 1}, path)
    before = (run / "metrics" / "train.csv").read_bytes()
    outcome = resume(run)
    assert_one_line(outcome, str(run) if change != {"data": 5} else "data.file")
    assert (run / "metrics" / "train.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "damage", "says"),
    [
        ("metrics/train.csv", lambda text: text.replace("\r\n2,", "\r\n2,x"), "is not a table of numbers (line 3: "),
        ("metrics/train.csv", lambda text: text.replace("step", "stop"), "is not a table of numbers (line 1: "),
        ("config.yaml", lambda text: text[: len(text) // 2], "is damaged (its checksum does not fit"),
        ("config.yaml", lambda text: text.replace("depth: 2", "depth: 3"), "is damaged (its checksum does not fit"),
        ("config.yaml", lambda _: "[" * 20_000, "is damaged ("),
        ("provenance.json", lambda text: text[: len(text) // 2], "is damaged ("),
    ],
)
def test_a_damaged_file_of_a_run_is_named(run: Path, name: str, damage: Callable[[str], str], says: str) -> None:
    path = run / name
    path.write_bytes(damage(path.read_bytes().decode()).encode())
    changing = ("process.log", "config.yaml")[: 1 + name.startswith("metrics")]
    before = {file: file.read_bytes() for file in run.rglob("*.*") if file.name not in changing}
    assert_one_line(resume(run), f"{path}: {says}")
    assert {file: file.read_bytes() for file in before} == before


def test_a_row_that_was_cut_short_is_written_anew(run: Path) -> None:
    path = run / "metrics" / "train.csv"
    with open(path, "ab") as handle:
        handle.write(b"3,0.12")
    assert resume(run).code == 0
    rows = read_table(path)
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert rows[-1]["loss"] != 0.12


def test_a_run_whose_config_was_lost_is_that_of_its_checkpoints(run: Path) -> None:
    (run / "config.yaml").unlink()
    refused = resume(run, "task.loss_balance_scheme=light")
    assert_one_line(refused, "its checkpoints are of another config (task.loss_balance_scheme: focal -> light)")
    (run / "config.yaml").unlink()
    assert resume(run).code == 0
    assert newest(run)["step"] == 3


def test_overwriting_starts_over_where_checkpoints_are_a_link(run: Path, tmp_path: Path) -> None:
    scratch = (run / "checkpoints").rename(tmp_path / "scratch")
    (run / "checkpoints").symlink_to(scratch)
    (scratch / "notes.txt").write_text("mine")
    outcome = airshower(*TRAIN, f"output_dir={run}", "run.overwrite=true", "run.iterations=1")
    assert outcome.code == 0, outcome.err
    assert "resuming" not in outcome.out
    assert (run / "checkpoints").is_symlink()
    steps = [path.name for path in CheckpointFolder(scratch).paths()]
    assert steps == ["step_00000001.ckpt"]
    assert (scratch / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("identity", ["../../x", "..", "/tmp/x", "a/../../../x", "."])
def test_a_run_stays_in_the_output_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, identity: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert_one_line(airshower(*TRAIN, f"run.id={identity}"), f"run.id='{identity}': must be the name of a folder")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("network._target_=os.system", "network._target_=os.system: must name a class for network, with a dataclass"),
        ("data._target_=os.system", "data._target_=os.system: must name a class for data"),
        ("task._target_=os.system", "task._target_=os.system: must name a class for task"),
        ("+run._target_=os.system", "run._target_: there is no such key"),
        ("+mode._target_=os.system", "mode._target_: there is no such key"),
        ("+framework._target_=os.system", "framework._target_: there is no such key"),
        ("+mode.optimizer._target_=os.system", "mode.optimizer._target_: there is no such key"),
        ("+data.simulation._target_=os.system", "data.simulation._target_: there is no such key"),
        ("+network.encoder={_target_:os.system}", "network.encoder: there is no such key"),
        ("network.depth={_target_:os.system}", "network.depth"),
        (
            "network._target_=airshower.networks.uresnet.network",
            "network._target_=airshower.networks.uresnet.network: must name",
        ),
        ("network._target_=airshower.tasks.segmentation.task.Segmentation", "must name a class for network"),
    ],
)
def test_no_target_is_called_that_is_no_class_with_a_config(tmp_path: Path, override: str, says: str) -> None:
    assert_one_line(airshower(*TRAIN, f"output_dir={tmp_path / 'run'}", override), says)
    assert not (tmp_path / "run").exists()


def limited(tmp_path: Path, kind: int, limit: int, *overrides: str) -> tuple[int, str]:
    """Exit code and output of training in a process with a limit on open files or on the size of a file."""
    process = start(tmp_path / "output", *TRAIN, f"output_dir={tmp_path / 'run'}", *overrides, limits={kind: limit})
    process.join(120)
    lines = (tmp_path / "output").read_text().splitlines(keepends=True)
    text = "".join(line for line in lines if not TORCH_LOG.match(line))
    assert "Traceback" not in text
    return process.exitcode, text.splitlines()[-1]


@pytest.mark.parametrize(
    "limit", [10, *(pytest.param(limit, marks=pytest.mark.full) for limit in range(8, 17) if limit != 10)]
)
def test_too_few_open_files_are_one_line(tmp_path: Path, limit: int) -> None:
    code, last = limited(tmp_path, resource.RLIMIT_NOFILE, limit)
    if code:
        assert (code, last.startswith("airshower: ")) in ((1, True), (2, True)), last
        assert "Too many open files" in last
        assert last.endswith("; raise the limit of open files, as with ulimit -n 4096")


@pytest.mark.parametrize(("kilobytes", "says"), [(100, "there is none before it"), (3, "File too large")])
def test_a_first_checkpoint_that_does_not_fit_has_none_before_it(tmp_path: Path, kilobytes: int, says: str) -> None:
    code, last = limited(tmp_path, resource.RLIMIT_FSIZE, 1000 * kilobytes)
    assert code in (1, 2)
    assert last.startswith("airshower: ")
    assert says in last
    assert not list((tmp_path / "run").rglob("*.partial"))


def test_a_later_checkpoint_that_does_not_fit_leaves_the_one_before(finished: Path, run: Path, tmp_path: Path) -> None:
    code, last = limited(tmp_path, resource.RLIMIT_FSIZE, 100_000, "run.iterations=3")
    assert code == 2
    assert last.endswith("the checkpoint can't be written (File too large); step_00000002.ckpt is whole")
    assert newest(run)["step"] == 2


def test_inference_into_predictions_that_another_process_writes_is_refused(run: Path) -> None:
    (run / "predictions").mkdir()
    lock = Lock(run / "predictions" / "run.lock")
    lock.acquire()
    outcome = airshower("mode=inference", *TINY, "mode.displays=0", f"output_dir={run}", "run.overwrite=true")
    lock.release()
    assert_one_line(outcome, f"{run / 'predictions'}: process ")
    assert list((run / "predictions").iterdir()) == []


def test_inference_of_a_run_with_a_damaged_best_checkpoint_says_so(run: Path) -> None:
    shutil.copy(run / "checkpoints" / "step_00000001.ckpt", run / "checkpoints" / "best.ckpt")
    with open(run / "checkpoints" / "best.ckpt", "r+b") as handle:
        handle.seek(5000)
        handle.write(b"\xff\xff")
    outcome = airshower("mode=inference", *TINY, "mode.displays=0", f"output_dir={run}")
    assert outcome.code == 0, outcome.err
    assert "best.ckpt: is damaged or no checkpoint" in outcome.out
    assert "(step 2)" in outcome.out
