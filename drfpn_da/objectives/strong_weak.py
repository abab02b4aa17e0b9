"""Strong-Weak Distribution Alignment (Saito et al., arXiv 1812.04798) of any detector."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Optional

import torch
from detectron2.config import CfgNode, configurable
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn

from ..functional import SOURCE, TARGET, at_least_float32, dann_ramp, reverse_gradient
from ..functional.generators import step_generator
from ..layers import DOMAIN_DISCRIMINATOR_REGISTRY, DomainDiscriminator
from ..modeling.context import ContextColumns
from ..modeling.feature_taps import FeatureTaps, Recording
from ..modeling.objective import OBJECTIVE_REGISTRY, AdaptationStep, Objective
from ..node_arguments import arguments
from .monitor import DomainMonitor

_SCHEDULES = ("constant", "dann")
_CONTEXTS = "strong_weak_contexts"


class AlignmentTap:
    """A feature to align.

    Args:
        feature: name; see :class:`FeatureTaps`.
        discriminator: of the feature's channels; several taps may share one.
        weight: factor of this tap's losses.
    """

    # Not a dataclass: LazyConfig would turn it back into a config.
    def __init__(
        self, feature: str, discriminator: DomainDiscriminator, weight: float = 1.0
    ) -> None:
        self.feature, self.discriminator, self.weight = feature, discriminator, weight

    @property
    def label(self) -> str:
        """Word for losses and scalars, such as ``local_res2``."""
        return f"{self.discriminator.kind}_{self.feature}".replace(".", "_")


@OBJECTIVE_REGISTRY.register()
class StrongWeakAlignment(Objective):
    """Strong alignment of local and weak alignment of global features by reversed gradients.

    Each discriminator learns to tell the domains of one feature apart; the gradient that reaches
    the feature is reversed, so that the backbone learns to make them alike (sections 3.1 and 3.2).
    With contexts, hidden vectors of the discriminators also help the box heads (section 3.3).

    Losses: ``loss_<kind>_<feature>_source`` and ``..._target``, the factor 1/2 of the paper
    included; equal to 0.125 each for a local and 0.0108 each for a global discriminator that knows
    nothing.

    Args:
        taps: features with their discriminators.
        loss_weight: of the sum of all domain losses: the paper's lambda.
        grl_coefficient: of gradient reversal.
        grl_schedule: "constant", or "dann": a ramp from ``start_iter`` to ``max_iter``.
        start_iter: no alignment, no contexts and no target pass before this iteration.
        max_iter: end of the ramp; needed for "dann" only.
        context_features: tapped features whose contexts are given to the box heads, in this order;
            published: the global one, then the local one.
        warn_after: steps after which :class:`DomainMonitor` judges the discriminators.

    Raises:
        ValueError: no tap, a wrong schedule, or a context of a feature that is not tapped.
    """

    name = "strong_weak"

    @configurable
    def __init__(
        self,
        taps: Sequence[AlignmentTap],
        *,
        loss_weight: float = 1.0,
        grl_coefficient: float = 1.0,
        grl_schedule: str = "constant",
        start_iter: int = 0,
        max_iter: int = 0,
        context_features: Sequence[str] = (),
        warn_after: int = 500,
    ) -> None:
        super().__init__()
        if not taps:
            raise ValueError(
                "StrongWeakAlignment has nothing to align: enable MODEL.STRONG_WEAK.LOCAL or "
                "GLOBAL and name their FEATURES"
            )
        if grl_schedule not in _SCHEDULES or (grl_schedule == "dann" and max_iter <= start_iter):
            raise ValueError(
                f"MODEL.STRONG_WEAK.GRL.SCHEDULE is '{grl_schedule}'; write one of "
                f"{list(_SCHEDULES)}, and for dann a START_ITER before SOLVER.MAX_ITER"
            )
        self.taps = tuple(taps)
        self.loss_weight = loss_weight
        self.grl_coefficient, self.grl_schedule = grl_coefficient, grl_schedule
        self.start_iter, self.max_iter = start_iter, max_iter
        shared: dict[DomainDiscriminator, str] = {}
        for tap in self.taps:
            label = tap.label
            shared[tap.discriminator] = (
                label if tap.discriminator not in shared else (tap.discriminator.kind)
            )
        self.discriminators = nn.ModuleDict({label: d for d, label in shared.items()})
        self._context_taps = [self._tap_of(feature) for feature in context_features]
        self.at_inference = bool(self._context_taps)
        self.columns: Optional[ContextColumns] = None
        self._monitor = DomainMonitor(self.name, warn_after)

    @classmethod
    def from_config(cls, cfg: CfgNode, features: FeatureTaps) -> dict[str, Any]:
        """Read ``MODEL.STRONG_WEAK``; channels come from the features' shapes."""
        node = cfg.MODEL.STRONG_WEAK
        # Global first: the published order of contexts.
        taps = _taps_of("GLOBAL", node.GLOBAL, features) + _taps_of("LOCAL", node.LOCAL, features)
        contexts: list[str] = []
        if node.CONTEXT.ENABLED:
            contexts = list(node.CONTEXT.FEATURES) or [tap.feature for tap in taps]
        return {
            "taps": taps,
            **arguments(node, "loss_weight", "grl_coefficient", "grl_schedule"),
            **arguments(node, "start_iter", "warn_after"),
            "max_iter": cfg.SOLVER.MAX_ITER,
            "context_features": contexts,
        }

    def _tap_of(self, feature: str) -> AlignmentTap:
        for tap in self.taps:
            if tap.feature == feature:
                return tap
        raise ValueError(
            f"MODEL.STRONG_WEAK.CONTEXT.FEATURES has '{feature}', which is not aligned; aligned "
            f"are {[tap.feature for tap in self.taps]}"
        )

    def attach(self, detector: nn.Module, taps: FeatureTaps) -> None:
        """Record the features; with contexts, add their columns to the box heads.

        Raises:
            KeyError: no such feature.
            ValueError: a discriminator of other channels, or contexts without ROI box heads.
        """
        for tap in self.taps:
            channels = taps.shape(tap.feature).channels
            if channels != tap.discriminator.in_channels:
                raise ValueError(
                    f"the discriminator of '{tap.feature}' takes {tap.discriminator.in_channels} "
                    f"channels, but the feature has {channels}"
                )
        taps.require(tap.feature for tap in self.taps)
        if self._context_taps:
            if self.columns is None:
                total = sum(tap.discriminator.context_channels for tap in self._context_taps)
                self.columns = ContextColumns(detector, total)
            self.columns.install(detector, taps, self._contexts)

    def forward(self, step: AdaptationStep) -> dict[str, Tensor]:
        """Return the domain losses of all taps."""
        assert step.source is not None and step.target is not None
        coefficient = self.coefficient(step.iteration)
        get_event_storage().put_scalar(f"{self.name}/grl", coefficient, smoothing_hint=False)
        passes = ((SOURCE, "source", step.source), (TARGET, "target", step.target))
        losses: dict[str, Tensor] = {}
        for tap in self.taps:
            for domain, word, one in passes:
                feature = _at_safe_precision(one.features[tap.feature])
                feature = reverse_gradient(feature, coefficient)
                mask = one.features.mask(tap.feature)
                with self._conditions(tap, feature.device, step.iteration, word):
                    logits = tap.discriminator(feature, mask)
                loss = tap.discriminator.domain_loss(logits, domain, mask)
                loss = self.loss_weight * tap.weight * loss
                self._monitor.watch_gradient(tap.label, feature, loss)
                losses[f"loss_{tap.label}_{word}"] = loss
                probability = tap.discriminator.target_probability(logits)
                of_cells = mask is not None and mask.numel() == probability.numel()
                among = mask.flatten() if mask is not None and of_cells else None
                self._monitor.add(tap.label, domain, probability, among)
        self._monitor.write()
        return losses

    def coefficient(self, iteration: int) -> float:
        """Return the coefficient of gradient reversal at an iteration."""
        if self.grl_schedule == "constant":
            return self.grl_coefficient
        progress = (iteration - self.start_iter) / (self.max_iter - self.start_iter)
        return self.grl_coefficient * dann_ramp(progress)

    def _contexts(self, recording: Recording) -> Optional[Tensor]:
        """Return the (N, channels) contexts of a pass, in training from ``start_iter`` on.

        The features are detached: the detector's losses train the discriminators' hidden layers,
        but not the backbone, through the contexts.
        """
        iteration = get_event_storage().iter if self.training else self.start_iter
        if iteration < self.start_iter:
            return None
        if _CONTEXTS not in recording.cache:
            vectors = []
            for tap in self._context_taps:
                feature = _at_safe_precision(recording[tap.feature].detach())
                mask = recording.mask(tap.feature)
                with self._conditions(tap, feature.device, iteration, "context"):
                    vectors.append(tap.discriminator.context(feature, mask))
            recording.cache[_CONTEXTS] = torch.cat(vectors, dim=1)
        contexts: Tensor = recording.cache[_CONTEXTS]
        return contexts

    @contextlib.contextmanager
    def _conditions(
        self, tap: AlignmentTap, device: torch.device, iteration: int, use: str
    ) -> Iterator[None]:
        """Inside, dropout draws random numbers of :func:`step_generator`.

        The detector's own random numbers (sampling of boxes, for example) stay what they are
        without alignment: runs with and without it can be compared pairwise. On a CPU there is no
        autocast; see :func:`_at_safe_precision`.
        """
        if self.training:
            generator = step_generator(iteration, f"{tap.label} {use}", device)
            tap.discriminator.generator = generator
        autocast = torch.is_autocast_enabled() if device.type == "cuda" else False
        try:
            with torch.autocast(device.type, enabled=autocast):
                yield
        finally:
            tap.discriminator.generator = None


def _at_safe_precision(feature: Tensor) -> Tensor:
    """Return the feature, on a CPU in float32.

    On CPUs the weight gradient of a bfloat16 convolution over a map one cell wide is now and then
    NaN (seen with torch 2.12); discriminators are small, float32 costs them little.
    """
    return at_least_float32(feature) if feature.device.type == "cpu" else feature


def _taps_of(key: str, node: CfgNode, features: FeatureTaps) -> list[AlignmentTap]:
    """Return the taps of ``MODEL.STRONG_WEAK.<key>``."""
    if not node.ENABLED:
        return []
    names, weights = list(node.FEATURES), list(node.WEIGHTS)
    weights = weights * len(names) if len(weights) == 1 else weights
    if len(weights) != len(names):
        raise ValueError(
            f"MODEL.STRONG_WEAK.{key}.WEIGHTS {weights} must be one number, or one for each of "
            f"FEATURES {names}"
        )
    build = DOMAIN_DISCRIMINATOR_REGISTRY.get(node.DISCRIMINATOR)
    try:
        channels = [features.shape(name).channels for name in names]
    except (KeyError, ValueError) as error:
        raise type(error)(f"MODEL.STRONG_WEAK.{key}.FEATURES: {error.args[0]}") from None
    if not node.SHARED:
        discriminators = [build(node, width) for width in channels]
    elif len(set(channels)) == 1:
        discriminators = [build(node, channels[0])] * len(names)
    else:
        raise ValueError(
            f"MODEL.STRONG_WEAK.{key}.SHARED: {dict(zip(names, channels))} have different channels"
        )
    return [AlignmentTap(*values) for values in zip(names, discriminators, weights)]
