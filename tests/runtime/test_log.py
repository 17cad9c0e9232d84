"""Lines about long work."""

from types import SimpleNamespace

import pytest

from airshower.runtime import log


def test_without_a_terminal_long_work_says_how_long_the_rest_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 10))  # ten seconds an item
    lines: list[str] = []
    monkeypatch.setattr(log, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    monkeypatch.setattr(log.logger, "info", lambda text, *values: lines.append(text % values))
    assert list(log.progress(range(8), "indexing files")) == list(range(8))
    assert lines == [
        "indexing files (8)",
        "indexing files: 3 of 8, 0:00:50 left",
        "indexing files: 6 of 8, 0:00:20 left",
    ]
