"""``SoftLabelClassifier``: few labels, and soft labels that the network gave (arXiv 1908.02983)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional, Protocol

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.utils.events import get_event_storage
from torch import Tensor

from ...compat import register_if_free
from ...functional import at_least_float32, mixup
from ...functional.class_prior import entropy_regulariser, prior_regulariser
from ...functional.generators import step_generator
from ...functional.mixup import draw_mixup
from ...functional.no_grad import without_gradients
from ...node_arguments import arguments
from ..feature_taps import evaluating
from .patch_classifier import PatchClassifier


class SoftTargets(Protocol):
    """Where soft labels come from, such as :class:`drfpn_da.labels.SoftLabelStore`."""

    def targets(self, index: Tensor) -> Tensor:
        """Return the (K, C) labels of pictures (K,)."""


@register_if_free(META_ARCH_REGISTRY)
class SoftLabelClassifier(PatchClassifier):
    """Learns from soft labels, with mixup and two regularisers against confirmation bias.

    In training a sample has "image" and "sample_index", the row of its label in
    :attr:`soft_targets`; labelled ones have "class_id", the others "clean_image" (with
    ``batch_statistics`` all have it). Before the step, the network labels the clean pictures
    without a class, and :attr:`relabelled` is (indices, (K, C) probabilities), or None without such
    pictures. Returned are, in float32,

    - ``loss_cls``: cross-entropy of mixed pictures against mixed labels (equation 8),
    - ``loss_prior``: the weighted divergence of the mean prediction of this process's batch from
      the prior (R_A, equation 3, without the constant entropy of the prior),
    - ``loss_entropy``: the weighted mean entropy (R_H, equation 4),

    the regularisers also on mixed pictures, labelled or not. Evaluation, and all keys of the state,
    are those of ``PatchClassifier``.

    Args:
        labelled_per_batch: a batch with fewer labelled pictures is refused.
        mixup_alpha: lambda follows Beta(alpha, alpha), one for each batch; 0: no mixup.
        prior_weight: of R_A.
        prior: frequencies of the classes; None: all the same.
        entropy_weight: of R_H.
        batch_statistics: label clean pictures with norms in training mode, in one pass over the
            whole batch, labelled pictures included (parity).
        kwargs: of ``PatchClassifier``.

    Attributes:
        soft_targets: to be set before training; the hook of the engine does.

    Raises:
        ValueError: an argument out of range; names the key.
    """

    @configurable
    def __init__(
        self,
        *,
        labelled_per_batch: int = 16,
        mixup_alpha: float = 4.0,
        prior_weight: float = 0.8,
        prior: Optional[Sequence[float]] = None,
        entropy_weight: float = 0.4,
        batch_statistics: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (
            ("LABELLED_PER_BATCH", labelled_per_batch),
            ("MIXUP_ALPHA", mixup_alpha),
            ("PRIOR_WEIGHT", prior_weight),
            ("ENTROPY_WEIGHT", entropy_weight),
        ):
            if not 0 <= value < float("inf"):
                raise ValueError(f"MODEL.SOFT_LABELS.{name} is {value}; write 0 or more")
        self.labelled_per_batch, self.mixup_alpha = labelled_per_batch, mixup_alpha
        self.prior_weight, self.entropy_weight = prior_weight, entropy_weight
        self.batch_statistics = batch_statistics
        self.prior = _checked_prior(prior, self.num_classes)
        self.soft_targets: Optional[SoftTargets] = None
        self.relabelled: Optional[tuple[Tensor, Tensor]] = None

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read ``MODEL.SOFT_LABELS`` beside what ``PatchClassifier`` reads."""
        node = cfg.MODEL.SOFT_LABELS
        names = ("labelled_per_batch", "mixup_alpha", "prior_weight", "entropy_weight")
        return {
            **super().from_config(cfg),
            **arguments(node, *names, "batch_statistics"),
            "prior": node.PRIOR or None,
        }

    def losses(self, samples: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Return the losses of a batch; label its clean pictures.

        Raises:
            ValueError: too few labelled pictures; pictures of several sizes under mixup; a picture
                without its clean view.
            RuntimeError: nobody has set :attr:`soft_targets`.
        """
        if self.soft_targets is None:
            raise RuntimeError(
                "SoftLabelClassifier has no soft labels: train with drfpn_da.engine.Trainer, or "
                "register drfpn_da.engine.SoftLabelHook"
            )
        given = sum("class_id" in x for x in samples)
        if given < self.labelled_per_batch:
            raise ValueError(
                f"a batch has {given} labelled pictures, fewer than "
                f"MODEL.SOFT_LABELS.LABELLED_PER_BATCH {self.labelled_per_batch}: use the loader "
                "of drfpn_da.data, or its LabelledShareSampler"
            )
        targets = self.soft_targets.targets(_indices(samples)).to(self.device)
        self.relabelled = self._relabel(samples)
        images = self.preprocess([x["image"] for x in samples])
        if self.mixup_alpha:
            images, targets = self._mixed(images, targets, samples)
        return self._losses(at_least_float32(self.logits(images)), targets)

    def _losses(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        losses = {"loss_cls": F.cross_entropy(logits, targets.to(logits.dtype))}
        if self.prior_weight:
            mean = logits.softmax(dim=1).mean(dim=0)
            losses["loss_prior"] = self.prior_weight * prior_regulariser(
                mean, mean.new_tensor(self.prior)
            )
        if self.entropy_weight:
            losses["loss_entropy"] = self.entropy_weight * entropy_regulariser(logits)
        return losses

    def _mixed(
        self, images: Tensor, targets: Tensor, samples: Sequence[dict[str, Any]]
    ) -> tuple[Tensor, Tensor]:
        sizes = {tuple(x["image"].shape[-2:]) for x in samples}
        if len(sizes) > 1:
            raise ValueError(
                f"mixup needs pictures of one size, not {sorted(sizes)}: resize them in the mapper "
                "(INPUT.PATCH.SIZE), or write MODEL.SOFT_LABELS.MIXUP_ALPHA 0"
            )
        generator = step_generator(get_event_storage().iter, "mixup")
        partner, share = draw_mixup(len(images), self.mixup_alpha, generator)
        partner = partner.to(self.device)
        return mixup(images, partner, share), mixup(targets, partner, share)

    def _relabel(self, samples: Sequence[dict[str, Any]]) -> Optional[tuple[Tensor, Tensor]]:
        others = [x for x in samples if "class_id" not in x]
        if not others:
            return None
        # Batch statistics depend on who is in the batch.
        seen = samples if self.batch_statistics else others
        lacking = [str(x.get("file_name", "?")) for x in seen if "clean_image" not in x]
        if lacking:
            raise ValueError(
                f"{lacking[0]} has no clean_image to be labelled: use the loader of drfpn_da.data, "
                "or its PatchMapper (with clean_labelled where "
                "MODEL.SOFT_LABELS.BATCH_STATISTICS is True)"
            )
        with evaluating(self, self.batch_statistics), without_gradients():
            probabilities = self.probabilities([x["clean_image"] for x in seen]).cpu()
        if self.batch_statistics:
            probabilities = probabilities[["class_id" not in x for x in samples]]
        return _indices(others), probabilities


def _indices(samples: Sequence[dict[str, Any]]) -> Tensor:
    return torch.tensor([x["sample_index"] for x in samples], dtype=torch.long)


def _checked_prior(prior: Optional[Sequence[float]], num_classes: int) -> list[float]:
    if prior is None:
        return [1 / num_classes] * num_classes
    if len(prior) != num_classes:
        raise ValueError(
            f"MODEL.SOFT_LABELS.PRIOR has {len(prior)} frequencies, but "
            f"MODEL.PATCH_CLASSIFIER.NUM_CLASSES is {num_classes}: write one for each class, or []"
        )
    if min(prior) <= 0 or abs(sum(prior) - 1) > 1e-4:
        raise ValueError(
            f"MODEL.SOFT_LABELS.PRIOR is {list(prior)}: frequencies are above 0 and sum to 1"
        )
    return list(prior)
