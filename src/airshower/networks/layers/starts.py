"""Outputs that are corrections of a start, such as a classical fit: zero before training."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional


def corrected(outputs: dict[str, Tensor], starts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Outputs [n, channels], those that have a start [n, values] added to it; an output may have further channels."""
    return {
        name: output + functional.pad(starts[name], (0, output.shape[1] - starts[name].shape[1]))
        if name in starts
        else output
        for name, output in outputs.items()
    }


def start_from_zero(layer: nn.Module) -> None:
    """Set the weights of a linear layer or a convolution to zero."""
    assert isinstance(layer, nn.Linear | nn.Conv2d)
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
