"""Keys of SCN: importance weights in the box predictor, and relabelling."""

from detectron2.config import CfgNode as CN


def add_keys(_C: CN) -> None:
    """Add the keys to a tree that has detectron2's top nodes."""
    # ---------------------------------------------------------------------------- #
    # SCN (arXiv 2002.10392): ROI heads "SCNROIHeads", "SCNCascadeROIHeads", "SCNRes5ROIHeads"
    # ---------------------------------------------------------------------------- #
    if "ROI_BOX_HEAD" not in _C.MODEL:
        _C.MODEL.ROI_BOX_HEAD = CN()
    _C.MODEL.ROI_BOX_HEAD.SCN = CN()
    # Where importance acts: on the logits of "all" proposals in training and evaluation (as
    # published), on those of the "foreground" in the loss, or as weights of the "loss" of
    # foreground proposals. The latter two are for experiments: both cost much accuracy.
    _C.MODEL.ROI_BOX_HEAD.SCN.ALPHA_ON = "all"
    # The importance layer has a bias (published code; the paper has none).
    _C.MODEL.ROI_BOX_HEAD.SCN.BIAS = True
    # Share of the group of high importance.
    _C.MODEL.ROI_BOX_HEAD.SCN.BETA = 0.7
    # By how much the mean importance of the high group is to exceed that of the rest (delta 1).
    _C.MODEL.ROI_BOX_HEAD.SCN.MARGIN_1 = 0.15
    # Learn that margin, from there.
    _C.MODEL.ROI_BOX_HEAD.SCN.LEARNABLE_MARGIN = False
    # Weight of the rank loss beside the classification loss (published code: 1).
    _C.MODEL.ROI_BOX_HEAD.SCN.RR_WEIGHT = 1.0
    # If not negative, the paper's mix: GAMMA times the rank loss plus (1 - GAMMA) times the
    # classification loss, in place of RR_WEIGHT (the paper: 0.5).
    _C.MODEL.ROI_BOX_HEAD.SCN.GAMMA = -1.0
    # What is ranked: mean importance of each "annotation" or "image", or each "proposal".
    _C.MODEL.ROI_BOX_HEAD.SCN.SPLIT = "annotation"
    # Ranked among those of one process ("gpu") or of all ("global").
    _C.MODEL.ROI_BOX_HEAD.SCN.SCOPE = "gpu"
    # Fewer are not ranked.
    _C.MODEL.ROI_BOX_HEAD.SCN.MIN_GROUP = 4

    # Relabelling while training, with these ROI heads; the annotation files are never written.
    _C.SCN_RELABEL = CN()
    _C.SCN_RELABEL.ENABLED = False
    # Write proposals into the journal, but train on the given labels.
    _C.SCN_RELABEL.DRY_RUN = True
    # The journal, below OUTPUT_DIR.
    _C.SCN_RELABEL.OUTPUT = "relabels.jsonl"
    # Journal to start from (reviewed, for example); it is copied, not written. "": none.
    _C.SCN_RELABEL.JOURNAL = ""
    # First and last epoch of gathering votes; -1: START_FRACTION and STOP_FRACTION count.
    _C.SCN_RELABEL.START_EPOCH = -1
    # As START_EPOCH.
    _C.SCN_RELABEL.STOP_EPOCH = -1
    # First and last share of SOLVER.MAX_ITER. Not before the detector tells rare classes from
    # frequent ones, which swallow them early in training; not at the end, when it has learnt the
    # wrong labels by heart, and when there is no time left to learn from the corrected ones.
    _C.SCN_RELABEL.START_FRACTION = 0.2
    # As START_FRACTION.
    _C.SCN_RELABEL.STOP_FRACTION = 0.65
    # Length of a window of votes, at whose end a decision is taken; -1: PERIOD_FRACTION counts.
    _C.SCN_RELABEL.PERIOD_EPOCHS = -1
    # Length of a window as a share of SOLVER.MAX_ITER, one epoch at least. The more votes, the
    # surer the decision: an epoch is but one vote for many an annotation.
    _C.SCN_RELABEL.PERIOD_FRACTION = 0.15
    # Probabilities of the votes: of "raw" logits or of those "scaled" by importance (published).
    _C.SCN_RELABEL.PROBS = "raw"
    # Proposals vote from this overlap with the annotation on.
    _C.SCN_RELABEL.MIN_IOU = 0.5
    # Who may be relabelled: "all" annotations (published code) or those ranked "low" (the paper).
    _C.SCN_RELABEL.SCOPE = "all"
    # What "low" ranks by: importance ("alpha"), probability of the label ("p_gt") or "margin".
    _C.SCN_RELABEL.RANK_BY = "alpha"
    # Probabilities are divided by the frequencies of the labels to this power before they are
    # compared, since a detector in training prefers frequent classes. 0: not (published).
    _C.SCN_RELABEL.PRIOR_POWER = 1.0
    # The best class must exceed the label's probability by more than this (delta 2; the paper has
    # 0.2, for probabilities flattened by importance).
    _C.SCN_RELABEL.MARGIN_2 = 0.3
    # And by more than this share of the usual lead: the median by which labels that the detector
    # shares lead over the best other class. The fewer labels are wrong, the surer the detector, and
    # the more is asked. Higher: fewer, surer changes. 0: MARGIN_2 alone (published).
    _C.SCN_RELABEL.LEAD_SHARE = 0.7
    # Fewer votes in a window decide nothing. A small object has few: often but one an epoch, of its
    # own box, which is among the proposals.
    _C.SCN_RELABEL.MIN_VOTES = 1
    # Share of the votes that must be for the new class, with probabilities as of PRIOR_POWER.
    _C.SCN_RELABEL.MIN_AGREE = 0.6
    # In so many windows in a row the new class must be the same.
    _C.SCN_RELABEL.PATIENCE = 2
    # At most this share of all annotations is relabelled in a window, those of largest margin.
    _C.SCN_RELABEL.MAX_FRACTION = 0.1
    # At most this share of all annotations differs from the given labels in the end.
    _C.SCN_RELABEL.MAX_TOTAL = 0.4
    # No class loses more than this share of its given annotations, and never its last.
    _C.SCN_RELABEL.MAX_CLASS_LOSS = 0.5
    # Names of classes among which annotations may move. Empty: all.
    _C.SCN_RELABEL.CLASSES = []
    # Forbidden moves, each [from, to] by class name.
    _C.SCN_RELABEL.FORBID = []
