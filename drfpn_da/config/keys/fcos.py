"""Keys of FCOS."""

from __future__ import annotations

from ..rules import Choice, Items, Name, Node, Number, PositiveCount, Share, Weight, norm


def add_keys(_C: Node) -> None:
    """Add the keys to a tree that has detectron2's top nodes."""
    # ---------------------------------------------------------------------------- #
    # FCOS (arXiv 1904.01355): detectron2's class, reachable from YAML as META_ARCHITECTURE "FCOS"
    # ---------------------------------------------------------------------------- #
    _C.MODEL.FCOS = Node()
    # Foreground classes.
    _C.MODEL.FCOS.NUM_CLASSES = PositiveCount(80)
    # Pyramid levels that the head sees, from high to low resolution.
    _C.MODEL.FCOS.IN_FEATURES = Items(
        ["p3", "p4", "p5", "p6", "p7"], Name(), least=1, different=True
    )
    # Convolutions in each tower of the head.
    _C.MODEL.FCOS.NUM_CONVS = PositiveCount(4)
    # Norm of the towers: any name of detectron2's get_norm.
    _C.MODEL.FCOS.NORM = norm("GN")
    # Radius, in strides, of the centre region whose points are positive.
    _C.MODEL.FCOS.CENTER_SAMPLING_RADIUS = Number(1.5, low=0, above=True, infinite=True)
    # Focal loss: weight of the positives (the negatives have one minus it).
    _C.MODEL.FCOS.FOCAL_LOSS_ALPHA = Share(0.25)
    # Focal loss: exponent that plays down easy points.
    _C.MODEL.FCOS.FOCAL_LOSS_GAMMA = Weight(2.0)
    # Start value of the foreground probability.
    _C.MODEL.FCOS.PRIOR_PROB = Number(0.01, low=0, high=1, above=True, below=True)
    # Inference: boxes below this score are dropped.
    _C.MODEL.FCOS.SCORE_THRESH_TEST = Share(0.2)
    # Inference: candidates per level before NMS.
    _C.MODEL.FCOS.TOPK_CANDIDATES_TEST = PositiveCount(1000)
    # Inference: IoU above which NMS drops the box with the lower score.
    _C.MODEL.FCOS.NMS_THRESH_TEST = Share(0.6)

    # Slender objects (arXiv 2011.08529); with the defaults below FCOS is detectron2's bit for bit.
    # Target of the centerness: "standard" or "slender", whose power is multiplied by the short over
    # the long side of the box, so that slender boxes keep points off their middle.
    _C.MODEL.FCOS.CENTERNESS = Choice("standard", "slender")
    # Weight the box losses by the centerness target, divided by its sum.
    _C.MODEL.FCOS.CENTERNESS_WEIGHTED_LOSS = False
    # Deformable last convolution of both towers, with offsets from the localisation feature:
    # "none", "unsupervised" (shared by the towers), "split" (one set each), "supervised" (two
    # corners of the initial box and seven learnt samples; needs TWO_STEP).
    _C.MODEL.FCOS.ADAPTATION = Choice("none", "unsupervised", "split", "supervised")

    # An initial box before the last convolution, and the final one after it.
    _C.MODEL.FCOS.TWO_STEP = Node()
    _C.MODEL.FCOS.TWO_STEP.ENABLED = False
    # Weight of the box loss of the initial box.
    _C.MODEL.FCOS.TWO_STEP.INIT_LOSS_WEIGHT = Weight(0.5)
    # Weight of the box loss of the final box.
    _C.MODEL.FCOS.TWO_STEP.REFINE_LOSS_WEIGHT = Weight(1.0)
    # Predict the final box as a difference to the initial one.
    _C.MODEL.FCOS.TWO_STEP.RESIDUAL = False
