"""Running confidence, class frequencies and mean prediction of pseudo-labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import torch
import torch.distributed as dist
from detectron2.utils import comm
from torch import Tensor, nn

from ..functional.pseudo_boxes import class_thresholds

#: How far the sum of given frequencies may be from 1.
_TOLERANCE = 1e-3


class PseudoLabelStatistics(nn.Module):
    """Running statistics per class, as buffers, so that a resumed run goes on exactly.

    All sums run over the pictures of all processes.

    Args:
        num_classes: K, without the background.
        threshold: of the scores that become labels, in [0, 1].
        floor: lowest adaptive threshold, in [0, threshold]; None: one threshold for all classes.
        confidence_momentum: of the mean scores, in [0, 1).
        frequencies: K class frequencies with sum 1; empty: those of the source labels.
        prediction_momentum: of the mean prediction, in [0, 1).

    Attributes:
        confidence: (K,) running mean of the teacher's scores at or above ``floor``.
        confidence_steps: (K,) number of steps that had such a score.
        source_counts: (K,) labels seen.
        prediction: (K,) running mean of the student's class probabilities on foreground ROIs.
        prediction_steps: number of steps with a foreground ROI.

    Raises:
        ValueError: a value out of range; names the key.
    """

    confidence: Tensor
    confidence_steps: Tensor
    source_counts: Tensor
    prediction: Tensor
    prediction_steps: Tensor

    def __init__(
        self,
        num_classes: int,
        *,
        threshold: float = 0.8,
        floor: float | None = None,
        confidence_momentum: float = 0.99,
        frequencies: Sequence[float] = (),
        prediction_momentum: float = 0.9,
    ) -> None:
        super().__init__()
        self.threshold, self.floor = threshold, floor
        self.confidence_momentum = confidence_momentum
        self.prediction_momentum = prediction_momentum
        self.frequencies = tuple(frequencies)
        if self.frequencies:
            _check_frequencies(self.frequencies, num_classes)
        self.register_buffer("confidence", torch.zeros(num_classes))
        self.register_buffer("confidence_steps", torch.zeros(num_classes, dtype=torch.long))
        self.register_buffer("source_counts", torch.zeros(num_classes, dtype=torch.long))
        self.register_buffer("prediction", torch.zeros(num_classes))
        self.register_buffer("prediction_steps", torch.zeros((), dtype=torch.long))

    def thresholds(self) -> Tensor:
        """Return the (K,) thresholds of now."""
        if self.floor is None:
            return torch.full_like(self.confidence, self.threshold)
        seen = self.confidence_steps > 0
        return class_thresholds(self.confidence, seen, self.threshold, self.floor)

    @torch.no_grad()
    def add_scores(self, scores: Tensor, classes: Tensor, among: Optional[Tensor] = None) -> None:
        """Note the teacher's scores (R,) with their classes (R,), of one step.

        Args:
            scores: (R,).
            classes: (R,).
            among: (R,) bool, those that count; None: all.
        """
        if self.floor is None:
            return
        heard = scores >= self.floor
        if among is not None:
            heard = heard & among
        sums, counts = self._by_class(scores, classes, heard)
        present = counts > 0
        self.confidence_steps += present
        keep = _warm(self.confidence_momentum, self.confidence_steps)
        mean = sums / counts.clamp(min=1)
        new = keep * self.confidence + (1 - keep) * mean
        self.confidence.copy_(torch.where(present, new, self.confidence))

    @torch.no_grad()
    def add_labels(self, classes: Tensor) -> None:
        """Note the classes (R,) of the source labels of one step."""
        every = torch.ones_like(classes, dtype=torch.bool)
        _, counts = self._by_class(every.float(), classes, every)
        self.source_counts += counts.long()

    def prior(self) -> Tensor:
        """Return the (K,) wanted frequencies: those given, or of the labels, none of them 0."""
        if self.frequencies:
            return self.prediction.new_tensor(self.frequencies)
        counts = self.source_counts.to(self.prediction.dtype) + 1
        return counts / counts.sum()

    def mean_prediction(self, probabilities: Tensor, among: Optional[Tensor] = None) -> Tensor:
        """Return the running mean, this step included, after noting it.

        Args:
            probabilities: (R, K) of ROIs; R may be 0.
            among: (R,) bool, those of the foreground; None: all.

        Returns:
            (K,), with the gradient of the R rows' part. Zeros before the first foreground ROI.
        """
        if among is None:
            among = torch.ones_like(probabilities[:, 0], dtype=torch.bool)
        counted = torch.cat([probabilities, torch.ones_like(probabilities[:, :1])], dim=1)
        total = _sum_with_own_gradient(counted.masked_fill(~among[:, None], 0).sum(dim=0))
        count = total[-1].detach()
        self.prediction_steps += count > 0
        keep = _warm(self.prediction_momentum, self.prediction_steps)
        mean = keep * self.prediction + (1 - keep) * total[:-1] / count.clamp(min=1)
        # Without an ROI nothing moves. By a choice on the device, which the host need not know.
        mean = torch.where(count > 0, mean, self.prediction)
        self.prediction.copy_(mean.detach())
        return mean

    def _by_class(self, values: Tensor, classes: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
        """Return sums and counts (K,) of the values (R,) among those, over all processes."""
        both = self.confidence.new_zeros(2, len(self.confidence))
        counted = torch.stack([values.to(both.dtype), torch.ones_like(values, dtype=both.dtype)])
        both.index_add_(1, classes, counted.masked_fill(~among, 0))
        both = _sum_with_own_gradient(both)
        return both[0], both[1]


def _warm(momentum: float, steps: Tensor) -> Tensor:
    """Return the share of the old value at the n-th step: ``1 - 1 / n`` until ``momentum``."""
    return (1 - 1 / steps.clamp(min=1).float()).clamp(max=momentum)


def _sum_with_own_gradient(own: Tensor) -> Tensor:
    """Return the sum over processes; the gradient, which DDP will average, is the own part's."""
    world = comm.get_world_size()
    if world == 1:
        return own
    total = own.detach().clone()
    dist.all_reduce(total)
    return total + world * (own - own.detach())


def _check_frequencies(frequencies: Sequence[float], num_classes: int) -> None:
    key = "MODEL.PSEUDO_LABEL.PRIOR.FREQUENCIES"
    if len(frequencies) != num_classes:
        raise ValueError(
            f"{key} has {len(frequencies)} numbers, but the detector has {num_classes} classes: "
            "write one frequency for each, or [] for those of the source labels"
        )
    if min(frequencies) <= 0 or abs(sum(frequencies) - 1) > _TOLERANCE:
        raise ValueError(
            f"{key} is {list(frequencies)}; frequencies are above 0 and their sum is 1"
        )
