"""scripts/compare: runs beside each other in a table, figures and a page that a browser opens without a network."""

import csv
import html.parser
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from airshower.comparison import __main__ as program
from airshower.comparison.curves import COLOURS, MOST_POINTS, learning_figure
from airshower.comparison.runs import read_runs
from airshower.comparison.table import HIGHER, LOWER, ZERO, Column, Comparison, better
from tests.command import TINY_INFERENCE, TINY_SHOWERS, TINY_TRAIN, Outcome, airshower

ROOT = Path(__file__).parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
EVIL = "<b>evil<!-- & $x^2"
CURVE = {
    "name": "angular_resolution", "label": "angular resolution (68 %)", "unit": "deg", "against": "true_energy",
    "against_label": "true energy", "against_unit": "TeV", "log": True, "edges": [0.1, 1.0, 10.0],
    "value": [0.2, None], "error": [[0.01, None], [0.02, None]], "events": [50, 1],
}  # fmt: skip
OTHER = CURVE | {"against": "multiplicity", "against_label": "telescopes", "against_unit": "", "log": False}
CONFIG = """run: {{id: '{id}', iterations: 3}}
network: {{_target_: airshower.networks.telescopes.network.TelescopeNetwork, width: {width}}}
task: {{_target_: airshower.tasks.{task}, weight: {weight}}}
data: {{_target_: airshower.detectors.cta.source.Cta, file: [a.h5, b.h5]}}
output_dir: output/torch/cta_mono_resnet/{id}
"""


def write_run(
    folder: Path,
    auc: float | None = None,
    loss: float = 1.0,
    width: int = 8,
    task: str = "reconstruction.Reconstruction",
    weight: float = 1.0,
    digest: str = "same",
) -> Path:
    """A run as train and inference leave it; `auc` None: without predictions."""
    (folder / "metrics").mkdir(parents=True)
    config = CONFIG.format(id=folder.name, width=width, task=task, weight=weight)
    (folder / "config.yaml").write_text(config)
    (folder / "provenance.json").write_text(json.dumps([{"overrides": ["mode=train", EVIL], "parameters": 1234}]))
    for name in ("train", "validation"):
        rows = [f"{step},{loss + 1 / step},{0.5 + 0.1 * step}" for step in (1, 2, 3)]
        (folder / "metrics" / f"{name}.csv").write_text("\n".join(["step,loss,plane0/AUC", *rows, ""]))
    if auc is not None:
        predictions = folder / "predictions"
        predictions.mkdir()
        (predictions / "config.yaml").write_text(config)
        (predictions / "provenance.json").write_text(json.dumps([{"step": "3", "data": digest}]))
        metrics = {"loss": loss, "AUC": auc, "energy/bias": auc - 0.8, "core/error": None, "unheard": 1}
        (predictions / "metrics.json").write_text(
            json.dumps({"events": 4, "metrics": metrics, "curves": [CURVE, OTHER]})
        )
        events = "entry,type,score_gamma,true_type\n0,gamma,0.9,gamma\n1,gamma,0.6,proton\n2,proton,0.4,gamma\n"
        (predictions / "events.csv").write_text(events)
    return folder


def compare(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> Outcome:
    """What `scripts/compare ARGUMENTS` does, in this process."""
    monkeypatch.setattr(sys, "argv", ["compare", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "120")
    code = 0
    try:
        program.main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    printed = capsys.readouterr()
    return Outcome(code, printed.out, printed.err)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs of one task, the last without predictions, and one whose name is not to be trusted."""
    folder = tmp_path_factory.mktemp("compared")
    runs = [write_run(folder / "first", 0.7, width=4), write_run(folder / EVIL, 0.9), write_run(folder / "third", 0.8)]
    program.compare([*runs, write_run(folder / "_untried", loss=0.5)], folder / "made", overwrite=False)
    return folder / "made"


class Page(html.parser.HTMLParser):
    """The elements, what they refer to, and the text of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.references, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value for name, value in attributes if re.fullmatch("(xlink:)?href|src(set)?|data", name)]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_table_has_a_row_a_run_and_every_metric(compared: Path) -> None:
    with open(compared / "table.csv") as handle:
        rows = {row["run"]: row for row in csv.DictReader(handle)}
    assert list(rows) == ["first", EVIL, "third", "_untried"]
    first = rows["first"]
    about = {"network": "cta_mono_resnet", "task": "Reconstruction", "data": "a.h5, b.h5", "weights": "1234"}
    about |= {"step": "3", "predicted at step": "3", "entries": "4", "predictions/AUC": "0.7", "validation/loss": "1.3"}
    assert {key: first[key][:3] if key == "validation/loss" else first[key] for key in about} == about
    assert first["validation/plane0/AUC"] == "0.8"
    assert first["predictions/core/error"] == "", "null"
    assert rows["_untried"]["predictions/AUC"] == rows["_untried"]["entries"] == ""
    with open(compared / "differences.csv") as handle:
        assert list(csv.DictReader(handle)) == [
            {"key": "network.width", "first": "4", EVIL: "8", "third": "8", "_untried": "8"}
        ]


def test_the_page_holds_all_and_refers_to_nothing(compared: Path) -> None:
    page = Page((compared / "index.html").read_text())
    assert page.tags.count("svg") == len(list((compared / "figures").iterdir())) == 5
    assert all(reference.startswith("#") for reference in page.references)
    assert not {"b", "img", "link", "iframe"} & set(page.tags), "what runs supply is text"
    assert page.texts.count(EVIL) >= 5
    styled = re.findall(r"url\(([^)]*)\)|@import", "".join(page.texts))
    assert not styled


def test_learning_curves_performance_and_scores_are_drawn(compared: Path) -> None:
    names = {path.name for path in (compared / "figures").iterdir()}
    assert names == {
        "angular_resolution_against_true_energy.png", "angular_resolution_against_telescopes.png", "roc_gamma.png",
        "scores_gamma.png", "learning_loss.png",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("loss", LOWER), ("negative_loss", HIGHER), ("AUC", HIGHER), ("accuracy", HIGHER), ("energy/error", LOWER),
        ("energy/bias", ZERO), ("energy_bias", ZERO), ("angular_resolution", LOWER), ("core_resolution", LOWER),
        ("Average/Dataset_mIoU", HIGHER), ("Average/Cosmic_IoU", HIGHER), ("Average/Non_Bkg_Accuracy", HIGHER),
        ("KS/rec.logNPE", LOWER), ("Kuiper/rec.azimuthAngle", LOWER), ("Wasserstein/rec.nHit", LOWER), ("FPD", ZERO),
        ("classifier_AUC_with_conditions", LOWER), ("closure_mean", LOWER), ("memorisation/ratio_of_medians", ""),
        ("negative_Wasserstein", HIGHER), ("log_likelihood", HIGHER),
        ("Average/VertexResolution", LOWER), ("Average/VertexDetection", HIGHER), ("Average/EventLabel", HIGHER),
        ("images_per_second", ""), ("unheard", ""),
    ],
)  # fmt: skip
def test_the_direction_of_a_metric_is_known_by_its_name(metric: str, direction: str) -> None:
    assert better(metric) == direction


@pytest.mark.parametrize(
    ("direction", "best"), [(HIGHER, {1}), (LOWER, {0}), (ZERO, {2, 3}), ("", set())], ids=["up", "down", "zero", "?"]
)
def test_the_best_is_the_best_known_value_and_ties_are_all_best(direction: str, best: set[int]) -> None:
    assert Column("x", direction, (-2.0, 3.0, 1.0, -1.0, float("nan"))).best == best
    assert not Column("x", direction, (float("nan"), 1.0)).best, "nothing to compare with"


def test_unlike_runs_are_compared_by_what_they_share(tmp_path: Path) -> None:
    """Another task, another loss, other data: said, and losses are not ranked."""
    runs = [write_run(tmp_path / "a", 0.7), write_run(tmp_path / "b", 0.8, digest="other", weight=2.0)]
    other = write_run(tmp_path / "c", 0.5, task="segmentation.Segmentation")
    record = json.loads((other / "predictions" / "metrics.json").read_text())
    record["metrics"] = {"loss": 1.0, "mIoU": 0.5}
    (other / "predictions" / "metrics.json").write_text(json.dumps(record))
    comparison = Comparison(read_runs([*runs, other, write_run(tmp_path / "d")]))
    (column,) = comparison.predicted.shown
    assert (column.name, column.better) == ("loss", "")
    notes = " ".join(comparison.notes())
    assert "tasks differ (Reconstruction: a, b, d; Segmentation: c)" in notes
    assert "different data (a.h5, b.h5 other: b; a.h5, b.h5 same: a, c)" in notes
    assert "Without predictions (mode=inference makes them): d." in notes
    assert "Not in all predictions, so in table.csv only: AUC, energy/bias, core/error, unheard, mIoU." in notes
    assert "none is marked as best" in notes


def test_like_runs_need_no_notes(tmp_path: Path) -> None:
    runs = read_runs([write_run(tmp_path / "a", 0.7), write_run(tmp_path / "b", 0.8, width=2)])
    comparison = Comparison(runs)
    assert not comparison.notes()
    assert {column.name: column.best for column in comparison.predicted.shown} == {
        "loss": {0, 1}, "AUC": {1}, "energy/bias": {1}, "core/error": set(), "unheard": set(),
    }  # fmt: skip


def test_names_take_the_folder_above_where_they_must(tmp_path: Path) -> None:
    folders = [write_run(tmp_path / place) for place in ("uresnet/run", "a21/run", "a21/wide")]
    assert [run.name for run in read_runs(folders)] == ["uresnet/run", "a21/run", "wide"]


def broken(folder: Path, name: str, text: str) -> Path:
    """A run with one file spoilt."""
    (write_run(folder, 0.5) / name).write_text(text)
    return folder


PROBLEMS = {
    "missing": (lambda at: [at / "nowhere"], "nowhere: there is no such folder"),
    "not a run": (lambda at: [at], "is not a run, it has no config.yaml"),
    "empty": (lambda at: [broken_empty(at / "run")], "neither metrics/train.csv nor predictions/metrics.json"),
    "config": (lambda at: [broken(at / "run", "config.yaml", "a: [")], "config.yaml: is not a run's config ("),
    "other yaml": (lambda at: [broken(at / "run", "config.yaml", "a: 1")], "config.yaml: is not a run's config, it"),
    "provenance": (lambda at: [broken(at / "run", "provenance.json", "{}")], "provenance.json: is not what a run"),
    "csv": (lambda at: [broken(at / "run", "metrics/train.csv", "step,loss\n1,x\n")], "train.csv: is not a table of"),
    "long row": (lambda at: [broken(at / "run", "metrics/train.csv", "step\n1,2\n")], "train.csv: is not a table of"),
    "no step": (
        lambda at: [broken(at / "run", "metrics/train.csv", "loss\n1\n")],
        "train.csv: is not a table of numbers (line 1: there is no column step)",
    ),
    "json": (lambda at: [broken(at / "run", "predictions/metrics.json", "{")], "metrics.json: is not JSON ("),
    "no metrics": (lambda at: [broken(at / "run", "predictions/metrics.json", "{}")], "(no 'metrics')"),
    "curve": (
        lambda at: [broken(at / "run", "predictions/metrics.json", record_with(value=[1.0]))],
        "curve angular_resolution: value and error must be one shorter than edges",
    ),
    "error": (
        lambda at: [broken(at / "run", "predictions/metrics.json", record_with(error=[-1, 1]))],
        "curve angular_resolution: an error is negative",
    ),
    "events": (
        lambda at: [broken(at / "run", "predictions/events.csv", "score_gamma,true_type\nx,gamma\n")],
        "events.csv: is not a table of events",
    ),
    "twice": (lambda at: [write_run(at / "run"), at / "x" / ".." / "run"], "run: is given twice"),
    "one name": (
        lambda at: [write_run(at / "x" / "a" / "run"), write_run(at / "y" / "a" / "run")],
        "would all be called a/run; rename one of the folders",
    ),
}


def broken_empty(folder: Path) -> Path:
    """A run without any metrics."""
    shutil.rmtree(write_run(folder) / "metrics")
    return folder


def record_with(**changed: object) -> str:
    """A metrics.json with another curve."""
    return json.dumps({"events": 4, "metrics": {"AUC": 0.5}, "curves": [CURVE | changed]})


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_mistake_is_one_line_and_nothing_is_written(
    tmp_path: Path, problem: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, message = PROBLEMS[problem]
    (tmp_path / "x").mkdir()
    outcome = compare(capsys, monkeypatch, *make(tmp_path), "--output", tmp_path / "made")
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "made").exists()


def test_only_a_comparison_is_replaced_and_only_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, made = write_run(tmp_path / "run"), tmp_path / "made"
    (tmp_path / "run" / "metrics" / "train.csv").unlink()
    outcome = compare(capsys, monkeypatch, run, "--output", run, "--overwrite")
    assert (outcome.code, outcome.err) == (2, f"compare: {run}: holds something else than a comparison; " + CHOOSE)
    made.mkdir()  # an empty folder is free
    assert compare(capsys, monkeypatch, run, "--output", made).code == 0
    (made / "figures" / "stale.png").touch()
    (made / "notes.txt").write_text("mine")
    outcome = compare(capsys, monkeypatch, run, "--output", made)
    assert (outcome.code, outcome.err.count("--overwrite")) == (2, 1)
    assert compare(capsys, monkeypatch, run, "--output", made, "--overwrite").code == 0
    assert [path.name for path in (made / "figures").iterdir()] == ["learning_loss.png"]
    assert (made / "notes.txt").exists()


CHOOSE = "choose another --output\n"


def test_the_terminal_shows_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [write_run(tmp_path / "a", 0.7), write_run(tmp_path / "[red]b", 0.8)]
    outcome = compare(capsys, monkeypatch, *runs, "--output", tmp_path / "made")
    assert outcome.code == 0, outcome.err
    lines = [re.split(r"\s*[│┃]\s*", line) for line in outcome.out.splitlines()]
    assert ["", "", "a", "[red]b", ""] in lines
    assert ["", "AUC ↑", "0.7", "0.8 *", ""] in lines
    assert outcome.out.endswith(f"open {tmp_path / 'made' / 'index.html'}\n")


def test_long_learning_curves_are_means_of_stretches(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    rows = [f"{step},{step % 2 or 3}" for step in range(1, 10 * MOST_POINTS + 1)]
    (folder / "metrics" / "train.csv").write_text("\n".join(["step,loss", *rows, ""]))
    figure = learning_figure(read_runs([folder]), "loss")
    train, validation = figure.axes[0].get_lines()
    assert len(train.get_xdata()) == MOST_POINTS
    np.testing.assert_allclose(train.get_ydata(), 2.0)
    assert list(validation.get_xdata()) == [1, 2, 3]


def test_real_runs_are_compared(tmp_path: Path) -> None:
    """Two runs of different tasks through training and inference."""
    short = ("run.iterations=2", "mode.validation_iteration=1")
    showers = ("network=cta_mono_resnet", *TINY_SHOWERS, f"output_dir={tmp_path / 'showers'}")
    argon = (f"output_dir={tmp_path / 'argon'}",)
    for command in (
        ("mode=train", *showers, "mode.no_summary_images=true", *short),
        ("mode=inference", *showers, "mode.displays=0"),
        (*TINY_TRAIN, *argon, *short),
        (*TINY_INFERENCE, *argon),
    ):
        outcome = airshower(*command)
        assert outcome.code == 0, outcome.err
    runs = read_runs([tmp_path / "showers", tmp_path / "argon"])
    assert [run.step for run in runs] == [run.inference.step for run in runs] == [2, 2]
    assert all(run.parameters > 0 and [row["step"] for row in run.validation] == [0, 1, 2] for run in runs)
    assert [run.network for run in runs] == ["TelescopeNetwork", "UResNet"]
    assert runs[0].inference.scores.signal == "gamma"
    program.write(Comparison(runs), tmp_path / "made")
    assert Page((tmp_path / "made" / "index.html").read_text()).tags.count("svg") >= 3


def test_the_script_needs_no_torch(tmp_path: Path) -> None:
    (tmp_path / "stand_in" / "torch").mkdir(parents=True)
    (tmp_path / "stand_in" / "torch" / "__init__.py").write_text("raise ImportError('torch is not here')")
    environment = {**os.environ, "AIRSHOWER_PYTHON": sys.executable, "PYTHONPATH": str(tmp_path / "stand_in")}
    command = [ROOT / "scripts" / "compare", write_run(tmp_path / "run", 0.5), "--output", tmp_path / "made"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "made" / "index.html").exists()


HOOK = """<script>
const button = [...document.querySelectorAll("thead button")].find((one) => one.textContent.startsWith("AUC"));
const order = () => [...button.closest("table").tBodies[0].rows].map((row) => row.cells[0].textContent);
const drawn = (colour) => [...document.querySelectorAll(`figure svg [style*="${colour}"]`)].filter(
  (element) => !element.closest("defs") && !element.closest("[style*='display: none']")).length;
const seen = { given: order() };
button.click(); seen.once = order(); seen.sort = button.closest("th").getAttribute("aria-sort");
button.click(); seen.twice = order();
seen.shown = COLOURS.map(drawn);
document.querySelector("[data-run=run1]").click(); seen.hidden = COLOURS.map(drawn);
seen.requests = performance.getEntriesByType("resource").map((entry) => entry.name);
seen.wider = document.documentElement.scrollWidth - document.documentElement.clientWidth;
const result = document.createElement("output");
result.id = "seen"; result.textContent = JSON.stringify(seen); document.body.append(result);
</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: chromium or google-chrome in PATH")
def test_a_browser_sorts_by_a_click_and_hides_runs(compared: Path, tmp_path: Path) -> None:
    """The first click puts the best first, the second the worst; a run without the value stays last."""
    page = tmp_path / "index.html"
    page.write_text(
        (compared / "index.html").read_text().replace("</body>", HOOK.replace("COLOURS", json.dumps(COLOURS)))
    )
    options = ["--headless", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--window-size=500,900"]
    options += ["--host-resolver-rules=MAP * ~NOTFOUND", "--disable-background-networking"]
    options += ["--no-sandbox"] if os.geteuid() == 0 else []  # as root chromium asks for it
    command = [CHROMIUM, *options, "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    found = re.search('<output id="seen">(.*?)</output>', done.stdout)
    assert found, done.stderr
    seen = json.loads(html.unescape(found[1]))
    assert seen["given"] == ["first", EVIL, "third", "_untried"]
    assert seen["once"] == [EVIL, "third", "first", "_untried"]
    assert seen["sort"] == "descending"
    assert seen["twice"] == ["first", "third", EVIL, "_untried"]
    first, hidden, *others = seen["shown"]
    assert min(first, hidden) >= 8
    assert seen["hidden"] == [first, 0, *others], "with its place in the legends"
    assert seen["requests"] == []
    assert seen["wider"] == 0, "tables scroll in themselves"
