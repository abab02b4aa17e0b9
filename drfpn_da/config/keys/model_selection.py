"""Keys of model selection without target labels."""

from __future__ import annotations

from ..rules import Choice, Node, Share


def add_keys(_C: Node) -> None:
    """Add the keys to a tree that has detectron2's top nodes."""
    # ---------------------------------------------------------------------------- #
    # Model selection
    # ---------------------------------------------------------------------------- #
    # Scores of every test set from predictions alone, also of one without labels; TEST.BEST_METRIC
    # may name one, for example "label_free/agreement". See docs/model_selection.md.
    _C.TEST.LABEL_FREE = Node()
    _C.TEST.LABEL_FREE.ENABLED = False
    # Detections below this score are left out.
    _C.TEST.LABEL_FREE.SCORE_THRESH = Share(0.3)
    # What predictions are compared with: those of the mean "teacher" (of the student, if the
    # teacher is evaluated), those on the mirrored picture ("flip"), nothing ("none"), or "auto":
    # the teacher's if there is one, else "flip". Comparing takes a second pass over the pictures.
    _C.TEST.LABEL_FREE.SECOND_OPINION = Choice("auto", "teacher", "flip", "none")

    # Evaluate both student and teacher; the results of the one that MODEL.TEACHER.EVAL does not
    # name end in "_teacher" or "_student", for example "bbox_teacher/AP".
    _C.TEST.EVAL_BOTH = False
