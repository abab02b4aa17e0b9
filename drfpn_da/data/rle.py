"""COCO's run-length encoded masks, read many at a time and without painting them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class MaskColumns(NamedTuple):
    """First and last row of every occupied column of N masks; sorted by mask, then by column."""

    #: (M,) which mask, int64.
    mask: np.ndarray
    #: (M,) abscissa, int64.
    column: np.ndarray
    #: (M,) first row inside, int64.
    top: np.ndarray
    #: (M,) last row inside, int64.
    bottom: np.ndarray


def rle_columns(rles: Sequence[Mapping[str, Any]]) -> MaskColumns:
    """Return the first and the last pixel of every column of run-length encoded masks.

    Args:
        rles: COCO's dicts of "size" (height, width) and "counts": a list, or compressed str or
            bytes.

    Raises:
        ValueError: if the runs of a mask do not add up to its size; names its position.
    """
    runs, sizes = _run_lengths([rle["counts"] for rle in rles])
    owner = np.repeat(np.arange(len(rles)), sizes)
    first = np.cumsum(sizes) - sizes
    ends = np.cumsum(runs)
    starts = ends - runs
    # Both count from the start of their own mask.
    before = np.concatenate([[0], ends])[first[owner]]
    starts, ends = starts - before, ends - before
    shape = np.array([rle["size"] for rle in rles], dtype=np.int64).reshape(-1, 2)
    totals = np.bincount(owner, weights=runs, minlength=len(rles))
    wrong = np.flatnonzero(totals != shape.prod(axis=1))
    if len(wrong):
        at = int(wrong[0])
        raise ValueError(
            f"the runs of mask {at} cover {totals[at]:.0f} pixels, its size "
            f"{shape[at].tolist()} has {shape[at].prod()}"
        )
    inside = ((np.arange(len(runs)) - first[owner]) % 2 == 1) & (runs > 0)
    return _runs_to_columns(
        owner[inside], starts[inside], ends[inside] - 1, shape[owner[inside], 0]
    )


def _runs_to_columns(
    owner: np.ndarray, first: np.ndarray, last: np.ndarray, height: np.ndarray
) -> MaskColumns:
    """Columns of runs given by their first and last pixel, counted down the columns."""
    x0, x1 = first // height, last // height
    span = x1 - x0 + 1
    run = np.repeat(np.arange(len(owner)), span)
    x = x0[run] + np.arange(len(run)) - np.repeat(np.cumsum(span) - span, span)
    top = np.where(x == x0[run], (first % height)[run], 0)
    bottom = np.where(x == x1[run], (last % height)[run], height[run] - 1)
    owner = owner[run]
    # Several runs may lie in one column.
    new = np.ones(len(x), dtype=bool)
    new[1:] = (owner[1:] != owner[:-1]) | (x[1:] != x[:-1])
    heads = np.flatnonzero(new)
    if len(heads) == 0:
        return MaskColumns(owner, x, top, bottom)
    return MaskColumns(
        owner[heads],
        x[heads],
        np.minimum.reduceat(top, heads),
        np.maximum.reduceat(bottom, heads),
    )


def _run_lengths(counts: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """All run lengths, one mask after the other, and how many each mask has."""
    texts = [c.encode() if isinstance(c, str) else c for c in counts]
    packed = [text for text in texts if isinstance(text, bytes)]
    unpacked, sizes = _decompress(packed)
    if len(packed) == len(texts):
        return unpacked, sizes
    parts = iter(np.split(unpacked, np.cumsum(sizes)[:-1]) if packed else ())
    runs = [
        next(parts) if isinstance(text, bytes) else np.array(text, dtype=np.int64) for text in texts
    ]
    return np.concatenate(runs), np.array([len(run) for run in runs])


def _decompress(texts: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Run lengths of compressed masks: signed numbers of five bits a character, lowest first.

    From the fourth on, a number is the difference to the run before the last.
    """
    codes = np.frombuffer(b"".join(texts), dtype=np.uint8).astype(np.int64) - 48
    final = (codes & 32) == 0
    ends = np.flatnonzero(final)
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    number = np.repeat(np.arange(len(ends)), ends - starts + 1)
    shift = 5 * (np.arange(len(number)) - starts[number])
    values = np.bincount(number, (codes[: len(number)] & 31) << shift, len(ends)).astype(np.int64)
    negative = (codes[ends] & 16) != 0
    values -= np.where(negative, np.int64(1) << (5 * (ends - starts + 1)), 0)
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    upto = np.concatenate([[0], np.cumsum(final)])
    sizes = upto[np.cumsum(lengths)] - upto[np.cumsum(lengths) - lengths]
    first = np.cumsum(sizes) - sizes
    place = np.arange(len(values)) - np.repeat(first, sizes)
    result = values.copy()
    for parity, chain_start in ((1, 1), (0, 2)):
        # Sums along every second number of each mask, from chain_start on.
        chain = (place % 2 == parity) & (place >= chain_start)
        sums = np.cumsum(values[chain])
        owner = np.repeat(np.arange(len(sizes)), sizes)[chain]
        heads = np.flatnonzero(np.diff(owner, prepend=-1))
        offset = (sums - values[chain])[heads]
        result[chain] = sums - np.repeat(offset, np.diff(heads, append=len(owner)))
    return result, sizes
