"""Which device a rank takes, and when ranks are in each other's way."""

import resource
from types import SimpleNamespace

import pytest
import torch

from airshower.config.schema import FrameworkConfig, RunConfig
from airshower.errors import UserError
from airshower.runtime import device
from airshower.runtime.device import Precision, choose_device, prepare_machine
from airshower.runtime.ranks import Ranks


class OnOneHost(Ranks):
    """Rank `rank` of several whose answers are given."""

    def __init__(self, rank: int, answers: list):
        self.rank, self.size, self.local_rank, self.local_size = rank, len(answers), rank, len(answers)
        self.answers = answers

    def exchange(self, value: object) -> list:
        if isinstance(value, str):
            return [value] * self.size
        assert value == self.answers[self.rank]
        return self.answers


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setattr(torch.accelerator, "set_device_index", lambda index: None)
    gpus = SimpleNamespace(get_device_properties=lambda used: SimpleNamespace(uuid=f"GPU-{used.index}"))
    monkeypatch.setattr(torch, "get_device_module", lambda used: gpus)
    monkeypatch.setattr(device.platform, "node", lambda: "node7")


def test_each_rank_of_a_host_has_its_own_gpu(two_gpus: None) -> None:
    answers = [("node7", "GPU-0"), ("node7", "GPU-1")]
    assert [choose_device("auto", OnOneHost(rank, answers)).index for rank in (0, 1)] == [0, 1]


def test_more_ranks_than_gpus_are_refused(two_gpus: None) -> None:
    answers = [("node7", "GPU-0"), ("node7", "GPU-1"), ("node7", "GPU-0")]
    with pytest.raises(UserError, match="2 ranks on node7 share one of its 2 accelerators"):
        choose_device("gpu", OnOneHost(2, answers))
    assert choose_device("cpu", OnOneHost(2, answers)).type == "cpu"


def test_hosts_with_and_without_a_gpu_are_refused(two_gpus: None) -> None:
    class Mixed(Ranks):
        size = 2

        def exchange(self, value: object) -> list:
            return [value, "cpu"]

    with pytest.raises(UserError, match="rank 0 has cuda, rank 1 has cpu"):
        choose_device("auto", Mixed())


def test_a_device_that_is_not_there_is_refused(two_gpus: None) -> None:
    with pytest.raises(UserError, match=r"run.compute_mode=xpu: not on this machine \(there is cuda"):
        choose_device("xpu", Ranks())


def test_ranks_that_may_run_on_the_same_cores_share_them(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = []
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(device.platform, "node", lambda: "n")
    monkeypatch.setattr(device.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    every, some = ("n", list(range(8))), ("n", [0, 1])
    prepare_machine(FrameworkConfig(), OnOneHost(1, [every, every, some]))
    prepare_machine(FrameworkConfig(intra_op_parallelism_threads=3), OnOneHost(1, [every, every]))
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    prepare_machine(FrameworkConfig(), OnOneHost(0, [every, every]))
    assert chosen == [4, 3]


def test_as_many_files_may_be_open_as_the_system_allows() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = device.OPEN_FILES if before[1] == resource.RLIM_INFINITY else min(before[1], device.OPEN_FILES)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, most), before[1]))
        prepare_machine(FrameworkConfig(), Ranks())
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize(
    ("capabilities", "chosen"),
    [({"avx2": True}, "float32"), ({"avx512_bf16": False, "amx_bf16": True}, "bfloat16"), ({"bf16": True}, "bfloat16")],
)
def test_automatic_precision_follows_the_processor(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict, chosen: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    precision = Precision(RunConfig(precision="auto"), torch.device("cpu"))
    assert precision.name == chosen
    with precision.autocast():
        assert torch.mm(torch.eye(2), torch.eye(2)).dtype == getattr(torch, chosen)
    assert Precision(RunConfig(precision="float32"), torch.device("cpu")).name == "float32"
