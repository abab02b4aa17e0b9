"""Files in COCO's format: one check, run by every tool."""

from .annotations import LabelCounts
from .file import CocoFile, CocoFileError, load_coco, read_coco
from .findings import RULES, Finding, Findings, Place, Rule

__all__ = [
    "RULES",
    "CocoFile",
    "CocoFileError",
    "Finding",
    "Findings",
    "LabelCounts",
    "Place",
    "Rule",
    "load_coco",
    "read_coco",
]
