"""Images from PixelCNN++, cell by cell in the order of rows, each cell once through the network.

Source of the idea: Ramachandran et al., Fast Generation for Convolutional Autoregressive Models (2017). The vertical
stream is computed a row at a time and the horizontal one a cell at a time; lower resolutions have a row for every
second, and a column for every second, of the one above. Cells without PMT are known, so they are computed with the next
one that is not.
"""

import torch
from torch import Tensor
from torch.nn import functional

from airshower.networks.generator import Tick, untold
from airshower.networks.images import dequantise
from airshower.networks.pixelcnn_cache import CachedConv, CachedStream, Memory, Row
from airshower.networks.pixelcnn_density import PixelDensity
from airshower.networks.pixelcnn_mixture import centred

TEMPORARY = 16  # values for each column and filter that a row of the vertical stream needs beside what is kept


class Sampler:
    """Generates up to `batch` images at a time, with the weights that the network has now, in `dtype`: by default in
    that of the weights, or of autocast where it is on. The mixture is at least in float32.

    On a CUDA device, `graphs` records each row's kernels at the second batch and replays them from then on, which saves
    launching them one by one.
    """

    def __init__(self, network: PixelDensity, batch: int, dtype: torch.dtype | None = None, graphs: bool = False):
        bias = network.head.bias
        self.network, device = network, bias.device
        if dtype is None:
            autocast = torch.is_autocast_enabled(device.type)
            dtype = torch.get_autocast_dtype(device.type) if autocast else bias.dtype
        self.memory = memory = Memory(batch, dtype, device)
        (rows, columns), channels = network.shape, network.channels
        self.empty = torch.full((rows, columns, channels + 1), -1.0, dtype=dtype, device=device)  # rows without a hit
        self.empty[..., -1] = network.there
        self.place_above, self.place = (
            memory.weight(place.permute(1, 2, 0)) for place in (network.place_above, network.place)
        )
        self.here, self.before = Row(memory, columns, channels + 1), Row(memory, columns, channels + 1)
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
        """What is kept between steps, without weights."""
        return self.memory.nbytes + self.numbers.nbytes + self.noise.nbytes

    @torch.inference_mode()
    def __call__(self, noise: Tensor, conditions: Tensor | None = None, tick: Tick = untold) -> Tensor:
        """Images float32 [n, channels, rows, columns] for uniform noise [n, draws] and scaled conditions [n,
        quantities]; `tick` is called with the share done after each row. Fewer than `batch` take as long."""
        network, mixture, count = self.network, self.network.mixture, len(noise)
        noise, conditions = self._filled(noise), None if conditions is None else self._filled(conditions)
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
                tick((row + 1) / len(self.steps))
        self.warm = True
        return dequantise(self.numbers[:count], network.levels)

    def _filled(self, rows: Tensor) -> Tensor:
        """A whole batch of them, the last of them zeros."""
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
        vertical, horizontal, columns = self.vertical, self.horizontal, self.numbers.shape[3]
        levels = len(vertical.down)
        depth = min(levels, (row & -row).bit_length()) if row else levels  # levels that have a row here
        for layer in (self.rows_above, self.row_above, self.left):
            layer.start_row()
        for stream in (vertical, horizontal):
            stream.start_row(depth)
        self.before.values.copy_(self.here.values)
        self.here.inner.copy_(self.empty[row].expand_as(self.here.inner))
        vertical(self.rows_above(0, columns) + self.place_above[row], 0, columns, depth)
        horizontal.see(vertical, depth)
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
    """For each row, the columns from and to that are computed at once, and which of the `live` cells the last is; None
    where cells without PMT end the row."""
    number, steps = {cell: index for index, cell in enumerate(live)}, []
    for row in range(rows):
        ends = [column + 1 for column in range(columns) if row * columns + column in number]
        if not ends or ends[-1] < columns:
            ends.append(columns)
        starts = [0, *ends[:-1]]
        steps.append([(a, b, number.get(row * columns + b - 1)) for a, b in zip(starts, ends, strict=True)])
    return steps


def bytes_per_image(network: PixelDensity, dtype: torch.dtype | None = None) -> int:
    """What a `Sampler` needs for an image more: what it keeps, and an allowance for what it makes in a step."""
    sampler = Sampler(network, 1, dtype)
    filters, columns = len(network.vertical.down[0][0].first.bias), network.shape[1]
    temporary = TEMPORARY * filters * columns * sampler.memory.dtype.itemsize
    return sampler.nbytes + temporary + 3 * sampler.noise.nbytes  # which is given, and made logistic


def largest_batch(network: PixelDensity, memory: int, dtype: torch.dtype | None = None) -> int:
    """How many images at a time fit in so many bytes, at least 1."""
    return max(1, memory // bytes_per_image(network, dtype))


@torch.inference_mode()
def sample_naively(network: PixelDensity, noise: Tensor, conditions: Tensor | None = None, cells: int = 0) -> Tensor:
    """As `Sampler`, through the whole network, in evaluation, anew for each cell, or for the first `cells`: what it is
    tested and timed against."""
    mixture, (_, columns) = network.mixture, network.shape
    noise = mixture.prepare(noise.unflatten(1, (-1, mixture.draws)))
    numbers = noise.new_zeros(len(noise), network.channels, *network.shape)
    for index, cell in enumerate(network.live.tolist()[: cells or None]):
        row, column = divmod(cell, columns)
        theta = network.distribution(numbers, conditions)[:, :, row, column]
        numbers[:, :, row, column] = mixture.draw(theta, noise[:, index])
    return dequantise(numbers, network.levels)
