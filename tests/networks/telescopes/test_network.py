"""The network for telescopes: which images count, and in which way."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from airshower.errors import DataError, UserError
from airshower.networks.telescopes.inputs import telescope_kinds
from airshower.networks.telescopes.network import field_angles
from tests.networks.telescopes.arrays import (
    ARRAY,
    BLOCKS,
    COMBINATIONS,
    OUTPUTS,
    assert_close,
    camera,
    images,
    input_of,
    network,
    run,
)
from tests.pairwise import pairwise

each_combination = pytest.mark.parametrize("combine", COMBINATIONS.values(), ids=COMBINATIONS)
each_block = pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
FULL = [(0, 0), (0, 1), (0, 2), (0, 3)]


@each_combination
def test_order_of_the_images_does_not_matter(combine: dict) -> None:
    net, b = network(**combine), images(1, [(0, 4)])
    one = run(net, images(0, FULL), b, entries=1)
    other = run(net, images(0, [FULL[row] for row in (3, 1, 2, 0)]), b, entries=1)
    assert {name: tuple(output.shape) for name, output in one.items()} == {
        name: (1, channels) for name, channels in OUTPUTS.items()
    }
    assert_close(one, other)
    fewer = run(net, images(0, FULL[:3]), b, entries=1)
    assert not torch.allclose(one["energy"], fewer["energy"])


@each_combination
def test_events_do_not_see_each_other(combine: dict) -> None:
    """Nor what is in the places of telescopes that have no image: each event alone has other ones."""
    net = network(**combine)
    both = run(net, images(0, [(0, 0), (0, 3), (1, 1)]), images(1, [(1, 4)]), entries=2)
    assert_close(run(net, images(0, [(0, 0), (0, 3)]), images(1, []), entries=1), both, slice(0, 1))
    assert_close(run(net, images(0, [(0, 1)]), images(1, [(0, 4)]), entries=1), both, slice(1, 2))


@each_block
def test_statistics_are_over_images_that_are_there(block: dict) -> None:
    """Four images as one event or as four, whose other places are empty."""
    one, other = network(normalization="batch", **block), network(normalization="batch", **block)
    run(one, images(0, FULL), images(1, []), entries=1)
    run(other, images(0, [(row, row) for row in range(4)]), images(1, []), entries=4)
    assert len(one.state_dict()) > 20
    torch.testing.assert_close(one.encoders.state_dict(), other.encoders.state_dict())


@each_combination
def test_running_statistics_do_not_depend_on_the_batch(combine: dict) -> None:
    net = network(**{**combine, "normalization": "batch"})
    a, b = images(0, [(0, 0), (0, 3), (1, 1)]), images(1, [(1, 4)])
    run(net, a, b, entries=2)
    net.eval()
    both = run(net, a, b, entries=2)
    assert_close(run(net, images(0, [(0, 0), (0, 3)]), images(1, []), entries=1), both, slice(0, 1))


def test_weights_are_shared_by_telescopes_of_a_type() -> None:
    """The same image at the same place is the same, whichever telescope of the type saw it, and not of another type."""
    array = replace(ARRAY, position=np.zeros((5, 3)))
    net, image = network(array, combine="mean"), images(0, [(0, 0)])
    first, second, third = (
        run(net, replace(image, telescope=torch.tensor([telescope])), images(1, []), entries=1, array=array)
        for telescope in (0, 1, 2)
    )
    assert_close(first, second)
    assert not torch.allclose(first["energy"], third["energy"])
    more = replace(
        array,
        telescope_ids=np.arange(1, 7),
        telescope_types=(*array.telescope_types, "LST"),
        position=np.zeros((6, 3)),
        focal_length=np.append(array.focal_length, 28.0),
        camera=np.append(array.camera, 0),
    )
    assert [p.shape for p in network(more, combine="mean").parameters()] == [p.shape for p in net.parameters()]


@pairwise(
    "combine",
    "rows",
    combine=list(COMBINATIONS.values()),
    rows=[[(0, 0), (1, 1)], []],
    normalization=["batch", "group", "none"],
)
def test_every_weight_has_a_gradient(combine: dict, rows: list, options: dict) -> None:
    check_gradients(rows, **options, **combine)


@each_block
@pytest.mark.parametrize("rows", [[(0, 0), (1, 1)], []], ids=["one kind", "empty"])
def test_every_weight_of_a_block_has_a_gradient(block: dict, rows: list) -> None:
    check_gradients(rows, normalization="batch", **block)


def check_gradients(rows: list, **config: object) -> None:
    """Of events of one telescope each, while other kinds have no image."""
    net = network(**config)
    outputs = run(net, images(0, rows), images(1, []), entries=len(rows))
    assert all(output.isfinite().all() for output in outputs.values())
    sum(output.square().sum() for output in outputs.values()).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        if not rows or name.startswith(("encoders.1", "encoders.2")):
            assert not parameter.grad.any(), name
    assert any(parameter.grad.any() for parameter in net.encoders[0].parameters()) == bool(rows)


def test_broken_pixels_are_empty() -> None:
    net, b = network(), images(1, [])
    broken, empty = images(0, [(0, 0)]), images(0, [(0, 0)])
    broken.charge[0, 3] = broken.time[0, 3] = torch.nan
    empty.charge[0, 3] = 0.0
    empty.time[0, 3] = torch.nan
    assert_close(run(net, broken, b, entries=1), run(net, empty, b, entries=1))


def test_times_are_relative() -> None:
    net, a, b = network(), images(0, [(0, 0)]), images(1, [])
    later = run(net, replace(a, time=a.time + 100), b, entries=1)
    for name, output in run(net, a, b, entries=1).items():
        torch.testing.assert_close(output, later[name], rtol=1e-3, atol=1e-4)


def test_time_and_coordinates_are_options() -> None:
    a, b = images(0, [(0, 0)]), images(1, [])
    later = replace(a, time=a.time.flip(1))
    for time in (True, False):
        net = network(time=time, coordinates=False)
        one, other = (run(net, of, b, entries=1)["energy"] for of in (a, later))
        assert torch.equal(one, other) != time


@each_block
@pytest.mark.parametrize("mapping", ["axial", "shifting", "oversampling", "bilinear"])
def test_every_mapping_makes_a_network(mapping: str, block: dict) -> None:
    outputs = run(network(mapping=mapping, **block), images(0, [(0, 0)]), images(1, [(0, 4)]), entries=1)
    assert all(output.isfinite().all() for output in outputs.values())


@each_block
def test_cameras_of_square_pixels(block: dict) -> None:
    array = replace(ARRAY, cameras=(camera("A", 3, "square"), ARRAY.cameras[1]))
    net = network(array, combine="feature_map", **block)
    outputs = run(net, images(0, [(0, 0)], array=array), images(1, [(0, 4)]), entries=1, array=array)
    assert all(output.isfinite().all() for output in outputs.values())
    kernels = [layer.near.min() for layer in net.encoders[0].modules() if hasattr(layer, "near")]
    assert min(kernels) == 1  # none leaves out corners


def test_kinds_are_types_with_a_camera() -> None:
    kinds = telescope_kinds(ARRAY)
    assert [(kind.camera, kind.telescopes.tolist(), kind.focal_length) for kind in kinds] == [
        (0, [0, 1], 28.0), (0, [2, 3], 16.0), (1, [4], 2.0),
    ]  # fmt: skip
    seen = input_of((images(0, [(0, 3), (0, 0)]), images(1, [])), 1)
    assert [kind.telescope[:, 0].tolist() for kind in seen.kinds] == [
        [pytest.approx(-1.2)], [pytest.approx(0.6)], [],
    ]  # fmt: skip
    assert [kind.row.tolist() for kind in seen.kinds] == [[0], [3], []]


def test_equal_cameras_behind_other_mirrors_see_other_angles() -> None:
    """Also where files call both by one name."""
    array = replace(
        ARRAY, telescope_types=("MST",) * 4 + ("SST",), focal_length=np.array([28.0, 28.02, 16.0, 16.0, 2.0])
    )
    assert [kind.telescopes.tolist() for kind in telescope_kinds(array)] == [[0, 1], [2, 3], [4]]
    wide, narrow, _ = (encoder.angles for encoder in network(array).encoders)
    torch.testing.assert_close(narrow, wide * 28.01 / 16)


def test_size_is_of_the_pixels_that_cleaning_kept() -> None:
    a, b = images(0, FULL[:2]), images(1, [])
    clean = a.charge > 4
    whole, cleaned = (input_of((of, b), 1).kinds[0].size for of in (a, replace(a, clean=clean)))
    torch.testing.assert_close(whole, a.charge.sum(1))
    torch.testing.assert_close(cleaned, a.charge.where(clean, 0.0).sum(1))


def test_field_angles_of_a_turned_camera() -> None:
    """Its x axis points to rising altitude, unless it is turned."""
    turned = replace(camera("C", 1), camera_rotation=90.0)
    straight, across = field_angles(camera("C", 1), 10.0), field_angles(turned, 10.0)
    np.testing.assert_allclose(straight, np.degrees(np.stack([turned.x, turned.y]) / 10))
    np.testing.assert_allclose(across, np.degrees(np.stack([-turned.y, turned.x]) / 10), atol=1e-12)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"filters": []}, "network.filters=.*each level"),
        ({"filters": [4, 0]}, "network.filters=.*above 0"),
        ({"blocks": [1]}, "network.blocks=.*as many numbers"),
        ({"blocks": [1, 0]}, "network.blocks=.*needs a block"),
        ({"kernel": 2}, "network.kernel=2: must be odd"),
        ({"stem_kernel": 4}, "network.stem_kernel=4: must be odd"),
        ({"combine": "set_attention", "attention_heads": 3}, "network.attention_heads=3: must divide"),
        ({"head": "resnet"}, "network.head=resnet: convolves feature maps"),
        ({"head": "alexnet", "head_width": 0}, "network.head_width=0"),
    ],
)
def test_impossible_options_are_refused(config: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        network(**config)


def test_a_camera_that_is_no_lattice_is_named_with_a_way_to_leave_it_out() -> None:
    bent = camera("C", 2)
    bent = replace(bent, x=bent.x + 0.01 * np.sin(60 * bent.y))
    with pytest.raises(DataError, match=r"camera C are on no hexagonal .*; data\.telescope_types=\[A\] leaves it out"):
        network(replace(ARRAY, cameras=(ARRAY.cameras[0], bent)))
    with pytest.raises(DataError, match=r"are on no hexagonal .* are allowed$"):
        network(replace(ARRAY, cameras=(bent, bent)))


@pytest.mark.parametrize("normalization", ["batch", "sync_batch"])
def test_the_momentum_of_running_statistics_is_that_of_the_config(normalization: str) -> None:
    """In the blocks and in the head."""
    net = network(normalization=normalization, batch_norm_momentum=0.25, **COMBINATIONS["maps resnet"])
    norms = [layer for layer in net.modules() if isinstance(layer, _BatchNorm)]
    assert len(norms) > len([layer for layer in net.encoders.modules() if isinstance(layer, _BatchNorm)]) > 3
    assert {norm.momentum for norm in norms} == {0.25}
