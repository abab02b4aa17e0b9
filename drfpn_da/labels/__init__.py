"""Labels that change: votes on them, decisions, and the journal of corrections."""

from .annotations import (
    ANNOTATION_INDEX,
    AnnotationIndex,
    DatasetIdentity,
    file_sha256,
    index_annotations,
)
from .dense_store import DenseLabelStore
from .journal import Entry, Journal, read_journal, recover_journal, write_journal
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
from .store import RelabelStore
from .uncertainty import student_error
from .votes import Tally, VoteAccumulator, merge_votes, tally_votes

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
