"""Which annotations get another class: SCN's rule on gathered votes, with limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from .votes import Tally

SCOPES = ("all", "low")
RANKINGS = ("alpha", "p_gt", "margin")
#: Annotation -> (class it would get, in how many windows in a row).
Streaks = dict[int, tuple[int, int]]


@dataclass(frozen=True)
class Decision:
    """A change of class, and why."""

    index: int
    old: int
    new: int
    p_old: float
    p_new: float
    alpha: float
    count: int
    agree: float

    @property
    def margin(self) -> float:
        """By how much the new class is more probable."""
        return self.p_new - self.p_old


@dataclass(frozen=True)
class RelabelPolicy:
    """Decides on votes; pure: equal inputs give equal decisions, on every process.

    An annotation changes if the most probable class exceeds its own by more than ``margin``, and by
    more than a share of what is usual (``lead_share``), with enough votes, agreement and windows in
    a row. Of those that may change, the largest margins come first (then the smaller running
    number), until a limit is reached.

    Attributes:
        margin: in [0, 1), must be exceeded (the paper's delta 2).
        lead_share: in [0, 1]; the margin must also exceed this share of the usual lead, which is
            the median lead of a label over the best other class where the detector shares the
            label. A wrong label of an ordinary object is beaten by as much as a right one wins.
            Where few labels are wrong the detector is surer, and more is asked. 0: not asked.
        prior_power: in [0, 1]; probabilities are divided by the classes' frequencies among the
            given labels to this power, and sum to 1 again (logit adjustment, arXiv 2007.07314): a
            detector in training prefers frequent classes. 0: as they are.
        min_votes: votes needed in a window.
        min_agree: share of the votes that must be for the new class, counted likewise.
        patience: windows in a row with the same new class.
        scope: "all", or "low": only the lowest share 1 - ``beta`` of the window's annotations.
        rank_by: what is low: "alpha", "p_gt" (probability of the label) or "margin" (low where the
            best other class exceeds the label most).
        beta: share of the high group.
        max_fraction: of all annotations, at most so many change in a window.
        max_total: of all annotations, at most so many differ from the given labels.
        max_class_loss: no class loses more than this share of its given annotations.
        classes: only these may lose or gain; empty: all.
        forbidden: (from, to) pairs.

    Raises:
        ValueError: an impossible threshold; names the key.
    """

    margin: float = 0.3
    lead_share: float = 0.7
    prior_power: float = 1.0
    min_votes: int = 1
    min_agree: float = 0.6
    patience: int = 2
    scope: str = "all"
    rank_by: str = "alpha"
    beta: float = 0.7
    max_fraction: float = 0.1
    max_total: float = 0.4
    max_class_loss: float = 0.5
    classes: frozenset[int] = field(default_factory=frozenset)
    forbidden: frozenset[tuple[int, int]] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        _check("MARGIN_2", self.margin, 0 <= self.margin < 1, "a difference in [0, 1)")
        _check("LEAD_SHARE", self.lead_share, 0 <= self.lead_share <= 1, "a share in [0, 1]")
        _check("PRIOR_POWER", self.prior_power, 0 <= self.prior_power <= 1, "a power in [0, 1]")
        _check("MIN_VOTES", self.min_votes, self.min_votes >= 1, "a whole number from 1 on")
        _check("MIN_AGREE", self.min_agree, 0 <= self.min_agree <= 1, "a share in [0, 1]")
        _check("PATIENCE", self.patience, self.patience >= 1, "a whole number from 1 on")
        _check("SCOPE", self.scope, self.scope in SCOPES, f"one of {', '.join(SCOPES)}")
        _check("RANK_BY", self.rank_by, self.rank_by in RANKINGS, f"one of {', '.join(RANKINGS)}")
        for key in ("max_fraction", "max_total", "max_class_loss"):
            value = getattr(self, key)
            _check(key.upper(), value, 0 <= value <= 1, "a share in [0, 1]")

    def decide(
        self,
        tally: Tally,
        labels: np.ndarray,
        given: np.ndarray,
        locked: np.ndarray,
        streaks: Mapping[int, tuple[int, int]],
    ) -> tuple[list[Decision], Streaks]:
        """Return the changes of a window, best first, and the streaks for the next.

        Args:
            tally: votes of the window, counted with :meth:`class_factors`, so that gap and
                agreement are of the same probabilities.
            labels: (N,) present classes of all annotations, without copies.
            given: (N,) classes in the annotation file.
            locked: (N,) annotations that must not change (crowds, those reviewed).
            streaks: as returned after the last window. An annotation without votes keeps its own.
        """
        tally = replace(tally, probabilities=self._adjust(tally.probabilities, given))
        current = labels[tally.index]
        rows = np.arange(len(tally.index))
        target = tally.probabilities.argmax(axis=1)
        gap = tally.probabilities[rows, target] - tally.probabilities[rows, current]
        agree = tally.votes[rows, target] / tally.count
        ready = (
            (target != current)
            & (gap > max(self.margin, self.lead_share * _usual_lead(tally.probabilities, current)))
            & (tally.count >= self.min_votes)
            & (agree >= self.min_agree)
            & ~locked[tally.index]
            & self._allowed(current, target)
        )
        if self.scope == "low":
            ready &= self._low_group(tally, current, gap)
        new_streaks = self._count_windows(tally.index, target, ready, streaks)
        patient = [
            bool(ready[i]) and new_streaks[int(tally.index[i])][1] >= self.patience for i in rows
        ]
        decisions = [
            Decision(
                index=int(tally.index[i]),
                old=int(current[i]),
                new=int(target[i]),
                p_old=float(tally.probabilities[i, current[i]]),
                p_new=float(tally.probabilities[i, target[i]]),
                alpha=float(tally.alpha[i]),
                count=int(tally.count[i]),
                agree=float(agree[i]),
            )
            for i in np.flatnonzero(patient)
        ]
        decisions.sort(key=lambda d: (-d.margin, d.index))
        kept = self._within_limits(decisions, labels, given)
        for decision in kept:
            new_streaks.pop(decision.index)
        return kept, new_streaks

    def class_factors(self, given: np.ndarray, num_classes: int) -> np.ndarray:
        """Return (K,) factors of probabilities that make up for the classes' frequencies.

        Args:
            given: (N,) classes in the annotation file.
            num_classes: K.
        """
        counts = np.bincount(given, minlength=num_classes)
        if not self.prior_power:
            return np.ones(num_classes)
        # A class that nobody labelled has no frequency, and gains nothing.
        return np.where(counts > 0, np.maximum(counts, 1.0) ** -self.prior_power, 0.0)

    def _adjust(self, probabilities: np.ndarray, given: np.ndarray) -> np.ndarray:
        """Return (M, K) probabilities as if all classes were equally frequent."""
        adjusted = probabilities * self.class_factors(given, probabilities.shape[1])
        total = adjusted.sum(axis=1, keepdims=True)
        return np.divide(adjusted, total, out=probabilities.copy(), where=total > 0)

    def _allowed(self, current: np.ndarray, target: np.ndarray) -> np.ndarray:
        allowed = np.ones(len(current), dtype=bool)
        if self.classes:
            among = list(self.classes)
            allowed &= np.isin(current, among) & np.isin(target, among)
        for old, new in self.forbidden:
            allowed &= ~((current == old) & (target == new))
        return allowed

    def _low_group(self, tally: Tally, current: np.ndarray, gap: np.ndarray) -> np.ndarray:
        probability = tally.probabilities[np.arange(len(current)), current]
        value = {"alpha": tally.alpha, "p_gt": probability, "margin": -gap}[self.rank_by]
        low = np.zeros(len(value), dtype=bool)
        high = int(self.beta * len(value))
        low[np.argsort(-value, kind="stable")[high:]] = True
        return low

    @staticmethod
    def _count_windows(
        index: np.ndarray,
        target: np.ndarray,
        ready: np.ndarray,
        streaks: Mapping[int, tuple[int, int]],
    ) -> Streaks:
        counted = dict(streaks)
        for i, wanted, good in zip(index.tolist(), target.tolist(), ready.tolist()):
            before, windows = counted.pop(i, (wanted, 0))
            if good:
                counted[i] = (wanted, windows + 1 if before == wanted else 1)
        return counted

    def _within_limits(
        self, decisions: list[Decision], labels: np.ndarray, given: np.ndarray
    ) -> list[Decision]:
        total = len(labels)
        changed = int((labels != given).sum())
        owned = np.bincount(given, minlength=int(labels.max(initial=0)) + 1)
        kept_of = np.bincount(given[labels == given], minlength=len(owned))
        kept: list[Decision] = []
        for decision in decisions:
            if len(kept) >= int(self.max_fraction * total):
                break
            own = int(given[decision.index])
            leaves, returns = decision.old == own, decision.new == own
            if leaves:
                if changed + 1 > int(self.max_total * total):
                    continue
                lost = owned[own] - (kept_of[own] - 1)
                if kept_of[own] <= 1 or lost > self.max_class_loss * owned[own]:
                    continue
                kept_of[own] -= 1
            elif returns:
                kept_of[own] += 1
            changed += int(leaves) - int(returns)
            kept.append(decision)
        return kept


def _usual_lead(probabilities: np.ndarray, current: np.ndarray) -> float:
    """Return the median lead of labels that are the most probable class; 1 if none is."""
    rows = np.arange(len(current))
    others = probabilities.copy()
    others[rows, current] = -1.0
    lead = probabilities[rows, current] - others.max(axis=1, initial=-1.0)
    shared = lead[lead > 0]
    return float(np.median(shared)) if len(shared) else 1.0


def _check(key: str, value: object, possible: bool, wanted: str) -> None:
    if not possible:
        raise ValueError(f"SCN_RELABEL.{key} is {value!r}; write {wanted}")
