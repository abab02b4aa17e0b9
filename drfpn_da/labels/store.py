"""Which class every annotation has now: the given one, corrected by the entries of a journal."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from .identity import DatasetIdentity
from .journal import BY_PERSON, REVIEWED, Entry, Journal, Key, read_journal, write_journal

if TYPE_CHECKING:  # they need torch and detectron2, a journal does not
    from .annotations import AnnotationIndex
    from .policy import Decision

logger = logging.getLogger(__name__)


class RelabelStore:
    """Corrections by annotation, as entries that are only ever added.

    Args:
        datasets: what the annotations belong to.
        settings: of whoever decides, for the record.
        entries: what happened so far.
    """

    def __init__(
        self,
        datasets: Sequence[DatasetIdentity],
        settings: Optional[dict[str, Any]] = None,
        entries: Iterable[Entry] = (),
    ) -> None:
        self.datasets = tuple(datasets)
        self.settings = dict(settings or {})
        self._entries: list[Entry] = []
        self._history: dict[Key, list[Entry]] = {}
        self._last_round = 0
        self.extend(entries)

    @classmethod
    def load(
        cls, path: str | os.PathLike, expected: Optional[Sequence[DatasetIdentity]] = None
    ) -> RelabelStore:
        """Read a journal from disk.

        Args:
            path: written by :meth:`save`.
            expected: the data sets that it must be of.

        Raises:
            ValueError: it is damaged, or of other files or classes.
        """
        journal = read_journal(path)
        if expected is not None:
            _refuse_other_data(path, journal.datasets, expected)
        return cls(journal.datasets, journal.settings, journal.entries)

    def save(self, path: str | os.PathLike) -> None:
        """Write everything to disk, whole or not at all."""
        write_journal(Journal(self.datasets, self.settings, self.entries), path)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All entries, oldest first."""
        return tuple(self._entries)

    @property
    def verdicts(self) -> list[Entry]:
        """What a person accepted, rejected or undid, oldest first."""
        return [entry for entry in self._entries if entry.status in BY_PERSON]

    @property
    def next_round(self) -> int:
        """Number of the next round of decisions; they start at 1."""
        return self._last_round + 1

    def corrections(self, proposed: bool = False) -> dict[Key, str]:
        """Return the class names of annotations that differ from the given ones.

        Args:
            proposed: count open proposals as if they were applied.
        """
        found = {}
        for key, history in self._history.items():
            name = _current(history, proposed)
            if name != history[0].old:
                found[key] = name
        return found

    def labels(self, annotations: AnnotationIndex, proposed: bool = False) -> np.ndarray:
        """Return the (N,) present classes; see :meth:`corrections`."""
        labels = annotations.classes.copy()
        number = {name: i for i, name in enumerate(annotations.class_names)}
        for key, name in self.corrections(proposed).items():
            labels[annotations.find(key)] = number[name]
        return labels

    def locked(self, annotations: AnnotationIndex) -> np.ndarray:
        """Return (N,), true where training must not change a label: crowds, and what is settled."""
        locked = annotations.crowd.copy()
        for key, history in self._history.items():
            if any(entry.status in REVIEWED for entry in history):
                locked[annotations.find(key)] = True
        return locked

    def extend(self, entries: Iterable[Entry]) -> None:
        """Add entries as they are, such as verdicts in another copy of the journal."""
        for entry in entries:
            self._append(entry)

    def rewind(self, count: int) -> RelabelStore:
        """Return the store of the first ``count`` entries and of what a person decided since.

        An annotation that a person judged since keeps all entries up to the last verdict, since a
        verdict says nothing without what it judges. All other later entries are left out.
        """
        later = self._entries[count:]
        judged = {entry.key: i for i, entry in enumerate(later) if entry.status in BY_PERSON}
        kept = [entry for i, entry in enumerate(later) if i <= judged.get(entry.key, -1)]
        entries = [*self._entries[:count], *kept]
        return RelabelStore(self.datasets, self.settings, entries)

    def record(
        self,
        decisions: Iterable[Decision],
        annotations: AnnotationIndex,
        iteration: int,
        dry_run: bool = False,
    ) -> list[Entry]:
        """Add a round of decisions. What is so already is not added again.

        Args:
            decisions: of a policy.
            annotations: what their indices refer to.
            iteration: after how many training steps.
            dry_run: propose only.

        Returns:
            The entries that were added.
        """
        added = []
        number = self.next_round
        names = annotations.class_names
        for decision in decisions:
            key = annotations.key(decision.index)
            history = self._history.get(key, [])
            old = names[annotations.classes[decision.index]]
            if (_current(history, dry_run) if history else old) == names[decision.new]:
                continue
            entry = Entry(
                round=number,
                iteration=iteration,
                status="proposed" if dry_run else "applied",
                dataset=key[0],
                image_id=annotations.image_ids[decision.index],
                annotation_id=key[1],
                file_name=annotations.file_names[decision.index],
                box=tuple(annotations.boxes[decision.index].tolist()),
                old=names[decision.old],
                new=names[decision.new],
                p_old=decision.p_old,
                p_new=decision.p_new,
                alpha=decision.alpha,
                count=decision.count,
                agree=decision.agree,
            )
            self._append(entry)
            added.append(entry)
        return added

    def undo(
        self, keys: Optional[Collection[Key]] = None, round_number: Optional[int] = None
    ) -> list[Entry]:
        """Set annotations back by adding reversing entries; what is undone already adds none.

        Args:
            keys: only these annotations; None: all.
            round_number: only the changes of this round; None: of all rounds.

        Returns:
            The entries that were added.

        Raises:
            KeyError: an annotation that was never changed.
            ValueError: no such round, or a change of this round was followed by another one.
        """
        if round_number is not None and all(e.round != round_number for e in self._entries):
            raise ValueError(
                f"there is no round {round_number}; the journal has rounds 1 to "
                f"{self.next_round - 1}"
            )
        for key in keys or ():
            if key not in self._history:
                raise KeyError(f"annotation {key[1]} of '{key[0]}' is not in the journal")
        chosen = self._history.keys() if keys is None else set(keys)
        added = [
            entry
            for key in self._history
            if key in chosen
            for entry in self._undo_one(self._history[key], round_number)
        ]
        for entry in added:
            self._append(entry)
        return added

    def review(self, verdicts: dict[Key, bool]) -> list[Entry]:
        """Settle corrections for good: True accepts what is proposed or applied, False rejects it.

        Returns:
            The entries that were added; a verdict that repeats the last one adds none.

        Raises:
            KeyError: an annotation that is not in the journal.
        """
        added = []
        for key, accept in verdicts.items():
            if key not in self._history:
                raise KeyError(f"annotation {key[1]} of '{key[0]}' is not in the journal")
            history = self._history[key]
            status = "accepted" if accept else "rejected"
            if history[-1].status == status:
                continue
            suggested = [e for e in history if e.status in ("proposed", "applied")][-1]
            new = suggested.new if accept else history[0].old
            old = _current(history, proposed=False)
            added.append(replace(suggested, status=status, round=self.next_round, old=old, new=new))
        for entry in added:
            self._append(entry)
        return added

    def _append(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._last_round = max(self._last_round, entry.round)
        self._history.setdefault(entry.key, []).append(entry)

    def _undo_one(self, history: list[Entry], round_number: Optional[int]) -> list[Entry]:
        open_changes = _open_changes(history)
        if not open_changes:
            return []
        chosen = [e for e in open_changes if round_number is None or e.round == round_number]
        if not chosen:
            return []
        if chosen[-1] is not open_changes[-1]:
            later = open_changes[-1]
            raise ValueError(
                f"annotation {later.annotation_id} of '{later.dataset}' was changed again in round "
                f"{later.round} ({later.status}): undo that round first, or the annotation alone"
            )
        old, new = chosen[-1].new, chosen[0].old
        if round_number is None and old == new:  # several changes, back where they began
            return []
        last, number = chosen[-1], self.next_round
        return [replace(last, status="undone", round=number, old=old, new=new, undoes=len(chosen))]


def _open_changes(history: list[Entry]) -> list[Entry]:
    """The proposals and changes of an annotation that nothing has set back."""
    changes: list[Entry] = []
    for entry in history:
        if entry.status == "rejected":
            changes = []
        elif entry.status == "undone" and entry.undoes:
            del changes[-entry.undoes :]
        elif entry.status == "undone":
            former = [change.old for change in changes]
            del changes[former.index(entry.new) if entry.new in former else 0 :]
        else:
            changes.append(entry)
    return changes


def _current(history: list[Entry], proposed: bool) -> str:
    """Class name of an annotation after its entries."""
    name = settled = history[0].old
    for entry in history:
        name = entry.new
        if entry.status != "proposed":
            settled = entry.new
    return name if proposed else settled


def _refuse_other_data(
    path: Any, found: Sequence[DatasetIdentity], expected: Sequence[DatasetIdentity]
) -> None:
    for ours, theirs in zip(expected, found):
        if ours.classes != theirs.classes:
            raise ValueError(
                f"journal {path} is of the classes {list(theirs.classes)[:8]}, but dataset "
                f"'{ours.name}' has {list(ours.classes)[:8]}: use the journal with its own data"
            )
        if ours.sha256 != theirs.sha256:
            mend = "restore that file, or start a new journal"
            if not ours.file:
                mend = (
                    "restore these, or start a new journal (journals of former versions did not "
                    "tell pictures of one name in different folders apart)"
                )
            raise ValueError(
                f"journal {path} is of another annotation file: dataset '{ours.name}' "
                f"({ours.file or 'no file'}) has SHA-256 {ours.sha256[:12]}..., the journal was "
                f"made with {theirs.file or 'records'} of {theirs.sha256[:12]}...; {mend}"
            )
    if [d.name for d in found] != [d.name for d in expected]:
        raise ValueError(
            f"journal {path} is of {[d.name for d in found]}, not of {[d.name for d in expected]}"
        )
