"""Ranks make an index together."""

from pathlib import Path

import pytest

from tests.data.small_index import write
from tests.launch import together

pytestmark = pytest.mark.mpi


def test_ranks_share_the_reading_of_files(tmp_path: Path) -> None:
    names = [path.name for path in write(tmp_path / "files", 0, 10)]
    for rank in range(3):
        write(tmp_path / f"files_{rank}", 0, 4)
    (tmp_path / "a file").touch()
    jobs = {
        "cold": ("indexed", str(tmp_path / "cache"), str(tmp_path / "files")),
        "warm": ("indexed", str(tmp_path / "cache"), str(tmp_path / "files")),
        "apart": ("indexed", str(tmp_path / "cache"), str(tmp_path / "files_RANK")),
        "read_only": ("indexed", str(tmp_path / "a file" / "cache"), str(tmp_path / "files")),
    }
    ranks = together(3, tmp_path / "together", **jobs)
    for name in ("cold", "read_only"):
        read = [result["read"] for result in ranks.results(name)]
        assert read == [names[rank::3] for rank in range(3)]
    assert [result["read"] for result in ranks.results("warm")] == [[], [], []]
    assert [result["read"] for result in ranks.results("apart")] == [names[:4]] * 3, "each has files of its own"
    for name in jobs:
        lengths = list(range(4 if name == "apart" else 10))
        assert [result["lengths"] for result in ranks.results(name)] == [lengths] * 3
    assert len(list((tmp_path / "cache" / "index").iterdir())) == 2
