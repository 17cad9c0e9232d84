"""The Lovasz loss against its definition, image by image."""

import numpy as np
import pytest
import torch

from airshower.tasks.segmentation.lovasz import lovasz


def by_definition(error: np.ndarray, truth: np.ndarray) -> float:
    """Berman et al., equation 9: sum over sorted errors m_i of m_i g_i, with g_i the difference of the Jaccard losses
    of the sets of the i and the i - 1 largest errors."""

    def jaccard_loss(wrong: set[int]) -> float:
        true = set(np.flatnonzero(truth))
        union = true | wrong
        return len(wrong) / len(union) if union else 0.0

    order = list(np.argsort(-error, kind="stable"))
    steps = [jaccard_loss(set(order[: i + 1])) - jaccard_loss(set(order[:i])) for i in range(len(order))]
    return float(sum(error[i] * step for i, step in zip(order, steps, strict=True)))


@pytest.mark.parametrize("seed", range(5))
def test_it_is_that_of_the_definition_in_each_image(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.permutation(np.repeat([0, 1, 3, 4], [9, 7, 1, 12]))  # image 2 has no pixels
    truth = rng.random(len(image)) < 0.4
    truth[image == 1] = False
    probability = rng.random(len(image)).astype(np.float32)
    result = lovasz(*map(torch.as_tensor, (probability, truth, image)), 5)
    error = np.where(truth, 1 - probability, probability)
    expected = [by_definition(error[image == i], truth[image == i]) for i in range(5)]
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-7)
    assert result[1] == pytest.approx(probability[image == 1].max())


def test_of_hard_predictions_it_is_one_minus_iou() -> None:
    truth = torch.tensor([1, 1, 1, 0, 0, 0], dtype=torch.bool)
    predicted = torch.tensor([1.0, 1.0, 0.0, 1.0, 0.0, 0.0])
    assert float(lovasz(predicted, truth, torch.zeros(6, dtype=torch.long), 1)) == pytest.approx(1 - 2 / 4)


def test_its_gradient_is_that_of_a_sum_with_fixed_weights() -> None:
    """It is piecewise linear in the errors."""
    generator = torch.Generator().manual_seed(0)
    probability = torch.rand(12, generator=generator, dtype=torch.float64, requires_grad=True)
    truth = torch.rand(12, generator=generator) < 0.5
    image = torch.arange(12) % 2
    assert torch.autograd.gradcheck(lambda p: lovasz(p, truth, image, 2), probability, eps=1e-7, atol=1e-6)
