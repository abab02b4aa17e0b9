"""Objectives: losses beside a plain detector. Importing this registers them."""

from ..modeling.objective import OBJECTIVE_REGISTRY, AdaptationStep, DomainPass, Objective
from .pseudo_label import PseudoLabel
from .strong_weak import AlignmentTap, StrongWeakAlignment

__all__ = [
    "OBJECTIVE_REGISTRY",
    "AdaptationStep",
    "AlignmentTap",
    "DomainPass",
    "Objective",
    "PseudoLabel",
    "StrongWeakAlignment",
]
