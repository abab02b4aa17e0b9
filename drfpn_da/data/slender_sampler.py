"""Training pictures with slender objects come more often."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.data.samplers import RepeatFactorTrainingSampler

from .seeding import Stream, derive_seed
from .slenderness import annotation_slenderness

logger = logging.getLogger(__name__)

#: Value of DATALOADER.SAMPLER_TRAIN.
SLENDERNESS_SAMPLER = "SlendernessTrainingSampler"


class SlendernessTrainingSampler(RepeatFactorTrainingSampler):
    """detectron2's ``RepeatFactorTrainingSampler`` with bins of slenderness for classes.

    A picture comes as often as its rarest bin asks for: max(1, sqrt(threshold / f)), where f is the
    share of pictures with an object in that bin (the rule of LVIS, arXiv 1908.03195). Picture by
    picture, over all processes together; other objects of a repeated picture come along.
    """

    def __init__(
        self,
        records: Sequence[dict[str, Any]],
        edges: Sequence[float] = (1 / 5, 1 / 3),
        threshold: float = 0.5,
        *,
        sqrt: bool = True,
        seed: int | None = None,
    ) -> None:
        """Measure the annotations once.

        Args:
            records: detectron2's dataset dicts.
            edges: of the bins of slenderness, ascending; an edge belongs to the bin above it.
            threshold: share of pictures below which a bin's pictures are repeated.
            sqrt: take the square root.
            seed: of the order; None: drawn.

        Raises:
            ValueError: there are no annotations; a malformed one.
        """
        annotations = [a for record in records for a in record.get("annotations", ())]
        if not annotations:
            raise ValueError(
                f"{SLENDERNESS_SAMPLER} needs annotated pictures; set DATALOADER.SAMPLER_TRAIN "
                "TrainingSampler"
            )
        bins = iter(np.digitize(annotation_slenderness(annotations), edges).tolist())
        shadows = [
            {"annotations": [{"category_id": next(bins)} for _ in record.get("annotations", ())]}
            for record in records
        ]
        factors = self.repeat_factors_from_category_frequency(shadows, threshold, sqrt)
        logger.info(
            "Slender objects: %d of %d pictures are repeated, %.2f times at most.",
            int((factors > 1).sum()),
            len(records),
            float(factors.max()),
        )
        super().__init__(factors, seed=seed)
        self.repeat_factors = factors


def sampler_from_config(
    cfg: CfgNode, records: Sequence[dict[str, Any]], seed: int
) -> SlendernessTrainingSampler:
    """Build the sampler with ``DATALOADER.REPEAT_*`` and the bins of ``TEST.SLENDER``.

    Args:
        cfg: config.
        records: dataset dicts of the training sets.
        seed: seed of the run.
    """
    edges = [float(high) for _, _, high in cfg.TEST.SLENDER.BINS[:-1]]
    loader = cfg.DATALOADER
    return SlendernessTrainingSampler(
        records,
        edges,
        loader.REPEAT_THRESHOLD or 0.5,
        sqrt=loader.REPEAT_SQRT,
        seed=derive_seed(seed, Stream.SAMPLER),
    )
