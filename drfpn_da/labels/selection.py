"""Which pictures to annotate for a budget (arXiv 2012.10782, section 3.4).

Every function returns one nested list: the choice for a smaller budget is its beginning. Indices
are positions in the pool.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Callable, Optional, Union

import numpy as np
import torch
from torch import Tensor

from ..files import write_whole
from ..functional import LazyDistances, farthest_points

logger = logging.getLogger(__name__)

#: Weight of the uncertainty in the paper, absolute: for distances of about 128.
PUBLISHED_WEIGHT = 1000.0

#: Of so many pictures at most all pairs are compared for their median distance.
MAX_PAIRED = 5000

Distances = Union[Tensor, LazyDistances]
#: From the pictures selected so far to one uncertainty per picture of the pool, not negative.
Uncertainty = Callable[[Sequence[int]], Tensor]


def random_order(pool: int, seed: int) -> list[int]:
    """Return the legacy NumPy permutation of a seed; its first entry starts the other methods.

    Raises:
        ValueError: NumPy takes no such seed.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"the seed of a selection is {seed}; write one in [0, {2**32 - 1}]")
    # RandomState is frozen for good: the published seeds 42, 43, 44 keep their meaning.
    return np.random.RandomState(seed).permutation(pool).tolist()


def check_budgets(budgets: Sequence[int], pool: int) -> list[int]:
    """Return budgets as given if they ascend from at least 1 to at most the pool.

    Raises:
        ValueError: they do not; names the budget and the size of the pool.
    """
    ascending = all(small < large for small, large in zip(budgets, budgets[1:]))
    if not budgets or budgets[0] < 1 or not ascending:
        raise ValueError(f"budgets {list(budgets)} must ascend from at least 1, for example 25 50")
    if budgets[-1] > pool:
        raise ValueError(
            f"a budget of {budgets[-1]} pictures is larger than the pool of {pool}: ask for "
            "fewer, or add pictures to the pool"
        )
    return list(budgets)


def select_diverse(distances: Distances, budget: int, seed: int) -> list[int]:
    """Select farthest points of the features, from the first of the seeded permutation on.

    Args:
        distances: (N, N) between the pictures' features; see
            :func:`drfpn_da.functional.pairwise_distances`, and ``LazyDistances`` for large pools.
        budget: pictures to select.
        seed: of the first picture.

    Returns:
        Indices; fewer than the budget, with a warning, if all others equal a selected one.

    Raises:
        ValueError: the budget is larger than the pool.
    """
    return select_in_cycles(distances, [budget], seed)


def select_in_cycles(
    distances: Distances,
    budgets: Sequence[int],
    seed: int,
    uncertainty: Optional[Uncertainty] = None,
    weight: float = 1.0,
    absolute: bool = False,
    start: Sequence[int] = (),
) -> list[int]:
    """Select farthest points whose distance is raised by their uncertainty, cycle by cycle.

    The first cycle goes by distance alone; each further one asks for the uncertainty again, which
    usually means training on what was selected. A large weight selects the most uncertain only.

    Args:
        distances: (N, N) between the pictures' features.
        budgets: sizes after each cycle, ascending.
        seed: of the first picture.
        uncertainty: asked at the start of each cycle but the first; None: diversity alone.
        weight: 1 gives a picture of median uncertainty the median distance as bias.
        absolute: multiply the uncertainty by ``weight`` itself, as published (with
            :data:`PUBLISHED_WEIGHT`).
        start: selection of earlier cycles to go on from, in its order; every cycle then asks for
            the uncertainty.

    Returns:
        Indices, ``start`` first; fewer than the last budget, with a warning, if all others equal a
        selected one.

    Raises:
        ValueError: budgets that do not ascend or exceed the pool; an uncertainty that is no finite,
            non-negative number for each picture.
    """
    pool = distances.shape[0]
    sizes = check_budgets(budgets, pool)
    order = list(start) or random_order(pool, seed)[:1]
    for cycle, size in enumerate(sizes):
        bias = None
        if uncertainty is not None and (cycle > 0 or start):
            scores = _checked_scores(uncertainty(order), pool)
            bias = uncertainty_bias(distances, scores, order, weight, absolute)
        added, _ = farthest_points(distances, order, size - len(order), bias)
        order += added
        if len(order) < size:
            logger.warning(
                "Only %d of %d pictures selected: all others equal a selected one.",
                len(order),
                size,
            )
            break
    return order


def uncertainty_bias(
    distances: Distances,
    uncertainty: Tensor,
    selected: Sequence[int],
    weight: float = 1.0,
    absolute: bool = False,
) -> Tensor:
    """Return the (N,) bias of an uncertainty in the unit of the distances; 0 where selected.

    Unless ``absolute``, the weight counts in median distances per median uncertainty, both of
    pictures not selected yet, so that it fits features of any size. Of more than
    :data:`MAX_PAIRED` such pictures, the distances are those of so many, evenly spaced.

    Args:
        distances: (N, N).
        uncertainty: (N,), not negative.
        selected: indices.
        weight: see :func:`select_in_cycles`.
        absolute: see :func:`select_in_cycles`.
    """
    left = torch.ones(len(distances), dtype=torch.bool)
    left[list(selected)] = False
    bias = torch.where(left, uncertainty.to(distances.dtype), 0)
    if absolute or int(left.sum()) < 2:
        return bias * weight
    others = left.nonzero()[:, 0]
    others = others[:: -(-len(others) // MAX_PAIRED)]
    if isinstance(distances, LazyDistances):
        rest = distances.among(others)
    else:
        rest = distances[others][:, others]
    between = rest[~torch.eye(len(rest), dtype=torch.bool)]
    # Where most are certain, the median is 0 and says nothing of the others' scale.
    typical = bias[left].median()
    typical = typical if typical > 0 else bias[left].mean()
    return bias * (weight * between.median() / typical) if typical > 0 else bias


def select_by_score(
    pool: int, budgets: Sequence[int], seed: int, score: Uncertainty, start: Sequence[int] = ()
) -> list[int]:
    """Select the highest scores, cycle by cycle; the first cycle is random.

    With the disagreement of two depth networks this is the paper's selection by uncertainty alone,
    with the entropy of predicted classes its baseline.

    Args:
        pool: number of pictures.
        budgets: sizes after each cycle, ascending.
        seed: of the first cycle.
        score: asked at the start of each cycle but the first; of equal scores the first counts.
        start: selection of earlier cycles to go on from; every cycle then goes by the score.

    Raises:
        ValueError: as :func:`select_in_cycles`.
    """
    sizes = check_budgets(budgets, pool)
    order = list(start)
    for cycle, size in enumerate(sizes):
        if cycle == 0 and not start:
            order = random_order(pool, seed)[:size]
            continue
        scores = _checked_scores(score(order), pool)
        taken = set(order)
        ranked = torch.argsort(scores, descending=True, stable=True).tolist()
        order += [i for i in ranked if i not in taken][: max(0, size - len(order))]
    return order


def _checked_scores(scores: Tensor, pool: int) -> Tensor:
    if scores.shape != (pool,):
        raise ValueError(
            f"uncertainty has shape {tuple(scores.shape)}; it needs one number for each of the "
            f"{pool} pictures of the pool"
        )
    strange = (~torch.isfinite(scores) | (scores < 0)).nonzero()
    if len(strange):
        index = int(strange[0])
        raise ValueError(
            f"uncertainty of picture {index} of the pool is {float(scores[index])}; it must be "
            "finite and not negative"
        )
    return scores


@dataclass(frozen=True)
class Selection:
    """A nested list of pictures and how it came about.

    Attributes:
        method: "diversity", "uncertainty", "both", "entropy" or "random".
        seed: of the selection.
        budgets: sizes; each choice is the beginning of ``file_names``.
        file_names: pictures in the order of their selection.
        indices: their positions in the pool.
        pool: number of pictures to choose from.
    """

    method: str
    seed: int
    budgets: list[int]
    file_names: list[str]
    indices: list[int]
    pool: int

    def save(self, path: str | os.PathLike) -> None:
        """Write JSON, whole or not at all."""
        text = json.dumps(asdict(self), indent=1) + "\n"
        write_whole(path, lambda file: file.write(text.encode()))

    @classmethod
    def load(cls, path: str | os.PathLike) -> Selection:
        """Read what :meth:`save` wrote.

        Raises:
            ValueError: the file is none; names it.
        """
        try:
            return cls(**json.loads(Path(path).read_text(encoding="utf-8")))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{path} is no list of selected pictures ({error}); drfpn-da select writes one"
            ) from error

    def budget(self, size: int) -> list[str]:
        """Return the pictures of a budget.

        Raises:
            ValueError: fewer were selected.
        """
        if not 0 < size <= len(self.file_names):
            raise ValueError(f"budget {size}: {len(self.file_names)} pictures were selected")
        return self.file_names[:size]
