"""Adversarial training of a generator and a critic (Goodfellow et al. 2014): two phases in each step."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from airshower.config.fields import choice, number
from airshower.data.spec import Spec
from airshower.networks.generator import CriticisedGenerator, EventGenerator
from airshower.statistics.counts import mean_distances
from airshower.tasks.generation.generation import Generation, GenerationSample, check_betas
from airshower.tasks.generation.plan import Generated
from airshower.tasks.loss_terms import LossTerms
from airshower.tasks.task import OverRanks, Phase

HEADLINE = {"critic_loss": "critic", "generator_loss": "generator", "Wasserstein": "Wasserstein", "KS": "KS"}


class Adversarial(Generation):
    """Each step trains the critic to distinguish reference from generated events. Each `critic_steps`-th step then
    trains the generator to make them indistinguishable to the critic.

    `loss` wasserstein: the critic's mean score of reference events less that of generated ones (Arjovsky et al. 2017),
    with `penalty` times the squared distance from 1 of its gradient's norm between the two (Gulrajani et al. 2017,
    equation 3). binary: cross entropies, and for the generator that of being taken for a reference event (Goodfellow et
    al. 2014, section 3); with `penalty` above 0 also that.

    The network has a `generator` (normal noise, conditions) -> features, a `critic` (features, conditions) -> score
    [n], and `features` of reference events.
    """

    @dataclass
    class Config(Generation.Config):
        """`task.*`."""

        loss: str = choice("wasserstein", "binary")
        penalty: float = number(10.0, low=0.0)
        critic_steps: int = number(5, low=1)
        critic_rate: float = number(1.0, above=0.0)
        generator_rate: float = number(1.0, above=0.0)
        betas: list[float] = field(default_factory=lambda: [0.5, 0.9])
        average: float = number(0.999, low=0.0, high=0.99999)

    config: Config
    name = "adversarial"
    headline = HEADLINE
    score = "negative_Wasserstein"

    def __init__(self, config: Config, spec: Spec, generates: str):
        check_betas(config.betas)
        super().__init__(config, spec, generates)

    def phases(self, network: CriticisedGenerator) -> list[Phase]:
        """Critic, then generator."""
        config = self.config
        frozen = network.critic

        def criticise(module: nn.Module, sample: GenerationSample, _: Tensor) -> tuple[LossTerms, dict[str, Tensor]]:
            with torch.no_grad():
                reference = network.features(self.dequantised(sample))
                generated = network.generator(self.noise(network, sample), sample.conditions)
            scores, fake_scores, norms = module(reference, generated, self.shares(sample), sample.conditions)
            if config.loss == "wasserstein":
                parts = [fake_scores - scores]
            else:
                parts = [functional.softplus(-scores) + functional.softplus(fake_scores)]
            parts += [config.penalty * (norms - 1).square()] if config.penalty else []
            return _terms(parts), _counted("critic", parts)

        def mislead(module: nn.Module, sample: GenerationSample, _: Tensor) -> tuple[LossTerms, dict[str, Tensor]]:
            with _frozen(frozen):
                generated = module(self.noise(network, sample), sample.conditions)
                scores = frozen(generated, sample.conditions).to(sample.conditions.dtype)
            parts = [-scores if config.loss == "wasserstein" else functional.softplus(-scores)]
            return _terms(parts), _counted("generator", parts)

        betas = config.betas[0], config.betas[1]
        critic = CriticTurn(network.critic, bool(config.penalty))
        return [
            Phase("critic", critic, criticise, rate_scale=lambda _: config.critic_rate, betas=betas),
            Phase(
                "generator",
                network.generator,
                mislead,
                rate_scale=lambda _: config.generator_rate,
                every=config.critic_steps,
                betas=betas,
                average=config.average,
            ),
        ]

    def noise(self, network: EventGenerator, sample: GenerationSample) -> Tensor:
        """Normal numbers for as many generated events as the sample has."""
        return torch.randn(len(sample), network.latent, dtype=sample.recorded.dtype, device=sample.recorded.device)

    def shares(self, sample: GenerationSample) -> Tensor:
        """Interpolation fractions between a reference and a generated event, from 0 to 1, for the critic's gradient."""
        return torch.rand(len(sample), dtype=sample.recorded.dtype, device=sample.recorded.device)

    def evaluate(
        self, network: EventGenerator, sample: GenerationSample, over_ranks: OverRanks
    ) -> tuple[Generated, dict[str, Tensor]]:
        """See `Task.evaluate`."""
        generated = self.generated(network, sample)
        return generated, self.distributions(sample, generated)

    def count(self, _: GenerationSample, outputs: dict[str, Tensor], terms: LossTerms) -> dict[str, Tensor]:
        """The terms of the loss, which are the outputs of the phases."""
        return outputs

    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """Losses of the step's phases; for an evaluation only distances between distributions."""
        if "generated" in counters:
            distances = mean_distances(counters["reference"], counters["generated"])
            return distances | {"negative_Wasserstein": -distances["Wasserstein"]}
        named = {}
        for phase in ("critic", "generator"):
            loss = counters.get(f"{phase}_loss")
            named[f"{phase}_loss"] = float(loss[0] / loss[1].clamp_min(1)) if loss is not None else float("nan")
        return named


class CriticTurn(nn.Module):
    """(features of reference events, of generated ones, shares [n], conditions) -> their scores, and the norms of the
    critic's gradient at the interpolated events, all [n]. A single call, as ranks communicate once per call."""

    def __init__(self, critic: nn.Module, gradient: bool):
        super().__init__()
        self.critic = critic
        self.gradient = gradient

    def forward(
        self, reference: Tensor, generated: Tensor, shares: Tensor, conditions: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        # second derivatives need float32
        with torch.autocast(reference.device.type, enabled=False):
            reference = reference.to(conditions.dtype)
            generated = generated.to(conditions.dtype)
            both = self.critic(torch.cat([reference, generated]), torch.cat([conditions, conditions]))
            scores, fake_scores = both.chunk(2)
            norms = scores.new_ones(len(scores))
            if self.gradient:
                shares = shares.view(-1, *[1] * (reference.ndim - 1))
                between = torch.lerp(reference, generated, shares).requires_grad_()
                (slope,) = torch.autograd.grad(self.critic(between, conditions).sum(), between, create_graph=True)
                norms = slope.flatten(1).norm(dim=1)
        return scores, fake_scores, norms


def _terms(parts: list[Tensor]) -> LossTerms:
    return LossTerms(torch.stack([part.sum() for part in parts]), parts[0].new_full((1,), len(parts[0])))


def _counted(phase: str, parts: list[Tensor]) -> dict[str, Tensor]:
    total = torch.stack([part.detach().double().sum() for part in parts]).sum()
    return {f"{phase}_loss": torch.stack([total, total.new_tensor(len(parts[0]))])}


@contextlib.contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """Gradients pass through the module, but are not computed for its weights."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
