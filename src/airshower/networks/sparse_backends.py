"""Who computes sparse convolutions: `sparse.submanifold` in torch, or spconv, which is imported here only."""

import importlib.util
import logging
import warnings
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from airshower.errors import UserError
from airshower.networks.grid import Grid
from airshower.networks.sparse import SparseBackend, SparseMap, submanifold
from airshower.runtime.log import logger


def sparse_backend(name: str) -> SparseBackend:
    """The backend of `framework.sparse_backend`; auto is spconv for CUDA, if it is installed, else torch."""
    if name == "torch" or (name == "auto" and not (torch.cuda.is_available() and _is_installed())):
        return submanifold
    spconv = SpconvBackend()
    if name == "spconv":
        return spconv
    return lambda x, weight: (spconv if x.features.is_cuda else submanifold)(x, weight)


class SpconvBackend:
    """The `sparse.SparseBackend` of spconv.

    On a CPU torch computes with one thread from the first call on: with more, spconv 2.3.8 sums wrongly, without a
    message.
    """

    def __init__(self) -> None:
        self.spconv = _spconv()
        self.layers: dict[tuple[int, ...], torch.nn.Module] = {}

    def __call__(self, x: SparseMap, weight: Tensor) -> Tensor:
        """See `SparseBackend`."""
        device = x.features.device.type
        if device == "cpu" and torch.get_num_threads() > 1:
            logger.info("spconv on a CPU: torch computes with one thread")
            torch.set_num_threads(1)
        if not len(x.features):
            return submanifold(x, weight)
        kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.features.dtype
        known = kind if kind in (torch.float32, torch.float16) else torch.float32  # it has no bfloat16
        with torch.autocast(device, enabled=False):
            return self._convolve(x.features.to(known), x.grid, weight.to(known)).to(kind)

    def _convolve(self, features: Tensor, grid: Grid, weight: Tensor) -> Tensor:
        layer = self._layer(*weight.shape[:3])
        layer.weight = weight.permute(0, 2, 3, 1).contiguous()
        sites = grid.keep("spconv", lambda: self._sites(grid))
        result = layer(sites.replace_feature(features))
        sites.indice_dict.update(result.indice_dict)  # who is whose neighbour: found once
        layer.weight = None
        return result.features

    def _layer(self, outputs: int, inputs: int, size: int) -> torch.nn.Module:
        if (inputs, outputs, size) not in self.layers:
            layer = self.spconv.SubMConv2d(inputs, outputs, size, bias=False, indice_key=f"neighbours {size}")
            del layer.weight  # it computes with ours
            self.layers[inputs, outputs, size] = layer
        return self.layers[inputs, outputs, size]

    def _sites(self, grid: Grid) -> Any:
        where = torch.stack([grid.image, grid.row, grid.column], 1).int()
        nothing = torch.empty(len(grid), 0, device=where.device)
        return self.spconv.SparseConvTensor(nothing, where, list(grid.shape), grid.images)


def _is_installed() -> bool:
    return importlib.util.find_spec("spconv") is not None


def _spconv() -> ModuleType:
    wheel = "spconv"
    if torch.version.cuda:
        major, minor = torch.version.cuda.split(".")[:2]
        wheel = f"spconv-cu{major}{minor} (the newest spconv-cu{major}x there is, if this one is not)"
    if not _is_installed():
        raise UserError(
            f"framework.sparse_backend=spconv: spconv is not installed; pip install {wheel}, or use "
            "framework.sparse_backend=torch"
        )
    logging.getLogger("torch.fx._symbolic_trace").setLevel(logging.ERROR)  # of a function that spconv calls
    try:
        with warnings.catch_warnings(action="ignore"):  # what its dependencies say as they are imported
            import spconv.pytorch
            import spconv.pytorch.ops
    except (ImportError, OSError) as error:
        raise UserError(
            f"framework.sparse_backend=spconv: spconv can't be imported ({str(error).splitlines()[0]}); "
            f"pip install {wheel}, or use framework.sparse_backend=torch"
        ) from None
    if not torch.cuda.is_available():
        # the wheel without CUDA asks for CUDA's stream in its backward pass all the same, and does not use it
        spconv.pytorch.ops.get_current_stream = lambda: 0
    return spconv.pytorch
