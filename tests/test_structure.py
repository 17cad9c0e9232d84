"""What the linters of imports and types can't say of the house's order."""

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "airshower"
ENGINES = {"astropy", "larcv", "mpi4py", "pandas", "pyarrow", "spconv", "torch_geometric"}
FILES = sorted(SOURCE.rglob("*.py"))


def imported_at_once(path: Path) -> set[str]:
    """Names of the packages that a file imports at its top level."""
    packages = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            packages |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            packages.add((node.module or "").split(".")[0])
    return packages


def test_foreign_engines_are_imported_inside_functions() -> None:
    """The package works without them."""
    assert not [path for path in FILES if imported_at_once(path) & ENGINES]


def test_config_does_not_import_torch() -> None:
    early = [*(SOURCE / "config").glob("*.py"), SOURCE / "main.py", SOURCE / "errors.py", SOURCE / "__init__.py"]
    early += [SOURCE / "assembly" / f"{name}.py" for name in ("compose", "recorded", "components", "run")]
    assert not [path for path in early if "torch" in imported_at_once(path)]


def test_files_are_short() -> None:
    assert not [path for path in FILES if len(path.read_text().splitlines()) > 400]
