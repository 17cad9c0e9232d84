"""Weights of loss terms that are learned beside the network."""

import dataclasses

import torch
from torch import Tensor, nn

from airshower.tasks.loss_terms import LossTerms


class UncertaintyBalance(nn.Module):
    """Weighs loss terms L_i by how well each can be known: the sum over i of exp(-s_i) L_i + s_i is minimised, with a
    learned s_i for each, the logarithm of the term's variance (Kendall, Gal & Cipolla, CVPR 2018).

    Where s_i has settled, exp(-s_i) L_i = 1: each term pulls with its relative change, whatever its unit. A factor
    that a term has already, c_i, moves s_i by its logarithm. `learning_rate` is that of the s_i, by Adam.
    """

    def __init__(self, terms: int, learning_rate: float):
        super().__init__()
        self.learning_rate = learning_rate
        self.log_variance = nn.Parameter(torch.zeros(terms))

    def forward(self, terms: LossTerms) -> LossTerms:
        """The same weights; to each total s_i times its weight is added, so that the s_i add up to themselves over the
        pieces of a step. A term without weight in a step leaves its s_i alone."""
        weight = terms.weight.to(terms.total.dtype)
        return dataclasses.replace(terms, total=self.weights() * terms.total + self.log_variance * weight)

    def weights(self) -> Tensor:
        """exp(-s_i) [terms]."""
        return (-self.log_variance).exp()
