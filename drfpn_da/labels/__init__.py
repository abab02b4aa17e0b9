"""Labels that change: votes on them, decisions, and the journal of corrections.

A journal is read and written without torch, which is imported when something asks for it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .identity import DatasetIdentity, file_sha256
from .journal import Entry, Journal, read_journal, recover_journal, write_journal
from .store import RelabelStore

if TYPE_CHECKING:
    from .annotations import ANNOTATION_INDEX, AnnotationIndex, index_annotations
    from .dense_store import DenseLabelStore
    from .policy import Decision, RelabelPolicy
    from .selection import (
        Selection,
        check_budgets,
        random_order,
        select_by_score,
        select_diverse,
        select_in_cycles,
        uncertainty_bias,
    )
    from .soft_labels import SoftLabelStore
    from .uncertainty import student_error
    from .votes import Tally, VoteAccumulator, merge_votes, tally_votes

_NEED_TORCH = {
    "ANNOTATION_INDEX": ".annotations",
    "AnnotationIndex": ".annotations",
    "Decision": ".policy",
    "DenseLabelStore": ".dense_store",
    "RelabelPolicy": ".policy",
    "Selection": ".selection",
    "SoftLabelStore": ".soft_labels",
    "Tally": ".votes",
    "VoteAccumulator": ".votes",
    "check_budgets": ".selection",
    "index_annotations": ".annotations",
    "merge_votes": ".votes",
    "random_order": ".selection",
    "select_by_score": ".selection",
    "select_diverse": ".selection",
    "select_in_cycles": ".selection",
    "student_error": ".uncertainty",
    "tally_votes": ".votes",
    "uncertainty_bias": ".selection",
}

__all__ = [
    "ANNOTATION_INDEX",
    "AnnotationIndex",
    "DatasetIdentity",
    "Decision",
    "DenseLabelStore",
    "Entry",
    "Journal",
    "RelabelPolicy",
    "RelabelStore",
    "Selection",
    "SoftLabelStore",
    "Tally",
    "VoteAccumulator",
    "file_sha256",
    "index_annotations",
    "merge_votes",
    "read_journal",
    "recover_journal",
    "tally_votes",
    "write_journal",
    "check_budgets",
    "random_order",
    "select_by_score",
    "select_diverse",
    "select_in_cycles",
    "student_error",
    "uncertainty_bias",
]


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is first asked for."""
    if name not in _NEED_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_NEED_TORCH[name], __name__), name)
    globals()[name] = value
    return value
