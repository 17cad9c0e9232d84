"""The house's order: imports point one way, and foreign engines come in through one door."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "airshower"
LAYERS = ["errors", "config", "runtime", "data", "detectors", "networks", "writers", "tasks", "engine", "modes", "main"]
DOORS = {
    "astropy": "detectors/hawc/event_list.py",
    "larcv": "detectors/lartpc/larcv_package.py",
    "mpi4py": "runtime/mpi.py",
    "spconv": "networks/sparse_backends.py",
}
FILES = sorted(SOURCE.rglob("*.py"))


def imported(path: Path) -> list[tuple[str, bool]]:
    """Names of the modules that a file imports, and whether at its top level."""
    tree = ast.parse(path.read_text())
    names = []
    for node in ast.walk(tree):
        top = node in tree.body
        if isinstance(node, ast.Import):
            names += [(alias.name, top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append((node.module or "", top))
            names += [(f"{node.module}.{alias.name}", top) for alias in node.names]
    return names


def layer(module: str) -> int | None:
    """Position in `LAYERS` of a module such as airshower.data.batch; None for the package itself and others' code."""
    parts = module.split(".")
    return LAYERS.index(parts[1]) if parts[0] == "airshower" and len(parts) > 1 and parts[1] in LAYERS else None


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_to_earlier_layers(path: Path) -> None:
    own = layer(".".join(("airshower", *path.relative_to(SOURCE).with_suffix("").parts)))
    if own is None:
        pytest.skip("the package itself")
    later = [name for name, _ in imported(path) if (found := layer(name)) is not None and found > own]
    assert not later


@pytest.mark.parametrize("engine", DOORS)
def test_foreign_engines_have_one_door(engine: str) -> None:
    for path in FILES:
        for name, top in imported(path):
            if name.split(".")[0] == engine:
                assert str(path.relative_to(SOURCE)) == DOORS[engine]
                assert not top, "inside a function, so that the package works without it"


def test_config_does_not_import_torch() -> None:
    for path in [*(SOURCE / "config").glob("*.py"), SOURCE / "main.py", SOURCE / "errors.py"]:
        assert not [name for name, top in imported(path) if top and name.split(".")[0] == "torch"]


def test_files_are_short() -> None:
    assert not [path for path in FILES if len(path.read_text().splitlines()) > 400]
