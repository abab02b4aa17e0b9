"""The journal of a run: the same in all processes, written by the main one, judged by a person."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import Any, Callable, TypeVar

from detectron2.utils import comm

from ..files import free_path
from ..labels import AnnotationIndex, Entry, RelabelStore

logger = logging.getLogger(__name__)
T = TypeVar("T")


class RunJournal:
    """A store that all processes hold alike, and its file.

    A person may judge entries while the training is alive (drfpn-da audit): the file is read
    before it is written, and verdicts in it are taken over.

    Args:
        path: of the file.
        annotations: of the training data.
        settings: of the relabelling, for the record.
        start: journal with corrections to start from; "": none.

    Raises:
        FileNotFoundError: there is no ``start``.
        ValueError: it is damaged, or of other data.
    """

    def __init__(
        self, path: str, annotations: AnnotationIndex, settings: dict[str, Any], start: str = ""
    ) -> None:
        if start and not os.path.isfile(start):
            raise FileNotFoundError(
                f"SCN_RELABEL.JOURNAL {start} does not exist; write the path of a journal, or '' "
                "to start without one"
            )
        self.path, self._datasets = path, annotations.datasets
        before = RelabelStore.load(start, self._datasets).entries if start else ()
        self.store = RelabelStore(self._datasets, settings, before)

    def set_aside(self) -> None:
        """Keep a file that is in the way of a new run."""
        if comm.is_main_process() and os.path.exists(self.path):
            logger.warning(
                "%s is of an earlier run: kept as %s; to start from its corrections and verdicts, "
                "name it in SCN_RELABEL.JOURNAL",
                self.path,
                self._keep(self.path),
            )

    def rewind(self, count: int) -> None:
        """Go back to the first ``count`` entries and what was judged since; see the store.

        Raises:
            FileNotFoundError: the file is gone.
            ValueError: it is damaged, of other data, or has fewer entries.
        """
        found = _read_by_main(lambda: self._load(count))
        if found is None:
            return
        self.store = found.rewind(count)
        dropped = len(found.entries) - len(self.store.entries)
        if dropped and comm.is_main_process():
            kept = free_path(Path(self.path).with_suffix(".later.jsonl"))
            # A copy: at no moment is there no journal.
            shutil.copyfile(self.path, kept)
            self.save()
            logger.warning(
                "%d entries are of steps after the checkpoint and will be decided again; the "
                "journal with them is kept as %s",
                dropped,
                kept,
            )

    def take_verdicts(self) -> bool:
        """Take over what a person has decided in the file since it was read; return whether any.

        Collective: all processes call it.
        """
        found = _read_by_main(self._new_verdicts)
        self.store.extend(found)
        if found:
            logger.info("%d verdicts of a person were found in %s", len(found), self.path)
        return bool(found)

    def save(self) -> None:
        """Write the file, by the main process."""
        if comm.is_main_process():
            self.store.save(self.path)

    def _load(self, count: int) -> RelabelStore | None:
        if not os.path.exists(self.path):
            if count:
                raise FileNotFoundError(
                    f"the run to resume had a journal of {count} entries in {self.path}, which is "
                    "gone: put it back"
                )
            return None
        found = RelabelStore.load(self.path, self._datasets)
        if len(found.entries) < count:
            raise ValueError(
                f"{self.path} has {len(found.entries)} entries, but the checkpoint was saved with "
                f"{count}: put the whole journal back"
            )
        return found

    def _new_verdicts(self) -> list[Entry]:
        if not os.path.exists(self.path):
            return []
        try:
            found = RelabelStore.load(self.path, self._datasets)
        except ValueError as error:  # a training of days does not end for what a person did to it
            logger.error(
                "%s\nIt is kept as %s, and %s is written anew, with all verdicts found before",
                error,
                self._keep(Path(self.path).with_suffix(".damaged.jsonl")),
                self.path,
            )
            return []
        # Training adds none itself: those of the file begin with those known.
        return found.verdicts[len(self.store.verdicts) :]

    def _keep(self, wanted: str | os.PathLike) -> Path:
        kept = free_path(wanted)
        os.rename(self.path, kept)
        return kept


def _read_by_main(read: Callable[[], T]) -> T:
    """Return what the main process reads; what it raises is raised by all, so that none waits."""
    found: Any = None
    error: Exception | None = None
    if comm.is_main_process():
        try:
            found = read()
        except (OSError, ValueError) as raised:
            error = raised
    found, error = comm.all_gather((found, error))[0]
    if error is not None:
        raise error
    return found
