"""The cache's folder, and partial files: whose they are and when they go."""

import errno
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

from airshower.errors import UserError
from airshower.runtime import folders
from airshower.runtime.processes import namespace, started


def no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_the_cache_needs_no_home_where_its_folder_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Path, "home", no_home)
    assert folders.cache_folder() == Path(os.environ["AIRSHOWER_CACHE"])
    monkeypatch.delenv("AIRSHOWER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert folders.cache_folder() == tmp_path / "airshower"
    monkeypatch.delenv("XDG_CACHE_HOME")
    with pytest.raises(UserError, match="AIRSHOWER_CACHE: give a folder"):
        folders.cache_folder()


def test_a_user_without_a_home_and_without_a_name(tmp_path: Path) -> None:
    """As in a container: neither HOME nor an entry in passwd."""
    user = ["unshare", "-U", "--map-user=54321", "--map-group=54321"]
    try:
        subprocess.run([*user, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs unshare and user namespaces")
    code = "from airshower.runtime.folders import cache_folder; print(cache_folder())"
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME")}
    done = subprocess.run(
        [*user, sys.executable, "-c", code], env=environment | {"AIRSHOWER_CACHE": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == f"{tmp_path}\n", done.stderr


def dead() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_partial_files_of_dead_processes_go_and_others_stay(tmp_path: Path) -> None:
    host, pid, gone = platform.node(), os.getpid(), dead()
    left = {
        f".a.h5.{host}.{gone}-5-{namespace()}.partial": False,  # dead
        f".a.h5.{host}.{pid}-{started(pid) + 1}-{namespace()}.partial": False,  # its number was given to another
        f".b.h5.{host}.{gone}.partial": False,  # dead, of an older version
        f".a.h5.{host}.{pid}-{started(pid)}-{namespace()}.partial": True,
        f".b.h5.{host}.{pid}.partial": True,
        f".a.h5.{host}.{gone}-5-{namespace() + 1}.partial": True,  # of another container: not known
        f".a.h5.elsewhere.{gone}-5-{namespace()}.partial": True,
        ".a.h5.partial": True,  # whose is not known
        "a.h5": True,
        f"a.h5.{host}.{gone}.partial": True,  # a user's file
    }
    for name in left:
        (tmp_path / name).write_text("")
    folders.sweep(tmp_path)
    assert {name: (tmp_path / name).exists() for name in left} == left


def test_partial_files_of_elsewhere_go_after_a_day(tmp_path: Path) -> None:
    path = tmp_path / ".a.h5.elsewhere.5-5-5.partial"
    for hours, stays in ((23, True), (25, False)):
        path.write_text("")
        os.utime(path, (time.time() - 3600 * hours,) * 2)
        folders.sweep(tmp_path)
        assert path.exists() is stays


def test_what_is_begun_is_swept_by_nobody_and_removed_at_a_signal(tmp_path: Path) -> None:
    partial = folders.partial(tmp_path / "a.h5")
    partial.write_text("half")
    assert folders.partial(tmp_path / "a.h5") == partial
    assert partial.exists()
    folders.remove_partials()
    assert not partial.exists()


def test_a_text_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.yaml"
    folders.write_whole(path, "old\n")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        folders.write_whole(path, "new\n")
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_a_finished_file_leaves_the_one_that_is_there(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", unsupported)
    path = tmp_path / "events.h5"
    for text in ("first", "second"):
        own = folders.partial(path)
        own.write_text(text)
        folders.move_to_new(own, path)
        assert path.read_text() == "first"
        assert list(tmp_path.iterdir()) == [path]
