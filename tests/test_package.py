"""A wheel installed elsewhere: it brings its yamls, cameras and templates, and the same command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.full
def test_a_wheel_has_all_it_needs(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run([*pip, *build], check=True, capture_output=True, text=True)
    wheel = next(tmp_path.glob("airshower-*.whl"))
    site = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True, capture_output=True)
    code = "import sys; sys.argv[1:] = ['--cfg', 'job', 'network=a21']; from airshower.main import cli\n"
    code += "from airshower.assembly.compose import conf_folder\n"
    code += "print(conf_folder()); cli()"
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    where, config = done.stdout.split("\n", 1)
    assert Path(where) == site / "airshower" / "conf"
    assert "n_initial_filters: 8" in config
    assert not list(site.rglob("tests"))
    source = ROOT / "src" / "airshower"
    needed = [path.relative_to(source) for path in source.rglob("*.*") if path.suffix != ".pyc"]
    assert {"cameras.json", "page.html", "page.css", "page.js"} <= {path.name for path in needed}
    assert not [path for path in needed if not (site / "airshower" / path).exists()]
