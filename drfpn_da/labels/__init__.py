"""Labels that change: votes on them, decisions, and the journal of corrections."""

from .annotations import (
    ANNOTATION_INDEX,
    AnnotationIndex,
    DatasetIdentity,
    file_sha256,
    index_annotations,
)
from .journal import Entry, Journal, read_journal, recover_journal, write_journal
from .policy import Decision, RelabelPolicy
from .store import RelabelStore
from .votes import Tally, VoteAccumulator, merge_votes, tally_votes

__all__ = [
    "ANNOTATION_INDEX",
    "AnnotationIndex",
    "DatasetIdentity",
    "Decision",
    "Entry",
    "Journal",
    "RelabelPolicy",
    "RelabelStore",
    "Tally",
    "VoteAccumulator",
    "file_sha256",
    "index_annotations",
    "merge_votes",
    "read_journal",
    "recover_journal",
    "tally_votes",
    "write_journal",
]
