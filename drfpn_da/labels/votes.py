"""Sums of a detector's class probabilities of each annotation over many steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np
import torch
from torch import Tensor

# Sums are integers in units of 2**-32: they depend neither on order nor on how votes were divided
# among processes.
UNIT = 2.0**32
# Steps whose votes are kept apart before they are added up.
MAX_PARTS = 64

State = dict[str, np.ndarray]


@dataclass(frozen=True)
class Tally:
    """Votes on M annotations, ascending by ``index``.

    Attributes:
        index: (M,) running numbers.
        probabilities: (M, K) mean class probabilities, weighted by overlap.
        alpha: (M,) mean importance.
        count: (M,) number of votes.
        votes: (M, K) number of votes for each class, see :class:`VoteAccumulator`.
    """

    index: np.ndarray
    probabilities: np.ndarray
    alpha: np.ndarray
    count: np.ndarray
    votes: np.ndarray


class VoteAccumulator:
    """Adds up votes by annotation; exact, so that neither order nor division matters.

    Args:
        num_classes: foreground classes K.
        factors: (K,), not negative: a vote is for the class whose probability times factor is the
            largest (see :meth:`drfpn_da.labels.RelabelPolicy.class_factors`). None: all equal.
    """

    def __init__(self, num_classes: int, factors: Optional[np.ndarray] = None) -> None:
        self.num_classes = num_classes
        self._factors = np.ones(num_classes) if factors is None else factors
        self._pending: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        self._parts: list[State] = []

    def add(self, index: Tensor, probabilities: Tensor, weight: Tensor, alpha: Tensor) -> None:
        """Add R votes; they stay on their device for some steps, so that nothing waits.

        Args:
            index: (R,) running numbers of annotations; below 0: no vote.
            probabilities: (R, K) foreground class probabilities, summing to 1.
            weight: (R,) in [0, 1], for example overlaps.
            alpha: (R,) importances in [0, 1].
        """
        self._pending.append(tuple(t.detach() for t in (index, probabilities, weight, alpha)))  # type: ignore[arg-type]
        if len(self._pending) >= MAX_PARTS:
            self._take_pending()

    def clear(self) -> None:
        """Forget all votes."""
        self._pending, self._parts = [], []

    def state(self) -> State:
        """Return all sums as arrays; they can be saved, sent and merged."""
        self._take_pending()
        self._parts = [merge_votes(self._parts, self.num_classes)]
        return self._parts[0]

    def load_state(self, state: State) -> None:
        """Replace all sums.

        Raises:
            ValueError: they are of another number of classes.
        """
        found = state["votes"].shape[1]
        if found != self.num_classes:
            raise ValueError(
                f"saved votes are on {found} classes, the model has {self.num_classes}"
            )
        self._pending, self._parts = [], [state]

    def _take_pending(self) -> None:
        """Add up what is pending; parts are joined when their sizes are alike.

        Joining all each time would add up the whole window again and again.
        """
        if not self._pending:
            return
        parts = [self._from_tensors(*pending) for pending in self._pending]
        self._pending = []
        self._parts.append(merge_votes(parts, self.num_classes))
        while len(self._parts) > 1 and _size(self._parts[-2]) <= 2 * _size(self._parts[-1]):
            last = [self._parts.pop() for _ in range(2)]
            self._parts.append(merge_votes(last, self.num_classes))

    def _from_tensors(
        self, index: Tensor, probabilities: Tensor, weight: Tensor, alpha: Tensor
    ) -> State:
        votes = index >= 0
        index, probabilities = index[votes], probabilities[votes]
        weight, alpha = weight[votes].double(), alpha[votes].double()
        probabilities = probabilities.double()
        weighted = probabilities * weight[:, None]
        adjusted = probabilities * torch.from_numpy(self._factors).to(probabilities)
        decided = (adjusted > 0).any(dim=1, keepdim=True)
        choice = torch.where(decided, adjusted, probabilities).argmax(dim=1)
        chosen = torch.nn.functional.one_hot(choice, self.num_classes)
        return {
            "index": index.cpu().numpy().astype(np.int64),
            "weighted": _fixed(weighted),
            "weight": _fixed(weight),
            "alpha": _fixed(alpha),
            "count": np.ones(len(index), dtype=np.int64),
            "votes": chosen.cpu().numpy().astype(np.int64),
        }


def merge_votes(states: Sequence[State], num_classes: int) -> State:
    """Add up states, for example those of several processes."""
    empty = _empty(num_classes)
    joined = {name: np.concatenate([empty[name], *(s[name] for s in states)]) for name in empty}
    order = np.argsort(joined["index"], kind="stable")
    index, starts = np.unique(joined["index"][order], return_index=True)
    merged: State = {"index": index}
    for name, values in joined.items():
        if name != "index":
            merged[name] = np.add.reduceat(values[order], starts, axis=0) if len(index) else values
    return merged


def tally_votes(state: State) -> Tally:
    """Return mean probabilities and counts from sums; annotations of no weight are left out."""
    seen = state["weight"] > 0
    count = state["count"][seen]
    return Tally(
        index=state["index"][seen],
        probabilities=state["weighted"][seen] / state["weight"][seen][:, None],
        alpha=state["alpha"][seen] / UNIT / count,
        count=count,
        votes=state["votes"][seen],
    )


def _size(state: State) -> int:
    return len(state["index"])


def _empty(num_classes: int) -> State:
    flat = {name: np.zeros(0, dtype=np.int64) for name in ("index", "weight", "alpha", "count")}
    wide = {name: np.zeros((0, num_classes), dtype=np.int64) for name in ("weighted", "votes")}
    return {**flat, **wide}


def _fixed(values: Tensor) -> np.ndarray:
    return (values * UNIT).round().long().cpu().numpy()
