"""Keys of the objectives PseudoLabel and DensePseudoLabel."""

from __future__ import annotations

from ..rules import (
    Choice,
    Items,
    Iterations,
    Kept,
    Names,
    Node,
    Number,
    OpenShare,
    PositiveCount,
    Share,
    Text,
    Weight,
)


def add_keys(_C: Node) -> None:
    """Add the keys to a tree that has detectron2's top nodes."""
    # ---------------------------------------------------------------------------- #
    # PseudoLabel: a mean teacher labels the weak view, the student learns the strong view.
    # Read when MODEL.ADAPT.OBJECTIVES has "PseudoLabel" (detectors) or "DensePseudoLabel"
    # (segmentors); needs INPUT.TARGET_VIEWS ["weak", "strong"].
    # ---------------------------------------------------------------------------- #
    _C.MODEL.PSEUDO_LABEL = Node()
    # Weight of all losses on target pictures.
    _C.MODEL.PSEUDO_LABEL.WEIGHT = Weight(1.0)
    # Burn-in: no pseudo-labels before this iteration. Set MODEL.TEACHER.START_ITER to the same, so
    # that the teacher starts from the student of then.
    _C.MODEL.PSEUDO_LABEL.START_ITER = Iterations(0)
    # Iterations after START_ITER over which the weight rises linearly from 0; 0: at once.
    _C.MODEL.PSEUDO_LABEL.RAMP_ITERS = Iterations(0)
    # Detections of the teacher with at least this score become labels; of segmentors, pixels whose
    # most probable class has at least this probability.
    _C.MODEL.PSEUDO_LABEL.THRESHOLD = Share(0.8)

    # Lower thresholds for classes of which the teacher is less confident: THRESHOLD times the
    # class's mean score over that of the best class.
    _C.MODEL.PSEUDO_LABEL.ADAPTIVE = Node()
    _C.MODEL.PSEUDO_LABEL.ADAPTIVE.ENABLED = False
    # Lowest threshold; detections below it count in no mean either.
    _C.MODEL.PSEUDO_LABEL.ADAPTIVE.FLOOR = Share(0.5)
    # Share of the old mean score kept at each step.
    _C.MODEL.PSEUDO_LABEL.ADAPTIVE.MOMENTUM = Kept(0.99)

    # Losses of localisation on pseudo-labels: "none", "all", or "reliable" (R-CNN: boxes of the ROI
    # heads that the teacher finds again from jittered copies).
    _C.MODEL.PSEUDO_LABEL.BOX_REGRESSION = Choice("none", "all", "reliable")
    # Words in the names of a detector's losses by which those of localisation are known. All others
    # are learnt on pseudo-labels, whatever BOX_REGRESSION says.
    _C.MODEL.PSEUDO_LABEL.LOCALIZATION_LOSSES = Names(
        ["box_reg", "bbox", "_loc", "_ctr", "centerness", "iou"]
    )
    # For "reliable" (arXiv 2106.09018): jittered copies of each box,
    _C.MODEL.PSEUDO_LABEL.JITTER = Node()
    _C.MODEL.PSEUDO_LABEL.JITTER.COUNT = Number(10, low=2, whole=True)
    # by how much their sides move, relative to the box,
    _C.MODEL.PSEUDO_LABEL.JITTER.SCALE = Weight(0.06)
    # and the largest spread of what the teacher makes of them, relative to the box.
    _C.MODEL.PSEUDO_LABEL.JITTER.MAX_SPREAD = Weight(0.02)

    # R-CNN: ROI heads learn the teacher's whole class vector of each of the student's proposals,
    # background included, in place of the hard class. Segmentors: pixels learn class probabilities.
    _C.MODEL.PSEUDO_LABEL.SOFT = False
    # Segmentors: mixup of strong views and their labels, lambda from Beta(alpha, alpha); 4 in arXiv
    # 1908.02983, 1 in its released code; 0: off.
    _C.MODEL.PSEUDO_LABEL.MIXUP_ALPHA = Weight(0.0)
    # Segmentors: labels from files, of all target pictures at once, by the teacher if there is one,
    # else by the student, and replaced after each period (an epoch in arXiv 1908.02983); instead of
    # the teacher's labels of the moment.
    _C.MODEL.PSEUDO_LABEL.STORE = Node()
    _C.MODEL.PSEUDO_LABEL.STORE.ENABLED = False
    # Iterations between two rounds; 0: an epoch of the target pictures.
    _C.MODEL.PSEUDO_LABEL.STORE.PERIOD = Iterations(0)
    # Pixels of the labelled map, which has the size of test pictures, for one of the store.
    _C.MODEL.PSEUDO_LABEL.STORE.STRIDE = PositiveCount(4)
    # Segmentors: label nothing, add prior and entropy to the pass of pictures that another
    # objective, such as DepthMix, labels.
    _C.MODEL.PSEUDO_LABEL.REGULARISE_ONLY = False

    # R-CNN and segmentors: keep the mean prediction over foreground ROIs, or pixels, near the class
    # frequencies (R_A of arXiv 1908.02983, published weight 0.8; 0: off).
    _C.MODEL.PSEUDO_LABEL.PRIOR = Node()
    _C.MODEL.PSEUDO_LABEL.PRIOR.WEIGHT = Weight(0.0)
    # Frequencies of the classes, summing to 1. []: those of the source labels, or labelled pixels,
    # seen so far.
    _C.MODEL.PSEUDO_LABEL.PRIOR.FREQUENCIES = Items([], Share())
    # Share of the old mean prediction kept at each step.
    _C.MODEL.PSEUDO_LABEL.PRIOR.MOMENTUM = Kept(0.9)
    # R-CNN and segmentors: weight of the entropy of foreground ROIs, or pixels (R_H, published 0.4;
    # 0: off).
    _C.MODEL.PSEUDO_LABEL.ENTROPY_WEIGHT = Weight(0.0)

    # Refuse batches of a process with a smaller share of labelled pictures; 0: accept all.
    _C.MODEL.PSEUDO_LABEL.MIN_LABELLED_SHARE = OpenShare(0.0)

    # Compare the teacher's labels with true ones during training, as scalars
    # "pseudo_label_quality/*" and a reliability diagram; training never sees them.
    _C.MODEL.PSEUDO_LABEL.MONITOR = Node()
    # Registered data set with labels, for example the one of DATASETS.TARGET. "": off.
    _C.MODEL.PSEUDO_LABEL.MONITOR.DATASET = Text("")
    # Iterations between two measurements. 0: TEST.EVAL_PERIOD.
    _C.MODEL.PSEUDO_LABEL.MONITOR.PERIOD = Iterations(0)
