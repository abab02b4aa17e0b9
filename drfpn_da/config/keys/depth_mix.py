"""Keys of the objective DepthMix, of disparity files and of labelled subsets."""

from __future__ import annotations

from ..rules import (
    Choice,
    Count,
    Iterations,
    Node,
    Number,
    Share,
    Text,
    Weight,
    blur_sigma,
    color_jitter,
)


def add_keys(_C: Node) -> None:
    """Add the keys to a tree that has detectron2's top nodes."""
    # ---------------------------------------------------------------------------- #
    # DepthMix: a mean teacher labels pictures, pairs of which are mixed by depth, and the student
    # learns the mix. Read when MODEL.ADAPT.OBJECTIVES has "DepthMix", or MODEL.META_ARCHITECTURE is
    # "DepthMixSegmentor". Published: MODEL.TEACHER.DECAY 0.99 and the values here, but USE_LABELS
    # True, STRONG.COLOR_RULE "published" and STRONG.GATE "batch".
    # ---------------------------------------------------------------------------- #
    _C.MODEL.DEPTH_MIX = Node()
    # Weight of the loss.
    _C.MODEL.DEPTH_MIX.WEIGHT = Weight(1.0)
    # No mixing before this iteration (published: 0). A new head can be sure of what is noise: with
    # few labels let it learn them first. Set MODEL.TEACHER.START_ITER to the same.
    _C.MODEL.DEPTH_MIX.START_ITER = Iterations(0)
    # Mix pictures of DATASETS.TARGET that are labelled in DATASETS.TRAIN (the part that
    # DATASETS.LABELLED leaves) with their own labels (published). False: with the teacher's.
    _C.MODEL.DEPTH_MIX.USE_LABELS = False
    # What stays of a picture: "depth" (DepthMix: what is nearer), "class" (ClassMix: half of the
    # classes), "cut" (CutMix: all but a rectangle) or "none" (all: a mean teacher without mixing).
    _C.MODEL.DEPTH_MIX.MASK = Choice("depth", "class", "cut", "none")
    # Whose disparity: "file" (INPUT.DISPARITY), or "student" (the segmentor's own at this step, of
    # a head with a depth decoder).
    _C.MODEL.DEPTH_MIX.DEPTH = Choice("file", "student")
    # "normalized_disparity": each picture's disparity is stretched to [0, 1], that of files before
    # the picture is cropped, as published; "disparity": compared as stored, for one unit in all
    # pictures. MARGIN is in that unit.
    _C.MODEL.DEPTH_MIX.COMPARE = Choice("normalized_disparity", "disparity")
    # By so much a pixel may be farther away than the other picture's and stay nevertheless.
    _C.MODEL.DEPTH_MIX.MARGIN = Weight(0.03)
    # Pixels of smaller disparity never stay.
    _C.MODEL.DEPTH_MIX.THRESHOLD = Number(0.0)
    # Weights of pixels: "batch_share" (the share of confident pixels of the batch, for all),
    # "per_pixel" (1 for confident pixels, 0 for others) or "off" (1).
    _C.MODEL.DEPTH_MIX.CONFIDENCE_RULE = Choice("batch_share", "per_pixel", "off")
    # Pixels with at least this largest class probability are confident.
    _C.MODEL.DEPTH_MIX.CONFIDENCE = Share(0.968)
    # "hard": learn the teacher's most probable class; "soft": its probabilities.
    _C.MODEL.DEPTH_MIX.TARGET = Choice("hard", "soft")
    # Mean of the loss over "all" pixels of the pictures (published) or the "weighted" ones, whose
    # weight is not 0.
    _C.MODEL.DEPTH_MIX.DENOMINATOR = Choice("all", "weighted")

    # Change of colours and sharpness of mixed pictures; labels never change.
    _C.MODEL.DEPTH_MIX.STRONG = Node()
    # Largest relative change of brightness, contrast and saturation, and of hue in parts of the
    # circle.
    _C.MODEL.DEPTH_MIX.STRONG.COLOR_JITTER = color_jitter([0.25, 0.25, 0.25, 0.25])
    # Probability of the colour jitter.
    _C.MODEL.DEPTH_MIX.STRONG.COLOR_JITTER_PROB = Share(0.8)
    # How colours change: "relative" (torchvision's brightness, contrast about the mean, saturation,
    # hue, in this order) or "published" (brightness is added, contrast multiplies, saturation is
    # that of HSV, in an order drawn for each batch; a picture gets lighter or darker by far more).
    _C.MODEL.DEPTH_MIX.STRONG.COLOR_RULE = Choice("relative", "published")
    # Whether jitter and blur take place, and how strong the blur is, is drawn for each "picture" or
    # once for the "batch" (published).
    _C.MODEL.DEPTH_MIX.STRONG.GATE = Choice("picture", "batch")
    # Range of the Gaussian blur's standard deviation in pixels.
    _C.MODEL.DEPTH_MIX.STRONG.BLUR_SIGMA = blur_sigma([0.15, 1.15])
    # Probability of the blur.
    _C.MODEL.DEPTH_MIX.STRONG.BLUR_PROB = Share(0.5)

    _C.INPUT.DISPARITY = Node()
    # Read a disparity file for each target picture: the record's "disparity_file_name", or a PNG or
    # NPY of the picture's name below ROOT. MASK "depth" needs it.
    _C.INPUT.DISPARITY.ENABLED = False
    # Folder of disparity files, as drfpn-da depth writes it; "": the records' own files.
    _C.INPUT.DISPARITY.ROOT = Text("")

    _C.DATASETS.LABELLED = Node()
    # Use the labels of so many records of DATASETS.TRAIN only (0: all): the first of a permutation
    # by SEED, so that larger subsets contain smaller ones.
    _C.DATASETS.LABELLED.COUNT = Count(0)
    # Of the permutation.
    _C.DATASETS.LABELLED.SEED = Number(0, low=0, high=2**32 - 1, whole=True)
    # Those whose pictures are named in a file instead: lines of text, or what
    # drfpn-da select writes, of which COUNT says how many (0: all).
    _C.DATASETS.LABELLED.FILE = Text("")
