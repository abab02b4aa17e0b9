"""Keys of FCOS."""

from detectron2.config import CfgNode as CN


def add_keys(_C: CN) -> None:
    """Add the keys to a tree that has detectron2's top nodes."""
    # ---------------------------------------------------------------------------- #
    # FCOS (arXiv 1904.01355): detectron2's class, reachable from YAML as META_ARCHITECTURE "FCOS"
    # ---------------------------------------------------------------------------- #
    _C.MODEL.FCOS = CN()
    # Foreground classes.
    _C.MODEL.FCOS.NUM_CLASSES = 80
    # Pyramid levels that the head sees, from high to low resolution.
    _C.MODEL.FCOS.IN_FEATURES = ["p3", "p4", "p5", "p6", "p7"]
    # Convolutions in each tower of the head.
    _C.MODEL.FCOS.NUM_CONVS = 4
    # Norm of the towers: any name of detectron2's get_norm.
    _C.MODEL.FCOS.NORM = "GN"
    # Radius, in strides, of the centre region whose points are positive.
    _C.MODEL.FCOS.CENTER_SAMPLING_RADIUS = 1.5
    # Focal loss: weight of the positives (the negatives have one minus it).
    _C.MODEL.FCOS.FOCAL_LOSS_ALPHA = 0.25
    # Focal loss: exponent that plays down easy points.
    _C.MODEL.FCOS.FOCAL_LOSS_GAMMA = 2.0
    # Start value of the foreground probability.
    _C.MODEL.FCOS.PRIOR_PROB = 0.01
    # Inference: boxes below this score are dropped.
    _C.MODEL.FCOS.SCORE_THRESH_TEST = 0.2
    # Inference: candidates per level before NMS.
    _C.MODEL.FCOS.TOPK_CANDIDATES_TEST = 1000
    # Inference: IoU above which NMS drops the box with the lower score.
    _C.MODEL.FCOS.NMS_THRESH_TEST = 0.6

    # Slender objects (arXiv 2011.08529); with the defaults below FCOS is detectron2's bit for bit.
    # Target of the centerness: "standard" or "slender", whose power is multiplied by the short over
    # the long side of the box, so that slender boxes keep points off their middle.
    _C.MODEL.FCOS.CENTERNESS = "standard"
    # Weight the box losses by the centerness target, divided by its sum.
    _C.MODEL.FCOS.CENTERNESS_WEIGHTED_LOSS = False
    # Deformable last convolution of both towers, with offsets from the localisation feature:
    # "none", "unsupervised" (shared by the towers), "split" (one set each), "supervised" (two
    # corners of the initial box and seven learnt samples; needs TWO_STEP).
    _C.MODEL.FCOS.ADAPTATION = "none"
    # Share of the gradient that the initial box gets through the samples it places ("supervised").
    _C.MODEL.FCOS.OFFSET_GRADIENT = 0.1

    # An initial box before the last convolution, and the final one after it.
    _C.MODEL.FCOS.TWO_STEP = CN()
    _C.MODEL.FCOS.TWO_STEP.ENABLED = False
    # Weight of the box loss of the initial box.
    _C.MODEL.FCOS.TWO_STEP.INIT_LOSS_WEIGHT = 0.5
    # Weight of the box loss of the final box.
    _C.MODEL.FCOS.TWO_STEP.REFINE_LOSS_WEIGHT = 1.0
    # Predict the final box as a difference to the initial one.
    _C.MODEL.FCOS.TWO_STEP.RESIDUAL = False
