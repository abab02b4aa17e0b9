"""Farthest-point selection: pictures that cover a set of features (arXiv 2012.10782, sec. 3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional, Union

import torch
from torch import Tensor


def standardize_features(features: Tensor) -> Tensor:
    """Give every channel mean 0 and deviation 1 over pictures and positions, then flatten.

    Args:
        features: (N, C, ...) one feature map per picture.

    Returns:
        (N, D); a channel that is constant becomes 0.
    """
    axes = [0, *range(2, features.dim())]
    mean = features.mean(axes, keepdim=True)
    deviation = features.std(axes, keepdim=True)
    deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
    return ((features - mean) / deviation).flatten(1)


def pairwise_distances(vectors: Tensor) -> Tensor:
    """Return the (N, N) Euclidean distances of (N, D) vectors, exactly 0 on the diagonal."""
    # Without the matrix product, which loses near duplicates to cancellation.
    distances = torch.cdist(vectors, vectors, compute_mode="donot_use_mm_for_euclid_dist")
    return distances.fill_diagonal_(0)


class LazyDistances:
    """The rows of :func:`pairwise_distances`, each computed when it is asked for.

    Needs the memory of the vectors, not that of all pairs; the rows are the same.

    Args:
        vectors: (N, D).
    """

    def __init__(self, vectors: Tensor) -> None:
        self._vectors = vectors
        self.shape = (len(vectors), len(vectors))
        self.dtype = vectors.dtype

    def __len__(self) -> int:
        return len(self._vectors)

    def __getitem__(self, index: int) -> Tensor:
        """Return the (N,) distances of one point."""
        mode = "donot_use_mm_for_euclid_dist"
        row = torch.cdist(self._vectors[index : index + 1], self._vectors, compute_mode=mode)[0]
        row[index] = 0
        return row

    def among(self, indices: Tensor) -> Tensor:
        """Return the (M, M) distances of (M,) points."""
        return pairwise_distances(self._vectors[indices])


def farthest_points(
    distances: Union[Tensor, LazyDistances],
    selected: Sequence[int],
    count: int,
    bias: Optional[Tensor] = None,
) -> tuple[list[int], list[float]]:
    """Add points one by one, each the farthest from all that are selected already.

    The step is ``argmax_j min_i (D(i, j) + bias(j))`` over selected i; of several, the first. It
    stops early when every point is at distance 0 from a selected one.

    Args:
        distances: (N, N), not negative, 0 on the diagonal; or the vectors' lazy distances.
        selected: indices to start from, at least one.
        count: points to add at most.
        bias: (N,) not negative, for example an uncertainty, added to a point's distance from all
            others; that of selected points does not count.

    Returns:
        Indices in the order of their selection, and the (biased) distance of each when selected;
        these do not increase.

    Raises:
        ValueError: nothing to start from, an index that is none, or a negative bias.
    """
    size = distances.shape[0]
    if not selected or not all(0 <= index < size for index in selected):
        raise ValueError(
            f"farthest points need indices from 0 to {size - 1} to start from, not {selected}"
        )
    if bias is not None and bool((bias < 0).any()):
        raise ValueError("the bias of a point must not be negative")
    nearest = distances[selected[0]].clone()
    for index in selected[1:]:
        torch.minimum(nearest, distances[index], out=nearest)
    if bias is not None:
        nearest = nearest + bias.to(nearest.dtype)
    nearest[list(selected)] = 0
    order: list[int] = []
    radii: list[float] = []
    while len(order) < count:
        # argmax promises no order among equals; the first of them is the smallest index.
        radius = nearest.amax()
        if radius <= 0:
            break
        index = int((nearest == radius).nonzero()[0])
        order.append(index)
        radii.append(float(radius))
        row = distances[index] if bias is None else distances[index] + bias.to(distances.dtype)
        nearest = torch.minimum(nearest, row)
        nearest[index] = 0
    return order, radii
