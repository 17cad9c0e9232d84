"""What a loss is made of."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class LossTerms:
    """The loss is the sum over terms of `total` / `weight`; both [terms], kept apart because the weight must be summed
    over ranks and micro-batches before the division. `weight` carries no gradient."""

    total: Tensor
    weight: Tensor
