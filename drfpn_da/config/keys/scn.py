"""Keys of SCN: importance weights in the box predictor, and relabelling."""

from __future__ import annotations

from ..rules import (
    Choice,
    Items,
    Name,
    Names,
    Node,
    Number,
    OpenShare,
    PositiveCount,
    Row,
    Share,
    Text,
    Weight,
)


def add_keys(_C: Node) -> None:
    """Add the keys to a tree that has detectron2's top nodes."""
    # ---------------------------------------------------------------------------- #
    # SCN (arXiv 2002.10392): ROI heads "SCNROIHeads", "SCNCascadeROIHeads", "SCNRes5ROIHeads"
    # ---------------------------------------------------------------------------- #
    _C.MODEL.ROI_BOX_HEAD = Node()
    _C.MODEL.ROI_BOX_HEAD.SCN = Node()
    # Where importance acts: on the logits of "all" proposals in training and evaluation (as
    # published), on those of the "foreground" in the loss, or as weights of the "loss" of
    # foreground proposals. The latter two are for experiments: both cost much accuracy.
    _C.MODEL.ROI_BOX_HEAD.SCN.ALPHA_ON = Choice("all", "foreground", "loss")
    # The importance layer has a bias (published code; the paper has none).
    _C.MODEL.ROI_BOX_HEAD.SCN.BIAS = True
    # Share of the group of high importance.
    _C.MODEL.ROI_BOX_HEAD.SCN.BETA = Number(0.7, low=0, high=1, above=True, below=True)
    # By how much the mean importance of the high group is to exceed that of the rest (delta 1).
    _C.MODEL.ROI_BOX_HEAD.SCN.MARGIN_1 = Share(0.15)
    # Learn that margin, from there.
    _C.MODEL.ROI_BOX_HEAD.SCN.LEARNABLE_MARGIN = False
    # Weight of the rank loss beside the classification loss (published code: 1).
    _C.MODEL.ROI_BOX_HEAD.SCN.RR_WEIGHT = Weight(1.0)
    # If not negative, the paper's mix: GAMMA times the rank loss plus (1 - GAMMA) times the
    # classification loss, in place of RR_WEIGHT (the paper: 0.5).
    _C.MODEL.ROI_BOX_HEAD.SCN.GAMMA = Number(-1.0, low=-1, high=1)
    # The mean importance of each annotation is ranked among those of one process ("gpu") or of all
    # ("global").
    _C.MODEL.ROI_BOX_HEAD.SCN.SCOPE = Choice("gpu", "global")
    # Fewer are not ranked.
    _C.MODEL.ROI_BOX_HEAD.SCN.MIN_GROUP = PositiveCount(4)

    # Relabelling while training, with these ROI heads; the annotation files are never written.
    _C.SCN_RELABEL = Node()
    _C.SCN_RELABEL.ENABLED = False
    # Write proposals into the journal, relabels.jsonl in OUTPUT_DIR, but train on the given labels.
    _C.SCN_RELABEL.DRY_RUN = True
    # Journal to start from (reviewed, for example); it is copied, not written. "": none.
    _C.SCN_RELABEL.JOURNAL = Text("")
    # First and last epoch of gathering votes; -1: START_FRACTION and STOP_FRACTION count.
    _C.SCN_RELABEL.START_EPOCH = Number(-1, low=-1, whole=True)
    # As START_EPOCH.
    _C.SCN_RELABEL.STOP_EPOCH = Number(-1, low=-1, whole=True)
    # First and last share of SOLVER.MAX_ITER. Not before the detector tells rare classes from
    # frequent ones, which swallow them early in training; not at the end, when it has learnt the
    # wrong labels by heart, and when there is no time left to learn from the corrected ones.
    _C.SCN_RELABEL.START_FRACTION = Share(0.2)
    # As START_FRACTION.
    _C.SCN_RELABEL.STOP_FRACTION = Share(0.65)
    # Length of a window of votes, at whose end a decision is taken; -1: PERIOD_FRACTION counts.
    _C.SCN_RELABEL.PERIOD_EPOCHS = Number(-1, low=-1, whole=True)
    # Length of a window as a share of SOLVER.MAX_ITER, one epoch at least. The more votes, the
    # surer the decision: an epoch is but one vote for many an annotation.
    _C.SCN_RELABEL.PERIOD_FRACTION = Share(0.15)
    # Probabilities of the votes: of "raw" logits or of those "scaled" by importance (published).
    _C.SCN_RELABEL.PROBS = Choice("raw", "scaled")
    # Proposals vote from this overlap with the annotation on.
    _C.SCN_RELABEL.MIN_IOU = Share(0.5)
    # Who may be relabelled: "all" annotations (published code) or those ranked "low" (the paper).
    _C.SCN_RELABEL.SCOPE = Choice("all", "low")
    # What "low" ranks by: importance ("alpha"), probability of the label ("p_gt") or "margin".
    _C.SCN_RELABEL.RANK_BY = Choice("alpha", "p_gt", "margin")
    # Probabilities are divided by the frequencies of the labels to this power before they are
    # compared, since a detector in training prefers frequent classes. 0: not (published).
    _C.SCN_RELABEL.PRIOR_POWER = Share(1.0)
    # The best class must exceed the label's probability by more than this (delta 2; the paper has
    # 0.2, for probabilities flattened by importance).
    _C.SCN_RELABEL.MARGIN_2 = OpenShare(0.3)
    # And by more than this share of the usual lead: the median by which labels that the detector
    # shares lead over the best other class. The fewer labels are wrong, the surer the detector, and
    # the more is asked. Higher: fewer, surer changes. 0: MARGIN_2 alone (published).
    _C.SCN_RELABEL.LEAD_SHARE = Share(0.7)
    # Fewer votes in a window decide nothing. A small object has few: often but one an epoch, of its
    # own box, which is among the proposals.
    _C.SCN_RELABEL.MIN_VOTES = PositiveCount(1)
    # Share of the votes that must be for the new class, with probabilities as of PRIOR_POWER.
    _C.SCN_RELABEL.MIN_AGREE = Share(0.6)
    # In so many windows in a row the new class must be the same.
    _C.SCN_RELABEL.PATIENCE = PositiveCount(2)
    # At most this share of all annotations is relabelled in a window, those of largest margin.
    _C.SCN_RELABEL.MAX_FRACTION = Share(0.1)
    # At most this share of all annotations differs from the given labels in the end.
    _C.SCN_RELABEL.MAX_TOTAL = Share(0.4)
    # No class loses more than this share of its given annotations, and never its last.
    _C.SCN_RELABEL.MAX_CLASS_LOSS = Share(0.5)
    # Names of classes among which annotations may move. Empty: all.
    _C.SCN_RELABEL.CLASSES = Names([])
    # Forbidden moves, each [from, to] by class name.
    _C.SCN_RELABEL.FORBID = Items([], Row(fields={"from": Name(), "to": Name()}))
