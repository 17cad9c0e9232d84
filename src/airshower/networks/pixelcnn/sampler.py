"""Images from PixelCNN++, cell by cell in the order of rows, with one pass through the network for each cell.

Source of the idea: Ramachandran et al., Fast Generation for Convolutional Autoregressive Models (2017). The vertical
stream is computed a row at a time and the horizontal one a cell at a time; each lower resolution has half the rows and
half the columns of the one above. Cells without PMT are not drawn, so they are computed together with the next cell
that is.
"""

import torch
from torch import Tensor
from torch.nn import functional

from airshower.networks.generator import Progress, no_progress
from airshower.networks.layers.levels import dequantise
from airshower.networks.pixelcnn.cache import CachedConv, CachedStream, Memory, Row
from airshower.networks.pixelcnn.density import PixelDensity
from airshower.networks.pixelcnn.mixture import centred

TEMPORARY = 16  # temporary values for each column and filter of a row of the vertical stream


class Sampler:
    """Generates up to `batch` images at a time, with the network's present weights, in `dtype`: by default the dtype of
    the weights, or of autocast where it is on. The mixture is at least in float32.

    On a CUDA device, `graphs` records each row's kernels at the second batch and replays them from then on, which saves
    launching them one by one.
    """

    def __init__(self, network: PixelDensity, batch: int, dtype: torch.dtype | None = None, graphs: bool = False):
        bias = network.head.bias
        self.network = network
        device = bias.device
        if dtype is None:
            autocast = torch.is_autocast_enabled(device.type)
            dtype = torch.get_autocast_dtype(device.type) if autocast else bias.dtype
        self.memory = memory = Memory(batch, dtype, device)
        (rows, columns), channels = network.shape, network.channels
        self.empty = torch.full((rows, columns, channels + 1), -1.0, dtype=dtype, device=device)  # rows without a hit
        self.empty[..., -1] = network.there
        self.place_above, self.place = (
            memory.weight(weights.permute(1, 2, 0)) for weights in (network.place_above, network.place)
        )
        self.here = Row(memory, columns, channels + 1)
        self.before = Row(memory, columns, channels + 1)
        self.rows_above = CachedConv(network.rows_above, memory, self.before, columns)
        self.row_above = CachedConv(network.row_above, memory, self.before, columns)
        self.left = CachedConv(network.left, memory, self.here, columns)
        self.vertical = CachedStream(network.vertical, memory, columns)
        self.horizontal = CachedStream(network.horizontal, memory, columns)
        self.head = memory.weight(network.head.layer.weight.flatten(1).T), memory.weight(network.head.bias)
        self.wide = torch.promote_types(dtype, torch.float32)
        self.numbers = torch.zeros(batch, channels, rows, columns, dtype=self.wide, device=device)
        self.noise = torch.zeros(len(network.live), batch, network.mixture.draws, dtype=self.wide, device=device)
        self.steps = steps_of_rows(network.live.tolist(), rows, columns)
        self.graphs: list[torch.cuda.CUDAGraph] | None = [] if graphs and device.type == "cuda" else None
        self.warm = False

    @property
    def nbytes(self) -> int:
        """Size of the tensors that are kept between steps, without weights."""
        return self.memory.nbytes + self.numbers.nbytes + self.noise.nbytes

    @torch.inference_mode()
    def __call__(self, noise: Tensor, conditions: Tensor | None = None, progress: Progress = no_progress) -> Tensor:
        """Images float32 [n, channels, rows, columns] for uniform noise [n, draws] and scaled conditions [n,
        quantities]; `progress` is called after each row with the fraction done. Fewer than `batch` images take as
        long."""
        network = self.network
        mixture = self.network.mixture
        count = len(noise)
        noise = self._filled(noise)
        conditions = None if conditions is None else self._filled(conditions)
        with torch.autocast(self.memory.device.type, enabled=False):
            self.memory.clear()
            self.noise.copy_(mixture.prepare(noise.to(self.wide).unflatten(1, (-1, mixture.draws))).transpose(0, 1))
            features = network.features(conditions)
            if features is not None:
                for stream in (self.vertical, self.horizontal):
                    for resnet in stream.resnets(len(stream.down)):
                        resnet.condition_on(features.to(network.head.bias.dtype))
            for row in range(len(self.steps)):
                self._run(row)
                progress((row + 1) / len(self.steps))
        self.warm = True
        return dequantise(self.numbers[:count], network.levels)

    def _filled(self, rows: Tensor) -> Tensor:
        """The rows padded with zeros to a full batch."""
        return torch.cat([rows, rows.new_zeros(self.memory.batch - len(rows), *rows.shape[1:])])

    def _run(self, row: int) -> None:
        if self.graphs is None or not self.warm:
            self._row(row)
            return
        if len(self.graphs) == row:
            self.graphs.append(torch.cuda.CUDAGraph())
            with torch.cuda.graph(self.graphs[row], pool=self.graphs[0].pool() if row else None):
                self._row(row)
        self.graphs[row].replay()

    def _row(self, row: int) -> None:
        vertical = self.vertical
        horizontal = self.horizontal
        columns = self.numbers.shape[3]
        levels = len(vertical.down)
        depth = min(levels, (row & -row).bit_length()) if row else levels  # levels that have a row here
        for layer in (self.rows_above, self.row_above, self.left):
            layer.start_row()
        for stream in (vertical, horizontal):
            stream.start_row(depth)
        self.before.values.copy_(self.here.values)
        self.here.inner.copy_(self.empty[row].expand_as(self.here.inner))
        vertical(self.rows_above(0, columns) + self.place_above[row], 0, columns, depth)
        horizontal.add_vertical(vertical, depth)
        self.left.above += self.row_above(0, columns) + self.place[row]
        for a, b, cell in self.steps[row]:
            x = horizontal(self.left(a, b), a, b, depth)
            if cell is not None:
                self._draw(x[:, -1], row, b - 1, self.noise[cell])

    def _draw(self, x: Tensor, row: int, column: int, noise: Tensor) -> None:
        weight, bias = self.head
        theta = torch.addmm(bias, functional.elu(x), weight).to(self.wide)
        drawn = self.network.mixture.draw(theta, noise)
        self.numbers[:, :, row, column] = drawn
        self.here.slot(column, column + 1)[:, 0, :-1] = centred(drawn, self.network.levels)


def steps_of_rows(live: list[int], rows: int, columns: int) -> list[list[tuple[int, int, int | None]]]:
    """For each row the steps (a, b, cell): columns from a to before b are computed at once, and the last of them is the
    live cell of this index; None where the row ends with cells without PMT."""
    number = {cell: index for index, cell in enumerate(live)}
    steps = []
    for row in range(rows):
        ends = [column + 1 for column in range(columns) if row * columns + column in number]
        if not ends or ends[-1] < columns:
            ends.append(columns)
        starts = [0, *ends[:-1]]
        steps.append([(a, b, number.get(row * columns + b - 1)) for a, b in zip(starts, ends, strict=True)])
    return steps


def bytes_per_image(network: PixelDensity, dtype: torch.dtype | None = None) -> int:
    """Memory of a `Sampler` for each image: its cached tensors, and an allowance for temporary ones."""
    sampler = Sampler(network, 1, dtype)
    filters = len(network.vertical.down[0][0].first.bias)
    columns = network.shape[1]
    temporary = TEMPORARY * filters * columns * sampler.memory.dtype.itemsize
    return sampler.nbytes + temporary + 3 * sampler.noise.nbytes  # the noise as given and as logistic deviates


def largest_batch(network: PixelDensity, memory: int, dtype: torch.dtype | None = None) -> int:
    """The number of images at a time that fit in `memory` bytes, at least 1."""
    return max(1, memory // bytes_per_image(network, dtype))


@torch.inference_mode()
def sample_naively(network: PixelDensity, noise: Tensor, conditions: Tensor | None = None, cells: int = 0) -> Tensor:
    """The same images as `Sampler`, by a full forward pass in evaluation mode for each cell, or for the first `cells`.
    The reference that `Sampler` is tested and timed against."""
    mixture, (_, columns) = network.mixture, network.shape
    noise = mixture.prepare(noise.unflatten(1, (-1, mixture.draws)))
    numbers = noise.new_zeros(len(noise), network.channels, *network.shape)
    for index, cell in enumerate(network.live.tolist()[: cells or None]):
        row, column = divmod(cell, columns)
        theta = network.distribution(numbers, conditions)[:, :, row, column]
        numbers[:, :, row, column] = mixture.draw(theta, noise[:, index])
    return dequantise(numbers, network.levels)
