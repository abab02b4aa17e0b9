"""Logs scalars of domain discriminators and warns when they do nothing useful."""

from __future__ import annotations

import logging
from collections import defaultdict

import torch
from detectron2.utils.events import get_event_storage
from torch import Tensor

from ..functional import SOURCE
from ..modeling.step_scalars import put_scalars

logger = logging.getLogger(__name__)

_WORDS = ("source", "target")
# Accuracies are averaged over about so many steps before they are judged, fewer if a warning is due
# sooner.
_MEMORY = 50
_PERFECT, _BLIND = 0.98, 0.02


class DomainMonitor:
    """Logs accuracy, mean output and gradient norm of each tap, and warns once per fault.

    Scalars: ``<prefix>/accuracy_<tap>_<domain>`` (share of cells or pictures judged right),
    ``<prefix>/mean_<tap>_<domain>`` (mean probability of the target domain) and
    ``<prefix>/grad_norm_<tap>`` (norm of the gradient that the discriminator's losses send to the
    features, before reversal, summed over the two domains of the step before; of the losses as they
    are added up, whatever scale mixed precision trains them with).

    Args:
        prefix: of the scalars' names.
        warn_after: steps for which a fault must last.
    """

    def __init__(self, prefix: str, warn_after: int) -> None:
        self._prefix = prefix
        self._warn_after, self._memory = warn_after, min(_MEMORY, warn_after)
        self._pending: dict[str, Tensor] = {}
        self._norms: dict[str, Tensor] = {}
        self._average: dict[str, float] = {}
        self._judged = -1
        self._steps: dict[str, int] = defaultdict(int)
        self._perfect: dict[str, int] = defaultdict(int)
        self._learnt: set[str] = set()
        self._warned: set[str] = set()

    def add(self, tap: str, domain: int, probability: Tensor) -> None:
        """Note the target probabilities (flat) that a discriminator gave one domain."""
        right = (probability < 0.5) if domain == SOURCE else (probability >= 0.5)
        word = _WORDS[domain]
        self._pending[f"accuracy_{tap}_{word}"] = right.float().mean()
        self._pending[f"mean_{tap}_{word}"] = probability.mean()

    def watch_gradient(self, tap: str, feature: Tensor, loss: Tensor) -> None:
        """Note the norm of the gradient that a loss sends to a feature, when it arrives."""
        if not feature.requires_grad:
            return
        scale: list[Tensor] = []

        def note(gradient: Tensor) -> None:
            # What arrives at the loss itself is the scale of the training, if it has one.
            norm = gradient.detach().float().norm() / scale.pop()
            self._norms[tap] = self._norms.get(tap, torch.zeros_like(norm)) + norm

        loss.register_hook(lambda gradient: scale.append(gradient.detach().float()))
        feature.register_hook(note)

    def write(self) -> None:
        """Put the scalars into the event storage, and judge, when they are read."""
        pending = {**self._pending, **{f"grad_norm_{k}": v for k, v in self._norms.items()}}
        self._pending, self._norms = {}, {}
        if not pending:
            return
        put_scalars({f"{self._prefix}/{k}": v for k, v in pending.items()}, heard=self._heard)

    def _heard(self, scalars: dict[str, float]) -> None:
        values = {name[len(self._prefix) + 1 :]: value for name, value in scalars.items()}
        storage = get_event_storage()
        # A step is an iteration, however many parts its batch has.
        if storage.iter == self._judged:
            return
        self._judged = storage.iter
        for name, value in values.items():
            if name.startswith("accuracy_") and name.endswith(_WORDS[SOURCE]):
                tap = name[len("accuracy_") : -len(_WORDS[SOURCE]) - 1]
                other = values.get(f"accuracy_{tap}_target", value)
                self._judge(tap, (value + other) / 2)

    def _judge(self, tap: str, accuracy: float) -> None:
        step = self._steps[tap] = self._steps[tap] + 1
        weight = max(1 / step, 1 / self._memory)
        average = (1 - weight) * self._average.get(tap, accuracy) + weight * accuracy
        self._average[tap] = average
        self._perfect[tap] = self._perfect[tap] + 1 if average > _PERFECT else 0
        if step >= self._memory and abs(average - 0.5) > _BLIND:
            self._learnt.add(tap)
        if self._perfect[tap] >= self._warn_after:
            self._warn(
                f"perfect {tap}",
                f"The domain discriminator of {tap} has told the domains apart with accuracy "
                f"{average:.3f} for {self._perfect[tap]} steps: the features are not being "
                "aligned. Raise the loss weight or the coefficient of gradient reversal, tap an "
                "earlier or less abstract feature, weaken the discriminator (dropout, fewer "
                "channels), or start later, when the detector has settled.",
            )
        if step >= self._warn_after and tap not in self._learnt:
            self._warn(
                f"blind {tap}",
                f"The domain discriminator of {tap} has guessed (accuracy {average:.3f}) for "
                f"{step} steps, from the start: it gives the features nothing to align to. "
                "Either the domains do not differ there, or the discriminator does not learn: "
                "check that DATASETS.TARGET is another domain, raise SOLVER.BASE_LR or the loss "
                "weight, and use PyTorch's default initialisation (INIT_STD 0).",
            )

    def _warn(self, key: str, message: str) -> None:
        if key not in self._warned:
            self._warned.add(key)
            logger.warning(message)
