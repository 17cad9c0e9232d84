"""Sample files, and folders that all of the session's tests share."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import pytest

# before torch is imported: many small operations, and processes beside each other, are faster with one thread each
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def sample_file() -> Callable[[str], Path]:
    """The path of a sample file, given relative to the folder of samples; skips where it is absent."""
    folder = Path(os.environ.get("AIRSHOWER_SAMPLE_DATA") or Path(__file__).parents[2] / "shared" / "data")

    def find(name: str) -> Path:
        if not (folder / name).exists():
            pytest.skip(f"the sample {name} is not here; set AIRSHOWER_SAMPLE_DATA to the folder of samples")
        return folder / name

    return find


@pytest.fixture(scope="session")
def sbnd_file(sample_file: Callable[[str], Path]) -> Path:
    """Five real SBND events: 3 planes of 2048 wires x 1280 ticks."""
    return sample_file("lartpc/cosmic_tagging_light.h5")


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the test session; workers of pytest-xdist have it in common."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(autouse=True, scope="session")
def own_cache(session_folder: Path) -> None:
    """Simulated and cached files go to a folder of the test session."""
    os.environ["AIRSHOWER_CACHE"] = str(session_folder / "cache")


@pytest.fixture(scope="session")
def made_once(session_folder: Path) -> Callable[[str, Callable[[Path], None]], Path]:
    """The folder `name` of the session, filled by `make(folder)` when first asked for; to be left as it is."""

    def find(name: str, make: Callable[[Path], None]) -> Path:
        folder = session_folder / "once" / name
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder.with_name(f"{name}.lock")):
            whole = folder.with_name(f"{name}.whole")
            if not whole.exists():
                make(folder)
                whole.touch()
        return folder

    return find


RANKS = "tests/ranks/"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start several ranks come first: they take the longest."""
    items.sort(key=lambda item: not item.nodeid.startswith(RANKS))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Workers of pytest-xdist take whole modules, which share fixtures. Tests that start several ranks, which fill the
    machine, all go to one worker."""
    from xdist.scheduler import LoadScopeScheduling

    class ByModule(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return RANKS if nodeid.startswith(RANKS) else nodeid.split("::", maxsplit=1)[0]

    return ByModule(config, log)
