"""Where tests find sample data, and a cache folder of their own."""

import os
from pathlib import Path

import pytest

# before torch is imported: many small operations, and processes beside each other, are faster with one thread each
os.environ.setdefault("OMP_NUM_THREADS", "1")

SAMPLES = Path(os.environ.get("AIRSHOWER_SAMPLE_DATA") or Path(__file__).parents[2] / "shared" / "data")


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Simulated and cached files go to a folder of the test session."""
    os.environ["AIRSHOWER_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def sbnd_file() -> Path:
    """Five real SBND events: 3 planes of 2048 wires x 1280 ticks."""
    path = SAMPLES / "lartpc" / "cosmic_tagging_light.h5"
    if not path.exists():
        pytest.skip("the sample file cosmic_tagging_light.h5 is not here; set AIRSHOWER_SAMPLE_DATA to its folder")
    return path
