"""Keys of AdaptiveModel and its teacher."""

from __future__ import annotations

from detectron2.modeling import META_ARCH_REGISTRY

from ..rules import Choice, Items, Iterations, Name, Node, OpenShare, PositiveCount, Registered


def add_keys(_C: Node) -> None:
    """Add the keys to a tree that has detectron2's top nodes."""
    # ---------------------------------------------------------------------------- #
    # AdaptiveModel: a plain detector and the objectives that adapt it
    # ---------------------------------------------------------------------------- #
    _C.MODEL.ADAPT = Node()
    # Registered meta-architecture that is adapted; read when META_ARCHITECTURE is "AdaptiveModel".
    _C.MODEL.ADAPT.DETECTOR = Registered("GeneralizedRCNN", META_ARCH_REGISTRY)
    # Names in OBJECTIVE_REGISTRY, for example ["StrongWeakAlignment"].
    _C.MODEL.ADAPT.OBJECTIVES = Items([], Name())
    # What to train for comparison, everything else being equal: "" (adaptation), "source_only" (no
    # objective, no target pictures) or "oracle" (no objective, the labels of DATASETS.TARGET).
    _C.MODEL.ADAPT.BASELINE = Choice("", "source_only", "oracle")

    # Mean teacher: a copy of the detector that follows its weights (arXiv 1703.01780).
    _C.MODEL.TEACHER = Node()
    # Keep a teacher even if no objective asks for one.
    _C.MODEL.TEACHER.ENABLED = False
    # Share of the old weights kept at each step.
    _C.MODEL.TEACHER.DECAY = OpenShare(0.9996)
    # Iterations between two moves of the teacher. With DECAY 0 it is a snapshot of the student,
    # renewed after each period, which may be an epoch.
    _C.MODEL.TEACHER.PERIOD = PositiveCount(1)
    # Until this iteration the teacher equals the student. With 0, a teacher in the checkpoint of an
    # earlier training goes on with its average; 1 lets it start anew from the student.
    _C.MODEL.TEACHER.START_ITER = Iterations(0)
    # Average buffers too, such as batch norms' statistics; False: parameters alone (published for
    # DepthMix).
    _C.MODEL.TEACHER.AVERAGE_BUFFERS = True
    # Label in training mode, with batch statistics and dropout (published for DepthMix, the only
    # objective that allows it).
    _C.MODEL.TEACHER.TRAIN_MODE = False
    # Who is evaluated: "student" or "teacher".
    _C.MODEL.TEACHER.EVAL = Choice("student", "teacher")
