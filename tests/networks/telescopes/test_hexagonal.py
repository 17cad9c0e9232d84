"""Layers on axial grids against gathers over a table of neighbours, and against another library's numbers."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from airshower.geometry.camera import HEXAGON_STEPS, Lattice, builtin_camera, lattice, neighbours
from airshower.geometry.mapping import MAPPINGS, camera_mapping
from airshower.networks.telescopes.hexagonal import (
    CameraBatchNorm,
    CameraMap,
    HexConv2d,
    HexPool,
    ToImage,
    camera_map,
    camera_mean,
    halved,
    within,
)

EXACT = {"rtol": 1e-12, "atol": 1e-12}
SEVEN = [(-1, -1), (-1, 0), (0, -1), (0, 0), (0, 1), (1, 0), (1, 1)]
NINE = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1)]


def disc(radius: int) -> Lattice:
    """All hexagons up to `radius` steps from the middle."""
    row, column = np.nonzero(within(radius).numpy())
    return Lattice(row, column, (2 * radius + 1,) * 2, True, np.eye(2), np.zeros(2))


def scattered(rows: int, columns: int, hexagonal: bool = True) -> Lattice:
    """Two thirds of the cells, in disorder."""
    generator = np.random.default_rng(rows)
    cells = generator.permutation(rows * columns)[: rows * columns * 2 // 3]
    row, column = np.divmod(cells, columns)
    return Lattice(row, column, (rows, columns), hexagonal, np.eye(2), np.zeros(2))


CAMERAS = {
    "FACT": lattice(builtin_camera("FACT")),
    "disc": disc(4),
    "scattered": scattered(9, 12),
    "even": scattered(8, 7),
    "squares": scattered(9, 10, hexagonal=False),
}
each_camera = pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS.keys())


def some(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def on_grid(values: Tensor, camera: Lattice) -> CameraMap:
    """[n, channels, pixels] as a map."""
    grid = ToImage(camera_mapping("axial", camera))(values)
    assert torch.equal(grid.mask[0, 0], torch.from_numpy(camera.mask))
    assert torch.equal(at_pixels(grid, camera), values)
    return grid


def at_pixels(x: CameraMap, camera: Lattice) -> Tensor:
    """[n, channels, pixels]; nothing may be elsewhere."""
    assert not x.values.masked_select(~x.mask).any()
    return x.values[:, :, camera.row, camera.column]


def table_at(camera: Lattice, rows: Tensor, columns: Tensor, steps: list[tuple[int, int]]) -> Tensor:
    """The pixels at `steps` from cells [cells], int64 [cells, steps]; -1 where there is none."""
    pixel = torch.from_numpy(np.pad(camera.pixel, 2, constant_values=-1))
    step = torch.tensor(steps)
    return pixel[rows[:, None] + step[:, 0] + 2, columns[:, None] + step[:, 1] + 2]


def gathered(values: Tensor, table: Tensor, missing: float = 0.0) -> Tensor:
    """[n, channels, pixels] by [cells, steps] -> [n, channels, cells, steps]."""
    return torch.where(table >= 0, values[:, :, table.clamp_min(0)], missing)


def coarse_cells(camera: Lattice) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Rows and columns of the cells at half resolution with pixels near, and the table of these."""
    shape = [(size + 1) // 2 for size in camera.shape]
    row, column = (axis.flatten() for axis in torch.meshgrid(*map(torch.arange, shape), indexing="ij"))
    table = table_at(camera, 2 * row, 2 * column, SEVEN if camera.hexagonal else NINE)
    there = (table >= 0).any(1)
    return (row[there], column[there]), table[there]


def compare(
    ours: Callable[[Tensor], Tensor], theirs: Callable[[Tensor], Tensor], values: Tensor, parameters: list[Tensor]
) -> None:
    """Both functions of the values, and their gradients, to 1e-12."""
    values.requires_grad_()
    results = []
    for function in (ours, theirs):
        y = function(values)
        weight = torch.cos(torch.arange(y.numel(), dtype=y.dtype)).view_as(y)
        results.append([y, *torch.autograd.grad((y * y * weight).sum(), [values, *parameters])])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, **EXACT)


@each_camera
@pytest.mark.parametrize("bias", [True, False])
def test_convolution_is_over_the_neighbours(camera: Lattice, bias: bool) -> None:
    conv = HexConv2d(3, 4, bias=bias, hexagonal=camera.hexagonal).double()
    near = torch.from_numpy(neighbours(camera, diagonals=True))
    steps = HEXAGON_STEPS if camera.hexagonal else np.array(NINE)[[1, 3, 5, 7, 0, 2, 6, 8]]
    if bias:
        nn.init.normal_(conv.bias)

    def plain(x: Tensor) -> Tensor:
        y = torch.einsum("oi,nip->nop", conv.weight[:, :, 1, 1], x)
        for step, pixels in zip(steps, near.T, strict=True):
            weight = conv.weight[:, :, step[0] + 1, step[1] + 1]
            y = y + torch.einsum("oi,nip->nop", weight, gathered(x, pixels[:, None])[..., 0])
        return y + conv.bias[:, None] if bias else y

    values = some(2, 3, len(camera))
    compare(lambda x: at_pixels(conv(on_grid(x, camera)), camera), plain, values, list(conv.parameters()))


@each_camera
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_convolution_at_half_resolution(camera: Lattice, kernel: int) -> None:
    conv = HexConv2d(2, 3, kernel, stride=2, hexagonal=camera.hexagonal).double()
    nn.init.normal_(conv.bias)
    cells, _ = coarse_cells(camera)
    middle = kernel // 2
    steps = [tuple((step - middle).tolist()) for step in torch.nonzero(conv.near)]
    table = table_at(camera, 2 * cells[0], 2 * cells[1], steps)

    def plain(x: Tensor) -> Tensor:
        weight = conv.weight[:, :, [row + middle for row, _ in steps], [column + middle for _, column in steps]]
        return torch.einsum("ois,nips->nop", weight, gathered(x, table)) + conv.bias[:, None]

    def ours(x: Tensor) -> Tensor:
        y = conv(on_grid(x, camera))
        assert y.mask.sum() == len(table)
        assert not y.values.masked_select(~y.mask).any()
        return y.values[:, :, cells[0], cells[1]]

    compare(ours, plain, some(2, 2, len(camera)), list(conv.parameters()))


@each_camera
@pytest.mark.parametrize("average", [True, False])
def test_pooling(camera: Lattice, average: bool) -> None:
    cells, table = coarse_cells(camera)

    def plain(x: Tensor) -> Tensor:
        if average:
            return gathered(x, table).sum(3) / (table >= 0).sum(1)
        return gathered(x, table, -torch.inf).max(3).values

    def ours(x: Tensor) -> Tensor:
        y = HexPool(average, camera.hexagonal)(on_grid(x, camera))
        assert torch.equal(torch.nonzero(y.mask[0, 0]), torch.stack(cells, 1))
        assert torch.equal(y.mask, halved(torch.from_numpy(camera.mask)[None, None], camera.hexagonal))
        assert not y.values.masked_select(~y.mask).any()
        return y.values[:, :, cells[0], cells[1]]

    below_zero = some(2, 3, len(camera)) - 5.0  # where an empty cell must not be the largest
    compare(ours, plain, below_zero, [])


@each_camera
def test_no_pixel_is_lost_at_half_resolution(camera: Lattice) -> None:
    _, table = coarse_cells(camera)
    assert set(table[table >= 0].tolist()) == set(range(len(camera)))


@each_camera
def test_batch_normalization_is_over_pixels(camera: Lattice) -> None:
    norm, plain = CameraBatchNorm(3).double(), nn.BatchNorm1d(3).double()
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    plain.load_state_dict(norm.state_dict())
    for values in (some(2, 3, len(camera)) * 3 + 1, some(5, 3, len(camera), seed=1) + 100):
        y = [at_pixels(norm(on_grid(values, camera)), camera), plain(values)]
        torch.testing.assert_close(*y, rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(norm.state_dict(), plain.state_dict(), **EXACT)
    values = some(2, 3, len(camera))
    compare(
        lambda x: at_pixels(norm(on_grid(x, camera)), camera),
        lambda x: functional.batch_norm(x, None, None, norm.weight, norm.bias, training=True),
        values,
        list(norm.parameters()),
    )
    plain.load_state_dict(norm.eval().state_dict())
    compare(
        lambda x: at_pixels(norm(on_grid(x, camera)), camera),
        lambda x: functional.batch_norm(x, plain.running_mean, plain.running_var, norm.weight, norm.bias),
        values,
        list(norm.parameters()),
    )
    torch.testing.assert_close(norm.state_dict(), plain.state_dict(), rtol=0, atol=0)


def test_statistics_of_several_ranks() -> None:
    camera, alone, one_of_two = CAMERAS["disc"], CameraBatchNorm(3).double(), CameraBatchNorm(3).double()
    one_of_two.total = lambda sums: 2 * sums  # as if another rank had the same images

    def mine(x: Tensor) -> Tensor:
        return at_pixels(one_of_two(on_grid(x, camera)), camera)

    def half_of_all(x: Tensor) -> Tensor:
        y = at_pixels(alone(on_grid(torch.cat([x, x.detach()]), camera)), camera)
        return y[:2] + y[2:] - y[2:].detach()  # the other rank's loss depends on the statistics, too

    compare(mine, half_of_all, some(2, 3, len(camera)), [])
    torch.testing.assert_close(one_of_two.state_dict(), alone.state_dict(), **EXACT)


def test_too_few_pixels_have_no_statistics() -> None:
    norm, mask = CameraBatchNorm(2).double(), torch.zeros(4, 4, dtype=torch.bool)
    norm.running_mean += 1.0
    before = {name: value.clone() for name, value in norm.state_dict().items() if name != "num_batches_tracked"}
    mask[1, 2] = True
    for values in (some(1, 2, 4, 4), some(0, 2, 4, 4)):
        y = norm(camera_map(values.requires_grad_(), mask))
        torch.testing.assert_close(y.values, norm.eval()(camera_map(values, mask)).values, **EXACT)
        assert torch.isfinite(torch.autograd.grad(y.values.sum(), [values])[0]).all()
        norm.train()
    after = norm.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def network() -> nn.Sequential:
    torch.manual_seed(2)
    layers = [HexConv2d(2, 4), CameraBatchNorm(4), HexPool(), HexConv2d(4, 4, stride=2), HexPool(average=True)]
    return nn.Sequential(*layers).double()


def test_images_of_different_cameras_in_one_batch() -> None:
    masks = torch.zeros(4, 1, 11, 13, dtype=torch.bool)
    masks[0, 0, :9, :12] = torch.from_numpy(CAMERAS["scattered"].mask)
    masks[1, 0, 2:, 1:10] = torch.from_numpy(CAMERAS["disc"].mask)
    masks[2, 0, 3, 4] = True  # and one without pixels
    values = some(4, 2, 11, 13)
    together, net = camera_map(values, masks), network().eval()
    y = net(together)
    assert y.mask.shape == (4, 1, 2, 2)
    for image in range(4):
        alone = net(camera_map(values[image : image + 1], masks[image, 0]))
        torch.testing.assert_close(y.values[image : image + 1], alone.values, **EXACT)
        assert torch.equal(y.mask[image : image + 1], alone.mask)
    x = net[0](together)
    z = CameraBatchNorm(4).double()(x)
    pixels = torch.cat([x.values[image, :, masks[image, 0]] for image in range(4)], 1)
    expected = functional.batch_norm(pixels[None], None, None, training=True)[0]
    assert pixels.shape[1] == masks.sum()
    torch.testing.assert_close(torch.cat([z.values[i, :, masks[i, 0]] for i in range(4)], 1), expected, **EXACT)
    mean = camera_mean(x)
    torch.testing.assert_close(mean[1], x.values[1, :, masks[1, 0]].mean(1), **EXACT)
    assert not mean[3].any()


def test_empty_batches() -> None:
    net = network()
    x = camera_map(some(0, 2, 9, 12).requires_grad_(), torch.from_numpy(CAMERAS["scattered"].mask))
    y = net(x)
    assert y.values.shape == (0, 4, 2, 2)
    assert camera_mean(y).shape == (0, 4)
    y.values.sum().backward()
    assert all(torch.equal(parameter.grad, torch.zeros_like(parameter)) for parameter in net.parameters())


def turned(x: CameraMap, camera: Lattice) -> CameraMap:
    """A disc's image turned by 60 degrees: axial (row, column) from the middle goes to (column, column - row)."""
    middle = camera.shape[0] // 2
    row, column = camera.row - middle, camera.column - middle
    values = torch.zeros_like(x.values)
    values[:, :, column + middle, column - row + middle] = x.values[:, :, camera.row, camera.column]
    return CameraMap(values, x.mask)


def test_a_turned_image_gives_the_turned_output() -> None:
    camera = CAMERAS["disc"]
    x = on_grid(some(2, 3, len(camera)), camera)
    conv, uneven = HexConv2d(3, 4).double(), HexConv2d(3, 4).double()
    with torch.no_grad():  # one weight for the middle and one for all neighbours
        conv.weight.copy_(conv.weight[:, :, 1:2, 2:3].expand(-1, -1, 3, 3).clone())
        conv.weight[:, :, 1, 1] = some(4, 3, seed=4)
    torch.testing.assert_close(conv(turned(x, camera)).values, turned(conv(x), camera).values, **EXACT)
    assert not torch.allclose(uneven(turned(x, camera)).values, turned(uneven(x), camera).values)


# IndexedConv 1.3.2 (PyPI) in float64 with bias (0.1, -0.2, 0.3), weights sin(0, 1, 2, ...) [3, 2, steps], inputs
# cos(0.37 (0, 1, 2, ...)) [2, 2, pixels] in the order of rows and columns, and as loss the sum of outputs times
# cos(0.11 (0, 1, 2, ...)): sum of squared outputs, output [1, 2, pixels // 2], output [0, 0, 0], sums of squared
# gradients of the inputs and of the weights
INDEXED = {
    ("FACT", 3): (33733.08664233317, 1.8644060623673895, -0.2553007806362876, 110342.4481635537, 10975.86522104054),
    ("FACT", 5): (140762.8257189367, 0.4601063798364401, -1.107634561861096, 167737.4066817922, 44862.98508095274),
    ("LSTCam", 3): (87815.79590768198, -0.7255512598038847, -0.1284304633702336, 19764.54550133026, 3648.736166734807),
    ("LSTCam", 5): (349630.7327968946, 10.456312297171547, -5.226696003821979, 69212.29579143756, 26875.14598867841),
}


@pytest.mark.parametrize(("name", "kernel"), INDEXED)
def test_numbers_of_indexed_convolutions(name: str, kernel: int) -> None:
    mask = torch.from_numpy(lattice(builtin_camera(name)).mask)
    pixels, conv = int(mask.sum()), HexConv2d(2, 3, kernel).double()
    count = int(conv.near.sum())
    with torch.no_grad():
        conv.weight[:, :, conv.near > 0] = torch.sin(torch.arange(6.0 * count).double()).view(3, 2, count)
        conv.bias.copy_(torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64))
    x = torch.cos(0.37 * torch.arange(4.0 * pixels).double()).view(2, 2, pixels).requires_grad_()
    grid = torch.zeros(2, 2, *mask.shape).double().masked_scatter(mask, x)
    y = conv(camera_map(grid, mask)).values[:, :, mask]
    (y * torch.cos(0.11 * torch.arange(6.0 * pixels).double()).view_as(y)).sum().backward()
    sums = [y.square().sum(), y[1, 2, pixels // 2], y[0, 0, 0], x.grad.square().sum(), conv.weight.grad.square().sum()]
    assert [value.item() for value in sums] == pytest.approx(INDEXED[name, kernel], rel=1e-11)


def test_weights_are_those_of_torch() -> None:
    camera, plain = CAMERAS["scattered"], nn.Conv2d(4, 6, 3, groups=2, padding=1).double()
    conv = HexConv2d(4, 6, groups=2).double()
    assert conv.near.tolist() == [[1, 1, 0], [1, 1, 1], [0, 1, 1]]
    assert not conv.weight[:, :, conv.near == 0].any()
    assert conv.weight[:, :, conv.near > 0].var().item() == pytest.approx(2 / (2 * 7 + 3 * 2 * 7), rel=0.5)
    conv.load_state_dict(plain.state_dict())
    x = on_grid(some(2, 4, len(camera)), camera)
    conv(x).values.sum().backward()
    assert not conv.weight.grad[:, :, conv.near == 0].any()
    assert conv.weight.grad[:, :, conv.near > 0].all()
    with torch.no_grad():
        plain.weight[:, :, conv.near == 0] = 0.0
    torch.testing.assert_close(conv(x).values, plain(x.values) * x.mask, **EXACT)
    nn.BatchNorm2d(3).load_state_dict(CameraBatchNorm(3).state_dict())


def test_half_precision_and_channels_last() -> None:
    camera, net = CAMERAS["FACT"], network()
    x = on_grid(some(2, 2, len(camera)), camera)
    exact, net = net(x), network().float().to(memory_format=torch.channels_last)
    last = CameraMap(x.values.float().to(memory_format=torch.channels_last), x.mask)
    torch.testing.assert_close(net(last).values.double(), exact.values, rtol=1e-5, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        y = network().float()(last)
    assert y.values.dtype == torch.bfloat16
    torch.testing.assert_close(y.values.double(), exact.values, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("name", MAPPINGS)
def test_mapping_on_the_device(name: str) -> None:
    mapping = camera_mapping(name, CAMERAS["FACT"])
    layer, values = ToImage(mapping), some(2, 3, len(CAMERAS["FACT"]))
    values[0, 0, 0] = torch.nan
    y = layer(values)
    torch.testing.assert_close(y.values, torch.from_numpy(mapping.to_image(values.numpy())), equal_nan=True, **EXACT)
    assert torch.equal(y.mask[0, 0], torch.from_numpy(mapping.mask))
    assert not layer.state_dict()


def test_what_is_not_finite_beside_the_camera_is_taken_away() -> None:
    mask = torch.tensor([[True, False], [True, True]])
    x = camera_map(torch.full((1, 1, 2, 2), torch.nan).masked_fill(mask, 2.0), mask)
    assert x.values.tolist() == [[[[2.0, 0.0], [2.0, 2.0]]]]
    assert x.mask.shape == (1, 1, 2, 2)
