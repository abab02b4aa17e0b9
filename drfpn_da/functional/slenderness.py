"""Slenderness: short side over long side of the smallest rectangle around a shape.

After Wan et al., "Slender Object Detection: Diagnoses and Improvements" (arXiv 2011.08529, section
3). All functions return float64 in [0, 1]: 1 for a square, 0 for a line or a point at any angle.

The rectangle of least area is not unique (an acute triangle has three). Among those within a
millionth of the least area, the most slender counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

# Rectangles whose areas differ by less than this share are taken to be equally small.
TIE = 1e-6
# Largest number of projections held at a time.
CHUNK = 4_000_000


def slenderness_from_sides(sides: Tensor) -> Tensor:
    """Return min / max of pairs of sides.

    Args:
        sides: (..., 2).

    Returns:
        (...), 0 where a side is not positive, NaN where one is NaN.
    """
    sides = sides.double()
    short, long = sides.amin(dim=-1), sides.amax(dim=-1)
    return torch.where(short <= 0, torch.zeros_like(short), short / long)


def slenderness_from_polygons(instances: Sequence[Sequence[Any]]) -> Tensor:
    """Return the slenderness of objects given as polygons, over all parts of each together.

    Args:
        instances: for each of N objects its polygons, each flat: x0, y0, x1, y1, ...; tensors,
            arrays or lists. A polygon of fewer than three points or an odd length is left out.

    Returns:
        (N,), NaN where an object has no polygon left.
    """
    parts = [[part for part in polygons if is_polygon(part)] for polygons in instances]
    sizes = torch.tensor([sum(len(part) for part in usable) // 2 for usable in parts])
    flat = [torch.as_tensor(part, dtype=torch.float64) for usable in parts for part in usable]
    points = torch.cat([torch.empty(0, dtype=torch.float64), *flat]).view(-1, 2)
    return slenderness_from_points(points, sizes)


def is_polygon(part: Sequence[Any]) -> bool:
    """Whether flat coordinates make a polygon: at least three points, x and y of each."""
    return len(part) >= 6 and len(part) % 2 == 0


def slenderness_from_masks(masks: Iterable[Tensor]) -> Tensor:
    """Return the slenderness of binary masks, whose pixels are unit squares.

    Args:
        masks: N masks (H, W), non-zero inside; sizes may differ.

    Returns:
        (N,), NaN for masks without a pixel.
    """
    columns, count = [torch.empty(4, 0, dtype=torch.long)], 0
    for count, mask in enumerate(masks, start=1):
        column = mask.any(dim=0).nonzero()[:, 0]
        if not len(column):
            continue
        rows = mask[:, column].to(torch.uint8)
        top, bottom = rows.argmax(dim=0), len(rows) - 1 - rows.flip(0).argmax(dim=0)
        columns.append(torch.stack([torch.full_like(column, count - 1), column, top, bottom]))
    return _slenderness_of_columns(torch.cat([c.to(columns[-1]) for c in columns], dim=1), count)


def _slenderness_of_columns(columns: Tensor, count: int) -> Tensor:
    """Slenderness of ``count`` masks by (4, M) columns: mask, abscissa, first and last row.

    Columns ascend by mask, then by abscissa, without repetition.
    """
    mask, column, top, bottom = columns
    if len(mask) == 0:
        return torch.full((count,), torch.nan, dtype=torch.float64, device=mask.device)
    touches = (mask[1:] == mask[:-1]) & (column[1:] == column[:-1] + 1)
    no = touches.new_zeros(1)
    after, before = torch.cat([no, touches]), torch.cat([touches, no])
    # Each column has corners on its left; the next one has those on its right, if it touches.
    low, high = top.double(), bottom.double() + 1
    left_low = torch.where(after, torch.minimum(low, low.roll(1)), low)
    left_high = torch.where(after, torch.maximum(high, high.roll(1)), high)
    right = ~before
    group = torch.cat([mask, mask[right]])
    x = torch.cat([column, column[right] + 1])
    low = torch.cat([left_low, low[right]])
    high = torch.cat([left_high, high[right]])
    order = torch.argsort(x, stable=True)
    order = order[torch.argsort(group[order], stable=True)]
    return _slenderness_of_spans(group[order], x[order].double(), low[order], high[order], count)


def slenderness_from_points(points: Tensor, sizes: Tensor) -> Tensor:
    """Return the slenderness of sets of points.

    Args:
        points: (M, 2), x and y, one set after the other.
        sizes: (N,), number of points of each set; they sum to M.

    Returns:
        (N,), NaN for sets without a point.
    """
    points = points.double()
    group = torch.repeat_interleave(torch.arange(len(sizes), device=points.device), sizes)
    order = torch.argsort(points[:, 0], stable=True)
    order = order[torch.argsort(group[order], stable=True)]
    group, x, y = group[order], points[order, 0], points[order, 1]
    if len(x) == 0:
        return points.new_full((len(sizes),), torch.nan)
    # Of points above one another only the outermost matter.
    new = torch.ones_like(group, dtype=torch.bool)
    new[1:] = (group[1:] != group[:-1]) | (x[1:] != x[:-1])
    span = new.cumsum(0) - 1
    empty = y.new_empty(int(span[-1]) + 1)
    low = empty.scatter_reduce(0, span, y, "amin", include_self=False)
    high = empty.scatter_reduce(0, span, y, "amax", include_self=False)
    return _slenderness_of_spans(group[new], x[new], low, high, len(sizes))


def _slenderness_of_spans(
    group: Tensor, x: Tensor, low: Tensor, high: Tensor, count: int
) -> Tensor:
    """Slenderness of ``count`` sets of vertical spans, sorted by group, then by abscissa."""
    result = x.new_full((count,), torch.nan)
    lower_group, *lower = _convex_chain(group, x, low)
    upper_group, *upper = _convex_chain(group, x, -high)
    # The hull as a ring: the lower chain, and the upper one backwards.
    group = torch.cat([lower_group, upper_group.flip(0)])
    ring = torch.stack([torch.cat([lower[0], upper[0].flip(0)]),
                        torch.cat([lower[1], -upper[1].flip(0)])], dim=1)  # fmt: skip
    ring = ring[torch.argsort(group, stable=True)]
    sizes = torch.bincount(group, minlength=count)
    starts = sizes.cumsum(0) - sizes
    for sets in _chunks(sizes):
        inside = torch.arange(int(sizes[sets].max()), device=x.device) < sizes[sets, None]
        steps = torch.where(inside, torch.arange(inside.shape[1], device=x.device), 0)
        # Short rings repeat their first vertex.
        result[sets] = _slenderness_of_rings(ring[starts[sets, None] + steps])
    return result


def _convex_chain(group: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The vertices of the lower convex hull of each group; x ascends strictly within groups.

    A point on or above the line between its neighbours is no vertex. Dropping all such points at
    once, again and again, leaves the vertices.
    """
    while True:
        step_x, step_y = x.diff(), y.diff()
        turn = step_x[:-1] * step_y[1:] - step_y[:-1] * step_x[1:]
        drop = (turn <= 0) & (group[2:] == group[:-2])
        if not drop.any():
            return group, x, y
        keep = torch.ones_like(group, dtype=torch.bool)
        keep[1:-1] = ~drop
        group, x, y = group[keep], x[keep], y[keep]


def _chunks(sizes: Tensor) -> Iterator[Tensor]:
    """Indices of non-empty sets of similar size, so many that their projections fit."""
    order = torch.argsort(sizes)
    order = order[sizes[order] > 0]
    begin = 0
    ordered = sizes[order].tolist()
    while begin < len(ordered):
        # A chunk holds sizes up to 1.5 times its smallest, to waste little on padding.
        limit = int(torch.searchsorted(sizes[order], 1.5 * ordered[begin], right=True))
        end = min(limit, begin + max(CHUNK // (ordered[limit - 1] ** 2), 1))
        yield order[begin:end]
        begin = end


def _slenderness_of_rings(rings: Tensor) -> Tensor:
    """Slenderness of (N, V, 2) convex rings of V vertices, which may repeat one another."""
    rings = rings - rings[:, :1]
    edges = rings.roll(-1, dims=1) - rings
    lengths = edges.norm(dim=-1)
    along = edges / lengths.clamp(min=torch.finfo(rings.dtype).tiny)[..., None]
    across = torch.stack([-along[..., 1], along[..., 0]], dim=-1)
    # One side of the smallest rectangle lies on an edge of the hull.
    sides = torch.stack(
        [
            projected.amax(dim=-1) - projected.amin(dim=-1)
            for projected in (along @ rings.transpose(1, 2), across @ rings.transpose(1, 2))
        ],
        dim=-1,
    )  # (N, edges, 2)
    areas = sides.prod(dim=-1).masked_fill(lengths == 0, torch.inf)
    smallest = areas.amin(dim=1, keepdim=True)
    slenderness = slenderness_from_sides(sides)
    outside = areas > smallest * (1 + TIE)
    values = slenderness.masked_fill(outside | (lengths == 0), torch.inf).amin(dim=1)
    return torch.where(values.isinf(), torch.zeros_like(values), values)  # a single point
