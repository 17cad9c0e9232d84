"""The layers of PixelCNN++ evaluated by rows or a few columns; results are cached, and nothing is computed twice.

A convolution over two rows is split. The contribution of the row above is computed once per row, for all columns, as
one matrix product. Each step adds the contribution of its own row. So one row of each layer's input is kept.

Maps are [batch, columns, channels] here, and a step is of the columns from `a` to before `b` of its resolution.
"""

import torch
from torch import Tensor
from torch.nn import functional

from airshower.networks.layers.perceptron import Layers
from airshower.networks.pixelcnn.layers import CausalConv, CausalUpsampling, GatedResnet, Stream


class Memory:
    """Allocates the cached tensors for `batch` images, and copies of weights, in one dtype on one device."""

    def __init__(self, batch: int, dtype: torch.dtype, device: torch.device):
        self.batch = batch
        self.dtype = dtype
        self.device = device
        self.kept: list[Tensor] = []

    def zeros(self, *shape: int) -> Tensor:
        """Zeros [batch, *shape]; `clear` sets them to zero again."""
        self.kept.append(torch.zeros(self.batch, *shape, dtype=self.dtype, device=self.device))
        return self.kept[-1]

    def weight(self, weight: Tensor) -> Tensor:
        """A contiguous copy in this dtype."""
        return weight.detach().to(self.device, self.dtype, copy=True, memory_format=torch.contiguous_format)

    def clear(self) -> None:
        """Set all cached tensors to zero, before the next batch."""
        for tensor in self.kept:
            tensor.zero_()

    @property
    def nbytes(self) -> int:
        """Size of the cached tensors."""
        return sum(tensor.nbytes for tensor in self.kept)


class Row:
    """The row of a map that is being computed, with a margin of a column of zeros on both sides."""

    def __init__(self, memory: Memory, columns: int, channels: int):
        self.values = memory.zeros(columns + 2, channels)
        self.signs = torch.tensor([[1.0], [-1.0]], dtype=memory.dtype, device=memory.device)
        self.slots: dict[tuple[int, int], Tensor] = {}
        self.pairs: dict[tuple[int, int], Tensor] = {}

    @property
    def inner(self) -> Tensor:
        """Without the margin."""
        return self.values[:, 1:-1]

    def slot(self, a: int, b: int) -> Tensor:
        """A view of the columns, [batch, b - a, channels]."""
        if (a, b) not in self.slots:
            self.slots[a, b] = self.values[:, 1 + a : 1 + b]
        return self.slots[a, b]

    def put_activated(self, x: Tensor, a: int, b: int) -> None:
        """Write concat_elu of columns, x is [batch, b - a, channels / 2]."""
        if (a, b) not in self.pairs:
            self.pairs[a, b] = self.slot(a, b).unflatten(2, (2, -1))
        pair = self.pairs[a, b]
        torch.mul(x.unsqueeze(2), self.signs, out=pair)
        functional.elu_(pair)


def product(x: Tensor, weight: Tensor) -> Tensor:
    """[batch, columns, inputs] @ [inputs, outputs], as one multiplication also where x is a view."""
    return (x.flatten(0, 1) @ weight).view(x.shape[0], x.shape[1], -1)


class CachedConv:
    """A `CausalConv` that reads `row`, which several layers may share; its output has `columns` columns."""

    def __init__(self, conv: CausalConv, memory: Memory, row: Row, columns: int):
        taps = conv.layer.weight.permute(2, 3, 1, 0).flatten(1, 2)  # [rows, columns x inputs, outputs]
        self.bottom = memory.weight(taps[-1])
        self.bias = memory.weight(conv.bias)
        self.top = memory.weight(taps[0]) if len(taps) > 1 else None
        self.row = row
        self.columns = columns
        self.stride = conv.layer.stride[1]
        self.offset = 1 - conv.left
        self.above = memory.zeros(columns, len(self.bias))
        self.views: dict[int, tuple[Tensor, Tensor]] = {}

    def start_row(self, constant: Tensor | None = None) -> None:
        """Start the next row, before it is written: `row` still holds the one above. `constant` [batch, 1,
        outputs] is added to all columns."""
        bias = self.bias if constant is None else self.bias + constant
        if self.top is None:
            self.above.copy_(bias.expand_as(self.above))
        else:
            torch.add(product(self._windows(0, self.columns), self.top), bias, out=self.above)

    def __call__(self, a: int, b: int) -> Tensor:
        """The outputs' columns, [batch, b - a, outputs]."""
        if b - a > 1:
            return self.above[:, a:b] + product(self._windows(a, b), self.bottom)
        if a not in self.views:
            self.views[a] = self.above[:, a], self._windows(a, b)[:, 0]
        above, inputs = self.views[a]
        return torch.addmm(above, inputs, self.bottom).unsqueeze(1)

    def _windows(self, a: int, b: int) -> Tensor:
        """The inputs under the kernel at columns, [batch, b - a, kernel's columns x inputs], a view."""
        values = self.row.values
        batch, column, _ = values.stride()
        size = (len(values), b - a, len(self.bottom))
        start = (a * self.stride + self.offset) * column
        return values.as_strided(size, (batch, column * self.stride, 1), start)


class CachedResnet:
    """A `GatedResnet` that reads `row`, activated, and writes `output`, activated. The side input's last channels
    are those of `skip`, if there is one; in the horizontal stream its first channels are the vertical stream's."""

    def __init__(self, resnet: GatedResnet, memory: Memory, row: Row, columns: int, skip: Row | None):
        channels = row.values.shape[2]
        self.between = Row(memory, columns, channels)
        self.output = Row(memory, columns, channels)
        self.skip = skip
        self.first = CachedConv(resnet.first, memory, row, columns)
        self.second = CachedConv(resnet.second, memory, self.between, columns)
        self.condition = resnet.condition
        self.constant = memory.zeros(1, channels) if resnet.condition is not None else None
        if resnet.side is not None:
            parts = resnet.side.layer.weight.flatten(1).T.split(channels)
            self.of_other = memory.weight(parts[0])
            self.of_skip = memory.weight(parts[-1])
            self.first.bias += memory.weight(resnet.side.bias)

    def condition_on(self, features: Tensor) -> None:
        """Features of the events' conditions, [batch, features]."""
        assert self.condition is not None
        assert self.constant is not None
        self.constant.copy_(self.condition(features).unsqueeze(1))

    def start_row(self) -> None:
        """See `CachedConv`."""
        self.first.start_row()
        self.second.start_row(self.constant)

    def add_vertical(self, other: Tensor) -> None:
        """Add the output of the vertical stream's resnet for this row, activated [batch, columns, channels]."""
        self.first.above += product(other, self.of_other)

    def __call__(self, x: Tensor, a: int, b: int) -> Tensor:
        """[batch, b - a, filters] -> the same."""
        y = self.first(a, b)
        if self.skip is not None:
            y += product(self.skip.slot(a, b), self.of_skip)
        self.between.put_activated(y, a, b)
        x = x + functional.glu(self.second(a, b), 2)
        self.output.put_activated(x, a, b)
        return x


class CachedUpsampling:
    """A `CausalUpsampling`: one row gives two rows at twice the resolution, [batch, 2, columns, filters]."""

    def __init__(self, upsampling: CausalUpsampling, memory: Memory, columns: int):
        weight, bias = upsampling.layer.weight, upsampling.bias  # weight: [filters, filters, 2, kernel's columns]
        self.kernel = tuple(weight.shape[2:])
        self.side = upsampling.layer.padding[1]
        self.weight = memory.weight(weight.permute(0, 2, 3, 1).flatten(1))
        self.bias = memory.weight(bias)
        self.rows = memory.zeros(2, columns, len(bias))

    def put(self, x: Tensor, a: int, b: int) -> None:
        """[batch, b - a, filters], of the lower resolution; whole rows where kernels overlap."""
        taps = product(x, self.weight).unflatten(2, (*self.kernel, -1)).transpose(1, 2)
        fine = taps[:, :, :, self.side :] + self.bias
        if self.side:
            fine[:, :, :-1, 1] += taps[:, :, 1:, 0]
        self.rows[:, :, 2 * a : 2 * b] = fine.flatten(2, 3)


class CachedStream:
    """A `Stream` for images of `columns` columns."""

    def __init__(self, stream: Stream, memory: Memory, columns: int):
        filters = len(stream.down[0][0].first.bias)
        self.entries = []
        self.down = []
        self.up = []
        self.coarsen = []
        self.refine = []

        def chain(layers: "Layers[GatedResnet]", row: Row, size: int, skips: list[Row]) -> list[CachedResnet]:
            resnets = []
            for index, layer in enumerate(layers):
                skip = skips[index] if skips else None
                resnets.append(CachedResnet(layer, memory, row, size, skip))
                row = resnets[-1].output
            return resnets

        for level, size in enumerate(columns >> level for level in range(len(stream.down))):
            enter = Row(memory, size, 2 * filters)
            back = Row(memory, size, 2 * filters)
            down = chain(stream.down[level], enter, size, [])
            skips = [*(resnet.output for resnet in reversed(down)), enter]
            if level == len(stream.coarsen):  # the deepest
                back = skips.pop(0)
            else:
                fine = Row(memory, size, filters)
                self.coarsen.append(CachedConv(stream.coarsen[level], memory, fine, size // 2))
                self.refine.append(CachedUpsampling(stream.refine[level], memory, size))
            self.down.append(down)
            self.up.append(chain(stream.up[level], back, size, skips))
            self.entries.append((enter, back))

    def resnets(self, depth: int) -> list[CachedResnet]:
        """The resnets of the first `depth` levels."""
        return [resnet for level in range(depth) for resnet in self.down[level] + self.up[level]]

    def start_row(self, depth: int) -> None:
        """Start a row in the first `depth` levels; the deeper ones have none here."""
        for layer in self.resnets(depth) + self.coarsen[: depth - 1]:
            layer.start_row()

    def add_vertical(self, vertical: "CachedStream", depth: int) -> None:
        """Horizontal stream only: add the vertical stream's outputs for this row."""
        for resnet, other in zip(self.resnets(depth), vertical.resnets(depth), strict=True):
            resnet.add_vertical(other.output.inner)

    def __call__(self, x: Tensor, a: int, b: int, depth: int) -> Tensor:
        """[batch, b - a, filters] -> the same, for columns of the first level. Each next level has half the columns
        of the one before; columns that are not computed again keep their values from an earlier column or row."""
        steps: list[tuple[int, int]] = []
        for level in range(depth):
            if a == b:
                break
            steps.append((a, b))
            self.entries[level][0].put_activated(x, a, b)
            for resnet in self.down[level]:
                x = resnet(x, a, b)
            if level < len(self.coarsen):
                self.coarsen[level].row.slot(a, b).copy_(x)
                a, b = -(-a // 2), -(-b // 2)
                if level + 1 < depth and a < b:
                    x = self.coarsen[level](a, b)
        for level, (a, b) in reversed(list(enumerate(steps))):
            if level < len(self.refine):
                if level + 1 < len(steps):
                    self.refine[level].put(x, *steps[level + 1])
                x = self.refine[level].rows[:, int(level + 1 == depth), a:b]
                self.entries[level][1].put_activated(x, a, b)
            for resnet in self.up[level]:
                x = resnet(x, a, b)
        return x
