"""A generator and a critic that learn from each other (Goodfellow et al. 2014): two phases in each step."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from airshower.config.fields import choice, number
from airshower.data.tanks import TankSpec
from airshower.networks.generator import CriticisedGenerator, EventGenerator
from airshower.tasks.generation import Generation, Sample, check_betas
from airshower.tasks.generation_report import Generated, View
from airshower.tasks.histograms import distances
from airshower.tasks.loss_terms import LossTerms
from airshower.tasks.task import Phase

HEADLINE = {"critic_loss": "critic", "generator_loss": "generator", "Wasserstein": "Wasserstein", "KS": "KS"}


class Adversarial(Generation):
    """In each step the critic learns to tell real events from generated ones, then, in each `critic_steps`-th, the
    generator learns to mislead it.

    `loss` wasserstein: the critic's mean score of real events less that of generated ones (Arjovsky et al. 2017), with
    `penalty` times the squared distance from 1 of its gradient's norm between the two (Gulrajani et al. 2017, equation
    3). binary: cross entropies, and for the generator that of being taken for real (Goodfellow et al. 2014, section 3);
    with `penalty` above 0 also that.

    The network has a `generator` (normal noise, conditions) -> features, a `critic` (features, conditions) -> score
    [n], and `features` of real events.
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
    measures = False

    def __init__(self, config: Config, spec: TankSpec, view: View):
        check_betas(config.betas)
        super().__init__(config, spec, view)

    def phases(self, network: CriticisedGenerator) -> list[Phase]:
        """Critic, then generator."""
        config = self.config
        frozen = network.critic

        def criticise(module: nn.Module, sample: Sample, _: Tensor) -> tuple[LossTerms, dict[str, Tensor]]:
            with torch.no_grad():
                real = network.features(self.spread(sample))
                made = network.generator(self.noise(network, sample), sample.conditions)
            scores, fake_scores, norms = module(real, made, self.shares(sample), sample.conditions)
            if config.loss == "wasserstein":
                parts = [fake_scores - scores]
            else:
                parts = [functional.softplus(-scores) + functional.softplus(fake_scores)]
            parts += [config.penalty * (norms - 1).square()] if config.penalty else []
            return _terms(parts), _counted("critic", parts)

        def mislead(module: nn.Module, sample: Sample, _: Tensor) -> tuple[LossTerms, dict[str, Tensor]]:
            with _frozen(frozen):
                made = module(self.noise(network, sample), sample.conditions)
                scores = frozen(made, sample.conditions).to(sample.conditions.dtype)
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

    def noise(self, network: EventGenerator, sample: Sample) -> Tensor:
        """Normal numbers for generated events, one of them for each of the sample."""
        return torch.randn(len(sample), network.latent, dtype=sample.recorded.dtype, device=sample.recorded.device)

    def shares(self, sample: Sample) -> Tensor:
        """Where between a real and a generated event the critic's gradient is looked at, from 0 to 1."""
        return torch.rand(len(sample), dtype=sample.recorded.dtype, device=sample.recorded.device)

    def evaluate(
        self, network: EventGenerator, sample: Sample, _: Callable[[Tensor], Tensor]
    ) -> tuple[Generated, dict[str, Tensor]]:
        """See `Task.evaluate`."""
        generated = self.generated(network, sample)
        return generated, self.apart(sample, generated)

    def count(self, _: Sample, outputs: dict[str, Tensor], terms: LossTerms) -> dict[str, Tensor]:
        """The parts of the loss, which the phases gave as outputs."""
        return outputs

    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """Losses of the phases that had their turn; of an evaluation, distances between the distributions alone."""
        if "real" in counters:
            apart = distances(counters["real"], counters["generated"])
            return apart | {"negative_Wasserstein": -apart["Wasserstein"]}
        named = {}
        for phase in ("critic", "generator"):
            loss = counters.get(f"{phase}_loss")
            named[f"{phase}_loss"] = float(loss[0] / loss[1].clamp_min(1)) if loss is not None else float("nan")
        return named


class CriticTurn(nn.Module):
    """(features of real events, of generated ones, shares [n], conditions) -> their scores, and the norms of the
    critic's gradient in between, all [n]: one call, as ranks communicate once for each."""

    def __init__(self, critic: nn.Module, gradient: bool):
        super().__init__()
        self.critic, self.gradient = critic, gradient

    def forward(
        self, real: Tensor, generated: Tensor, shares: Tensor, conditions: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        with torch.autocast(real.device.type, enabled=False):  # half precision is too coarse for gradients of gradients
            real, generated = real.to(conditions.dtype), generated.to(conditions.dtype)
            both = self.critic(torch.cat([real, generated]), torch.cat([conditions, conditions]))
            scores, fake_scores = both.chunk(2)
            norms = scores.new_ones(len(scores))
            if self.gradient:
                between = torch.lerp(real, generated, shares.view(-1, *[1] * (real.ndim - 1))).requires_grad_()
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
    """Gradients go through the module, not to its weights."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
