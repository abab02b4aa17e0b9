"""Distance of two sets of feature vectors, and a plane to draw them in."""

from __future__ import annotations

import torch
from torch import Tensor

# Share of the mean within-domain variance added to every direction: keeps the classifier defined
# with fewer pictures than channels.
_SHRINKAGE = 0.1


def proxy_a_distance(source: Tensor, target: Tensor, splits: int = 10, seed: int = 0) -> Tensor:
    """Return the proxy A-distance ``2 (1 - 2 err)`` for several splits into halves.

    ``err`` is the mean of both domains' error rates, on the held-out halves, of a linear classifier
    of the domains (Fisher's, with shrinkage) fitted on the other halves: 2 where the domains are
    told apart without error, about 0 where they are alike (below 0 by chance). Ben-David et al.,
    "Analysis of Representations for Domain Adaptation", NeurIPS 2006, section 3; the linear
    classifier in place of the best one makes it a lower estimate.

    Args:
        source: (N, C) feature vectors, N >= 4.
        target: (M, C), M >= 4.
        splits: number of random splits.
        seed: of the splits.

    Returns:
        (splits,) distances in [-2, 2], float64.

    Raises:
        ValueError: fewer than four vectors, or different numbers of channels.
    """
    if min(len(source), len(target)) < 4 or source.shape[1] != target.shape[1]:
        raise ValueError(
            f"proxy_a_distance needs at least four vectors of each domain and equal channels; got "
            f"{tuple(source.shape)} and {tuple(target.shape)}"
        )
    generator = torch.Generator().manual_seed(seed)
    distances = []
    for _ in range(splits):
        halves = [_halves(x.double(), generator) for x in (source, target)]
        direction, threshold = _fisher(*(train for train, _ in halves))
        errors = [
            ((test @ direction > threshold) != bool(domain)).double().mean()
            for domain, (_, test) in enumerate(halves)
        ]
        distances.append(2 * (1 - (errors[0] + errors[1])))
    return torch.stack(distances)


def principal_components(x: Tensor, count: int = 2) -> Tensor:
    """Project (N, C) vectors on the directions of greatest variance, to (N, count).

    The sign of each direction is that of its largest coefficient. Missing directions (fewer vectors
    or channels than ``count``) are zero.
    """
    centred = x.double() - x.double().mean(dim=0)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    directions = directions[:count]
    largest = directions.gather(1, directions.abs().argmax(dim=1, keepdim=True))
    projected = centred @ (directions * largest.sign()).T
    return torch.nn.functional.pad(projected, (0, count - projected.shape[1]))


def _halves(x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    order = torch.randperm(len(x), generator=generator).to(x.device)
    return x[order[: len(x) // 2]], x[order[len(x) // 2 :]]


def _fisher(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Direction (C,) and threshold above which a vector is taken for the target's."""
    means = source.mean(dim=0), target.mean(dim=0)
    # Both domains count the same, whatever their numbers.
    scaled = [(x - m) / len(x) ** 0.5 for x, m in zip((source, target), means)]
    within = torch.cat(scaled)
    spread = within.std(dim=0, correction=0).clamp(min=1e-12)
    _, singular, basis = torch.linalg.svd(within / spread, full_matrices=False)
    shrinkage = max(_SHRINKAGE * float((singular**2).sum()) / within.shape[1], 1e-12)
    difference = (means[1] - means[0]) / spread
    inside = basis @ difference
    # (within^T within + shrinkage)^-1 difference, by the few directions that have variance.
    direction = basis.T @ (inside / (singular**2 + shrinkage))
    direction = (direction + (difference - basis.T @ inside) / shrinkage) / spread
    return direction, direction @ (means[0] + means[1]) / 2
