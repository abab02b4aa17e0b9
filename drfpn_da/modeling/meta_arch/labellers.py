"""Which objectives go together with a teacher and with each other; messages name the mend."""

from __future__ import annotations

from collections.abc import Sequence

from ...config.combinations import late_teacher
from ..objective import Objective


def check_teacher(objectives: Sequence[Objective], start_iter: int, train_mode: bool) -> None:
    """Refuse a teacher in a mode, or from an iteration on, that an objective cannot use."""
    taught = [o for o in objectives if o.needs_teacher]
    fixed = [o.name for o in taught if not o.teacher_may_train]
    if train_mode and fixed:
        raise ValueError(
            f"MODEL.TEACHER.TRAIN_MODE is True, but objectives {fixed} need predictions of a "
            "teacher in evaluation mode: write False"
        )
    late = [late_teacher(o.name, o.start_iter, start_iter) for o in taught if o.labels_target]
    if any(late):
        raise ValueError("\n".join(filter(None, late)))


def refuse_two_labellers(labellers: Sequence[Objective]) -> None:
    """Refuse more than one objective that labels the target."""
    names = [type(objective).__name__ for objective in labellers]
    if len(names) > 1:
        raise ValueError(
            f"MODEL.ADAPT.OBJECTIVES: {names} all label the target, but the student sees each "
            "target picture once: keep one of them. DensePseudoLabel can add its regularisers to "
            "DepthMix with MODEL.PSEUDO_LABEL.REGULARISE_ONLY True"
        )


def refuse_without_labeller(users: Sequence[Objective], labellers: Sequence[Objective]) -> None:
    """Refuse objectives that wait for labels which nobody makes, or makes later."""
    for user in users:
        if not labellers:
            raise ValueError(
                f"the objective {user.name} acts on target pictures that another objective labels "
                "(MODEL.PSEUDO_LABEL.REGULARISE_ONLY True), but no objective labels any: add "
                "DepthMix to MODEL.ADAPT.OBJECTIVES, or write REGULARISE_ONLY False"
            )
        first = labellers[0]
        if user.start_iter < first.start_iter:
            raise ValueError(
                f"the objective {user.name} starts at iteration {user.start_iter}, but acts on the "
                f"pictures that {first.name} labels from iteration {first.start_iter} on: raise "
                "its START_ITER (MODEL.PSEUDO_LABEL.START_ITER) to that, or lower the other's "
                "(MODEL.DEPTH_MIX.START_ITER)"
            )
