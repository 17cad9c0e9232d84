"""A linear model, fitted by scikit-learn and kept as arrays."""

from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn


class WeightedSum(nn.Module):
    """Features float32 [n, features] -> their weighted sum plus a constant [n, 1]. 0 before it is filled."""

    weight: Tensor
    constant: Tensor

    def __init__(self, features: int):
        super().__init__()
        self.register_buffer("weight", torch.zeros(features))
        self.register_buffer("constant", torch.zeros(1))

    @classmethod
    def from_sklearn(cls, model: Any) -> Self:
        """A fitted pipeline of StandardScaler and a linear model of one output: Ridge, or LogisticRegression of two
        classes, whose log odds this is."""
        scaler, linear = (step for _, step in model.steps)
        weight = np.ravel(linear.coef_) / scaler.scale_
        own = cls(len(weight))
        own.weight += torch.from_numpy(weight)
        own.constant += torch.from_numpy(np.ravel(linear.intercept_) - weight @ scaler.mean_)
        return own

    def forward(self, features: Tensor) -> Tensor:
        """See the class; float32 also under autocast, which is for products of matrices."""
        return (features * self.weight).sum(1, keepdim=True) + self.constant
