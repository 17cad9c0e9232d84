"""Backends of sparse convolutions: `sparse.submanifold` in torch, or spconv, which is imported here only."""

import importlib.util
import logging
import warnings
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from airshower.errors import UserError
from airshower.networks.uresnet.grid import Grid
from airshower.networks.uresnet.sparse import SparseBackend, SparseMap, submanifold
from airshower.runtime.log import logger

WHEELS = (118, 121, 124, 126)  # CUDA versions, without the dot, for which there are wheels


def sparse_backend(name: str) -> SparseBackend:
    """The backend of `framework.sparse_backend`; auto is spconv for CUDA if it is installed with CUDA, else torch."""
    if name == "spconv":
        return SpconvBackend()
    if name == "auto" and torch.cuda.is_available() and importlib.util.find_spec("spconv") is not None:
        try:
            spconv = SpconvBackend()
        except UserError as error:
            logger.info("sparse convolutions are torch's: %s", error)
        else:
            return lambda x, weight, bias=None: (spconv if x.features.is_cuda else submanifold)(x, weight, bias)
    return submanifold


class SpconvBackend:
    """The `sparse.SparseBackend` of spconv; it has no bfloat16 and computes in float32 instead.

    On a CPU the first call sets torch to one thread: with more, spconv 2.3.8 computes wrong sums without a message.
    """

    def __init__(self) -> None:
        self.spconv = _spconv()
        self.layers: dict[tuple[Any, ...], Any] = {}

    def __call__(self, x: SparseMap, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """See `SparseBackend`."""
        device = x.features.device.type
        if device == "cpu" and torch.get_num_threads() > 1:
            logger.info("spconv on a CPU: torch computes with one thread")
            torch.set_num_threads(1)
        if not len(x.features):
            return submanifold(x, weight, bias)
        kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.features.dtype
        supported = kind if kind in (torch.float32, torch.float16) else torch.float32
        with torch.autocast(device, enabled=False):
            y = self._convolve(x.features.to(supported), x.grid, weight.to(supported)).to(kind)
            return y if bias is None else y + bias.to(kind)

    def _convolve(self, features: Tensor, grid: Grid, weight: Tensor) -> Tensor:
        layer = self._layer(features.device.type, *weight.shape[:3])
        layer.weight = weight.permute(0, 2, 3, 1).contiguous()
        sites = grid.keep("spconv", lambda: self._sites(grid))
        result = layer(sites.replace_feature(features))
        sites.indice_dict.update(result.indice_dict)  # neighbour pairs, computed once
        layer.weight = None
        return result.features

    def _layer(self, device: str, outputs: int, inputs: int, size: int) -> Any:
        key = (device, outputs, inputs, size)
        if key not in self.layers:
            algorithm = self.spconv.ConvAlgo.Native if device == "cpu" else None  # None: its choice
            layer = self.spconv.SubMConv2d(
                inputs, outputs, size, bias=False, indice_key=f"neighbours {size}", algo=algorithm
            )
            del layer.weight  # replaced by the network's weight
            self.layers[key] = layer
        return self.layers[key]

    def _sites(self, grid: Grid) -> Any:
        where = torch.stack([grid.image, grid.row, grid.column], 1).int()
        nothing = torch.empty(len(grid), 0, device=where.device)
        return self.spconv.SparseConvTensor(nothing, where, list(grid.shape), grid.images)


def _spconv() -> ModuleType:
    if importlib.util.find_spec("spconv") is None:
        raise _error("spconv is not installed")
    logging.getLogger("torch.fx._symbolic_trace").setLevel(logging.ERROR)  # of a function that spconv calls
    try:
        with warnings.catch_warnings(action="ignore"):  # warnings of its dependencies at import
            import spconv.pytorch
            import spconv.pytorch.ops
            from spconv.cppconstants import CPU_ONLY_BUILD
    except (ImportError, OSError) as error:
        raise _error(f"spconv can't be imported ({str(error).splitlines()[0]})") from None
    if torch.cuda.is_available() and CPU_ONLY_BUILD:
        raise _error("the spconv that is installed computes on CPUs only")
    if not torch.cuda.is_available():
        # the wheel without CUDA also calls for CUDA's stream in its backward pass, but does not use it
        spconv.pytorch.ops.get_current_stream = lambda: 0
    return spconv.pytorch


def _error(reason: str) -> UserError:
    return UserError(
        f"framework.sparse_backend=spconv: {reason}; {_wheel(torch.version.cuda)}use framework.sparse_backend=torch"
    )


def _wheel(cuda: str | None) -> str:
    """The wheel to install for a version of CUDA such as 12.6, or without CUDA."""
    if cuda is None:
        return "pip install spconv, or "
    version = int(cuda.replace(".", ""))
    fitting = [wheel for wheel in WHEELS if wheel // 10 == version // 10 and wheel <= version]
    return f"pip install spconv-cu{fitting[-1]}, or " if fitting else f"there is none for CUDA {cuda}: "
