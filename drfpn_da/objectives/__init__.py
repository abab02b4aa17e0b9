"""Objectives: losses beside a plain detector. Importing this registers them."""

from ..modeling.objective import OBJECTIVE_REGISTRY, AdaptationStep, DomainPass, Objective
from .dense_pseudo_label import DensePseudoLabel
from .depth_mix import DepthMix
from .pseudo_label import PseudoLabel
from .self_supervised_depth import SelfSupervisedDepth
from .strong_weak import AlignmentTap, StrongWeakAlignment

__all__ = [
    "OBJECTIVE_REGISTRY",
    "AdaptationStep",
    "AlignmentTap",
    "DensePseudoLabel",
    "DepthMix",
    "DomainPass",
    "Objective",
    "PseudoLabel",
    "SelfSupervisedDepth",
    "StrongWeakAlignment",
]
