"""Sparse networks: the dense ones where all pixels are there, and what must not depend on how sites are given."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from airshower.config.schema import FrameworkConfig
from airshower.data.sites import Sites
from airshower.data.spec import SparseImagesSpec, Spec
from airshower.detectors.lartpc.source import LartpcConfig, LartpcEvents
from airshower.errors import UserError
from airshower.networks.uresnet import sparse_backends
from airshower.networks.uresnet.grid import Grid
from airshower.networks.uresnet.network import UResNet, UResNet3d, UResNetSparse, UResNetSparse3d
from airshower.networks.uresnet.sparse import EMPTY, SiteGroupNorm, Sparse2d, SparseMap, submanifold, to_dense
from tests.pairwise import pairwise

CLASSES = ("background", "cosmic", "neutrino")
SHAPE = (16, 8)
SPEC = Spec({"images": SparseImagesSpec(3, SHAPE, 0, CLASSES)})
SMALL = {"n_initial_filters": 4, "depth": 2, "bottleneck_deepest": 8, "blocks_deepest_layer": 1, "blocks_final": 1}
SMALL |= {"event_filters": 4, "event_blocks": 1, "vertex_depth": 1}
OUTPUTS = {"pixels": 3, "event": 4, "vertex": 3}
PAIRS = [(UResNet, UResNetSparse), (UResNet3d, UResNetSparse3d)]
OPTIONS = {
    "connections": ["concat", "sum", "none"],
    "growth_rate": ["additive", "multiplicative"],
    "residual": [True, False],
    "downsampling": ["max_pooling", "convolutional"],
    "upsampling": ["interpolation", "convolutional"],
    "block_concat": [False, True],
    "bias": [True, False],
    "normalization": ["batch", "none", "group", "layer", "instance"],
    "bottleneck": ["dense", "sparse"],
}
spconv = pytest.mark.skipif(importlib.util.find_spec("spconv") is None, reason="spconv is not installed")


def network(kind: type[UResNet], seed: int = 3, backend: str = "torch", spec: Spec = SPEC, **options: object):
    torch.manual_seed(seed)
    known = {key: value for key, value in {**SMALL, **options}.items() if hasattr(kind.Config, key)}
    return kind(kind.Config(**known), spec, OUTPUTS, FrameworkConfig(sparse_backend=backend)).double()


def sites_of(images: Tensor, chosen: Tensor) -> Sites:
    """The pixels of [events, planes, rows, columns] where `chosen` is true, in the order of images, columns, rows."""
    event, plane, column, row = torch.nonzero(chosen.transpose(2, 3), as_tuple=True)
    value = images[event, plane, row, column]
    return Sites(event * images.shape[1] + plane, row, column, value, *images.shape[:2], tuple(images.shape[2:]))


def at(images: Tensor, sites: Sites) -> Tensor:
    """[events, planes, channels, rows, columns] at sites."""
    return images.flatten(0, 1)[sites.image, :, sites.row, sites.column]


def some(events: int, seed: int = 0, share: float = 0.2) -> Sites:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(events, 3, *SHAPE, generator=generator, dtype=torch.float64)
    return sites_of(images, torch.rand(images.shape, generator=generator) < share)


def sparse_map(sites: Sites, channels: int = 2) -> SparseMap:
    features = torch.randn(len(sites.value), channels, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return SparseMap(features, Sparse2d("none", True, "dense", submanifold).enter(sites).grid)


@pairwise("kinds", "training", kinds=PAIRS, training=[False, True], **OPTIONS)
def test_with_all_sites_active_it_is_the_dense_network(kinds: tuple[type, type], training: bool, options: dict) -> None:
    """Outputs and gradients, with the weights of the dense network, which both have under the same names."""
    dense, sparse = kinds
    one, other = network(dense, **options), network(sparse, seed=4, **options)
    other.load_state_dict(one.state_dict())
    images = torch.rand(2, 3, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    sites = sites_of(images, images > -1)
    expected, found = one.train(training)(images), other.train(training)(sites)
    torch.testing.assert_close(found["pixels"], at(expected["pixels"], sites))
    for name in ("event", "vertex"):
        torch.testing.assert_close(found[name], expected[name])
    for outputs in (expected, found):
        sum(output.square().sum() for output in outputs.values()).backward()
    for (name, a), b in zip(one.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(b.grad, a.grad, msg=lambda text, name=name: f"{name}: {text}")
    for a, b in zip(one.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(("dense", "sparse"), PAIRS)
def test_a_seed_gives_dense_and_sparse_the_same_weights(dense: type, sparse: type) -> None:
    one, other = network(dense).state_dict(), network(sparse).state_dict()
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("options", [{}, {"bottleneck": "sparse"}, {"downsampling": "convolutional"}], ids=str)
@pytest.mark.parametrize("kind", [UResNetSparse, UResNetSparse3d])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_order_of_sites_does_not_matter(kind: type, options: dict, seed: int) -> None:
    net, sites = network(kind, **options), some(2)
    order = torch.randperm(len(sites.value), generator=torch.Generator().manual_seed(seed))
    moved = replace(sites, **{name: getattr(sites, name)[order] for name in ("image", "row", "column", "value")})
    expected, found = net(sites), net(moved)
    torch.testing.assert_close(found["pixels"], expected["pixels"][order])
    for name in ("event", "vertex"):
        torch.testing.assert_close(found[name], expected[name])


@pytest.mark.parametrize(
    "options", [{"normalization": "instance"}, {"normalization": "layer", "bottleneck": "sparse"}, {}]
)
@pytest.mark.parametrize("kind", [UResNetSparse, UResNetSparse3d])
def test_a_batch_of_two_is_two_batches_of_one(kind: type, options: dict) -> None:
    net, both = network(kind, **options).eval(), some(2)
    expected = net(both)
    for event in range(2):
        own = both.image // 3 == event
        parts = {name: getattr(both, name)[own] for name in ("row", "column", "value")}
        found = net(Sites(both.image[own] % 3, **parts, events=1, planes=3, shape=SHAPE))
        torch.testing.assert_close(found["pixels"], expected["pixels"][own])
        for name in ("event", "vertex"):
            torch.testing.assert_close(found[name], expected[name][event : event + 1])


@pairwise(
    "kind",
    "backend",
    "given",
    kind=[UResNetSparse, UResNetSparse3d],
    backend=["torch", "spconv"],
    given=[(0, []), (1, []), (1, [(1, 15, 7)]), (2, [(0, 0, 0), (0, 0, 7)])],
    normalization=["batch", "group", "none"],
    bottleneck=["dense", "sparse"],
)
def test_few_or_no_sites(kind: type, backend: str, given: tuple[int, list], options: dict) -> None:
    """Training works, and gives no weight an infinite gradient."""
    if backend == "spconv" and not importlib.util.find_spec("spconv"):
        pytest.skip("spconv is not installed")
    events, places = given
    chosen = torch.zeros(events, 3, *SHAPE, dtype=torch.bool)
    for plane, row, column in places:
        chosen[0, plane, row, column] = True
    net = network(kind, backend=backend, **options)
    net = net.float() if backend == "spconv" else net
    value = next(net.parameters()).dtype
    outputs = net(sites_of(torch.rand(chosen.shape, dtype=value), chosen))
    assert outputs["pixels"].shape == (len(places), 3)
    assert outputs["event"].shape == (events, 4)
    assert outputs["vertex"].shape == (events, 3, 3, 8, 4)
    assert all(output.isfinite().all() for output in outputs.values())
    sum(output.square().sum() for output in outputs.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    assert all(buffer.isfinite().all() for buffer in net.buffers())


def test_in_evaluation_an_event_does_not_depend_on_an_empty_one_beside_it() -> None:
    net, alone = network(UResNetSparse).eval(), some(1)
    beside = replace(alone, events=2)
    torch.testing.assert_close(net(beside)["pixels"], net(alone)["pixels"])


@settings(max_examples=40, deadline=None)
@given(data=st.data(), size=st.sampled_from([3, 5]), channels=st.integers(1, 3))
def test_convolution_is_the_dense_one_at_its_sites(data: st.DataObject, size: int, channels: int) -> None:
    """Also at the border, in several images, and for sites in any order; and its gradients."""
    pixels = data.draw(st.lists(st.integers(0, 2 * 8 * 6 - 1), unique=True, max_size=60))
    key = torch.tensor(pixels, dtype=torch.int64)
    grid = Grid(key, 2, (8, 6))
    generator = torch.Generator().manual_seed(len(pixels))
    features = torch.randn(len(key), channels, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, channels, size, size, generator=generator, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(4, generator=generator, dtype=torch.float64, requires_grad=True)
    found = submanifold(SparseMap(features, grid), weight, bias)
    dense = functional.conv2d(to_dense(SparseMap(features, grid)), weight, bias, padding=size // 2)
    expected = dense[grid.image, :, grid.row, grid.column]
    torch.testing.assert_close(found, expected)
    direction = torch.randn(found.shape, generator=generator, dtype=torch.float64)
    for one, other in zip(
        torch.autograd.grad(found, (features, weight, bias), direction),
        torch.autograd.grad(expected, (features, weight, bias), direction),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_a_convolution_in_pieces_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x = sparse_map(some(2, share=0.5))
    assert len(x.grid) > 128
    weight = torch.randn(3, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    whole = submanifold(x, weight)
    (gradient,) = torch.autograd.grad(whole.square().sum(), weight)
    monkeypatch.setattr("airshower.networks.uresnet.sums.GATHERED", 1)
    parts = submanifold(x, weight)
    torch.testing.assert_close(parts, whole)
    torch.testing.assert_close(torch.autograd.grad(parts.square().sum(), weight)[0], gradient)


@settings(max_examples=30, deadline=None)
@given(pixels=st.lists(st.integers(0, 2 * 8 * 6 - 1), unique=True, min_size=1, max_size=60))
def test_sparse_to_dense_to_sparse(pixels: list[int]) -> None:
    grid = Grid(torch.tensor(pixels), 2, (8, 6))
    features = torch.arange(2.0 * len(pixels)).view(-1, 2)
    dense = to_dense(SparseMap(features, grid), EMPTY)
    assert torch.equal(dense[grid.image, :, grid.row, grid.column], features)
    assert int((dense != EMPTY).sum()) == features.numel()


def test_pooling_and_interpolation_see_only_sites_that_are_there() -> None:
    ops = Sparse2d("none", True, "dense", submanifold)
    chosen = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    chosen[0, 0, [0, 1, 3], [0, 1, 3]] = True
    x = ops.enter(sites_of(-torch.arange(16.0).view(1, 1, 4, 4), chosen))
    pooled = ops.pool(x)
    assert pooled.grid.key.tolist() == [0, 3]
    assert pooled.features[:, 0].tolist() == [0.0, -15.0], "not the zero of a pixel that is not there"
    up = ops.upsample(pooled, x)
    # at (1, 1) the parent (weight 9) and of the others the one diagonally opposite (weight 1); elsewhere the parent
    torch.testing.assert_close(up.features[:, 0], torch.tensor([0.0, -1.5, -15.0]))


def test_gradients_of_pooling_and_interpolation_where_sites_are_missing() -> None:
    ops = Sparse2d("none", True, "dense", submanifold)
    fine = sparse_map(some(2, share=0.3))
    coarse = ops.pool(fine)
    features = fine.features.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: ops.pool(SparseMap(x, fine.grid)).features, features)
    features = coarse.features.detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: ops.upsample(SparseMap(x, coarse.grid), fine).features, features)


@pytest.mark.parametrize("kind", [UResNetSparse, UResNetSparse3d])
def test_where_only_sites_are_seen_real_events_agree(sbnd_file: Path, kind: type) -> None:
    """At its sites: the first convolution sees zeros beside them, all others are 1 x 1."""
    options = {"depth": 0, "blocks_per_layer": 0, "blocks_deepest_layer": 0, "blocks_final": 0, "block_concat": True}
    source = LartpcEvents(LartpcConfig(downsample=1), str(sbnd_file))
    dense, outputs = kind.__mro__[1] if kind is UResNetSparse else UResNet3d, {"pixels": 3}
    nets = []
    for each in (dense, kind):
        torch.manual_seed(0)
        nets.append(each(each.Config(**{**SMALL, **options}), source.spec, outputs, FrameworkConfig()).eval())
    batch = source.read(np.array([1])).to(torch.device("cpu"))
    sites = kind.view(source.spec)(batch).input
    with torch.no_grad():
        expected = nets[0](dense.view(source.spec)(batch).input)["pixels"]
        found = nets[1](sites)["pixels"]
    assert len(found) > 30_000
    torch.testing.assert_close(found, at(expected, sites), rtol=1e-5, atol=1e-5)


@spconv
@pytest.mark.parametrize(("inputs", "outputs", "size"), [(1, 16, 5), (16, 16, 3), (16, 32, 3)])
def test_spconv_agrees_with_torch_on_a_real_event(sbnd_file: Path, inputs: int, outputs: int, size: int) -> None:
    """Forward and backward in float32, several times: with several threads spconv would be wrong now and then."""
    source = LartpcEvents(LartpcConfig(downsample=0), str(sbnd_file))
    sites = UResNetSparse.view(source.spec)(source.read(np.array([0])).to(torch.device("cpu"))).input
    grid = Sparse2d("none", True, "dense", submanifold).enter(sites).grid
    generator, threads = torch.Generator().manual_seed(0), torch.get_num_threads()
    torch.set_num_threads(4)
    features = torch.randn(len(grid), inputs, generator=generator, requires_grad=True)
    weight = torch.randn(outputs, inputs, size, size, generator=generator, requires_grad=True)
    direction = torch.randn(len(grid), outputs, generator=generator)
    expected = submanifold(SparseMap(features, grid), weight)
    gradients = torch.autograd.grad(expected, (features, weight), direction)
    backend = sparse_backends.sparse_backend("spconv")
    try:
        for _ in range(4):
            found = backend(SparseMap(features, grid), weight)
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
            for one, other in zip(torch.autograd.grad(found, (features, weight), direction), gradients, strict=True):
                assert (one - other).norm() < 1e-5 * other.norm()
    finally:
        torch.set_num_threads(threads)


@spconv
@pytest.mark.parametrize(("normalization", "tolerance"), [("none", 1e-5), ("batch", 1e-3)])
@pytest.mark.parametrize(("dense", "sparse"), PAIRS)
def test_spconv_networks_have_the_gradients_of_the_dense_ones(
    dense: type, sparse: type, normalization: str, tolerance: float
) -> None:
    """float32 against float64; batch normalization over few pixels enlarges what is rounded."""
    one = network(dense, normalization=normalization)
    other = network(sparse, backend="spconv", normalization=normalization).float()
    images = torch.rand(2, 3, *SHAPE, dtype=torch.float64)
    sites = sites_of(images.float(), images > -1)
    sum(output.square().sum() for output in one(images).values()).backward()
    sum(output.square().sum() for output in other(sites).values()).backward()
    expected, found = (torch.cat([p.grad.flatten() for p in net.parameters()]) for net in (one, other))
    assert (found - expected).norm() < tolerance * expected.norm()


@pytest.mark.parametrize(
    ("cuda", "says"),
    [
        ("12.6", "pip install spconv-cu126, or use framework.sparse_backend=torch"),
        ("12.8", "pip install spconv-cu126, or"),
        ("12.3", "pip install spconv-cu121, or"),
        ("11.8", "pip install spconv-cu118, or"),
        ("13.0", "there is none for CUDA 13.0: use framework.sparse_backend=torch"),
        (None, "pip install spconv, or use framework.sparse_backend=torch"),
    ],
)
def test_without_spconv_the_error_names_the_wheel(monkeypatch: pytest.MonkeyPatch, cuda: str, says: str) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    with pytest.raises(UserError) as error:
        network(UResNetSparse, backend="spconv")
    assert str(error.value).startswith(f"framework.sparse_backend=spconv: spconv is not installed; {says}")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert sparse_backends.sparse_backend("auto") is submanifold


@spconv
def test_a_spconv_for_cpus_is_not_used_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    from spconv.cppconstants import CPU_ONLY_BUILD

    if not CPU_ONLY_BUILD:
        pytest.skip("the spconv here is made for CUDA")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert sparse_backends.sparse_backend("auto") is submanifold
    with pytest.raises(UserError, match="the spconv that is installed computes on CPUs only"):
        sparse_backends.sparse_backend("spconv")


@pytest.mark.parametrize("backend", ["torch", pytest.param("spconv", marks=spconv)])
@pytest.mark.parametrize("options", [{}, {"normalization": "group", "bottleneck": "sparse"}], ids=str)
def test_bfloat16_is_near_float32(options: dict, backend: str) -> None:
    net = network(UResNetSparse, backend=backend, **options).float()
    sites = some(2, share=0.5)
    sites = replace(sites, value=sites.value.float())
    expected = net(sites)["pixels"]
    with torch.autocast("cpu", torch.bfloat16):
        outputs = net(sites)
    sum(output.float().square().mean() for output in outputs.values()).backward()
    assert outputs["pixels"].dtype == torch.bfloat16
    assert (outputs["pixels"].float() - expected).norm() < 0.05 * expected.norm()
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in net.parameters())


def test_sums_over_many_sites_are_not_made_in_half_precision() -> None:
    """float16 holds no sum of squares, and bfloat16 no sum of many pieces."""
    size = 20_000
    grid = Grid(torch.arange(size), 1, (200, 100))
    features = 30 * torch.randn(size, 8, generator=torch.Generator().manual_seed(0)).half()
    normalised = SiteGroupNorm(1, 8)(SparseMap(features, grid)).features.detach()
    assert normalised.dtype == torch.float16
    assert float(normalised.float().std()) == pytest.approx(1.0, rel=1e-2)
    x = torch.randn(size, 4, generator=torch.Generator().manual_seed(1))
    weight, gradients = torch.randn(4, 4, 3, 3, generator=torch.Generator().manual_seed(2)), []
    for kind in (torch.float32, torch.bfloat16):
        w = weight.to(kind, copy=True).requires_grad_()
        submanifold(SparseMap(x.to(kind), grid), w).float().square().sum().backward()
        gradients.append(w.grad.float())
    assert (gradients[1] - gradients[0]).norm() < 0.01 * gradients[0].norm()


def test_compilation_is_refused() -> None:
    with pytest.raises(UserError, match=r"framework\.compile=true: sparse networks can't be compiled"):
        UResNetSparse(UResNetSparse.Config(depth=1, vertex_depth=0), SPEC, OUTPUTS, FrameworkConfig(compile=True))


@pytest.mark.parametrize("kind", [kind for pair in PAIRS for kind in pair])
@pytest.mark.parametrize("normalization", ["batch", "sync_batch"])
def test_the_momentum_of_running_statistics_is_that_of_the_config(kind: type[UResNet], normalization: str) -> None:
    net = network(kind, normalization=normalization, batch_norm_momentum=0.25)
    norms = [layer for layer in net.modules() if isinstance(layer, _BatchNorm)]
    assert len(norms) > 10
    assert {norm.momentum for norm in norms} == {0.25}
