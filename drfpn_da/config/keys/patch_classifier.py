"""Keys of whole-picture classification and of its soft labels."""

from __future__ import annotations

from ..rules import (
    Count,
    Items,
    Iterations,
    Node,
    Number,
    OpenShare,
    PositiveCount,
    Share,
    Weight,
    color_jitter,
    image_size,
    norm,
)


def add_keys(_C: Node) -> None:
    """Add the keys to a tree that has detectron2's top nodes."""
    # ---------------------------------------------------------------------------- #
    # Classification of pictures or crops: MODEL.META_ARCHITECTURE "PatchClassifier", and
    # "SoftLabelClassifier" (Arazo et al., arXiv 1908.02983), which also learns from pictures of
    # DATASETS.TRAIN beyond DATASETS.LABELLED, or of DATASETS.TARGET, without their labels.
    # ---------------------------------------------------------------------------- #
    _C.MODEL.PATCH_CLASSIFIER = Node()
    # Classes a picture or crop is told apart into.
    _C.MODEL.PATCH_CLASSIFIER.NUM_CLASSES = Number(10, low=2, whole=True)
    # Dropout before the last layer (0.1 in the paper).
    _C.MODEL.PATCH_CLASSIFIER.DROPOUT = OpenShare(0.0)

    # Backbone "build_small_resnet_backbone": ResNet for pictures of about 32x32 (1512.03385, 4.2).
    _C.MODEL.SMALL_RESNET = Node()
    # Channels of the stages "res2" (stride 1), "res3" (2), ...
    _C.MODEL.SMALL_RESNET.CHANNELS = Items([16, 32, 64], PositiveCount(), least=1)
    # Blocks of two convolutions in each stage.
    _C.MODEL.SMALL_RESNET.BLOCKS = PositiveCount(1)
    # Normalisation layer, by detectron2's names.
    _C.MODEL.SMALL_RESNET.NORM = norm("BN")

    _C.MODEL.SOFT_LABELS = Node()
    # First train this many iterations on labels only; then all other pictures are labelled at once.
    _C.MODEL.SOFT_LABELS.WARMUP_ITERS = Iterations(0)
    # Labelled pictures in each batch of each process (16 of 100 in the paper). 0: no safeguard,
    # batches are drawn from labelled and other pictures alike.
    _C.MODEL.SOFT_LABELS.LABELLED_PER_BATCH = Count(16)
    # Mixup of pictures and soft labels: lambda from Beta(alpha, alpha). 4 in the paper, 1 in the
    # released code; 0: off.
    _C.MODEL.SOFT_LABELS.MIXUP_ALPHA = Weight(4.0)
    # Weight of the divergence of the batch's mean prediction from the class prior (R_A).
    _C.MODEL.SOFT_LABELS.PRIOR_WEIGHT = Weight(0.8)
    # Frequencies of the classes, summing to 1. []: all the same, as in the paper.
    _C.MODEL.SOFT_LABELS.PRIOR = Items([], Share())
    # Weight of the mean entropy of predictions (R_H).
    _C.MODEL.SOFT_LABELS.ENTROPY_WEIGHT = Weight(0.4)
    # Parity: pictures that an epoch left out get an all-zero label, as in the released code.
    # False: they keep the label they had.
    _C.MODEL.SOFT_LABELS.ZERO_UNVISITED = False
    # Parity: new labels come from the statistics of the whole batch, labelled pictures included, as
    # in the released code. False: from the running statistics of evaluation.
    _C.MODEL.SOFT_LABELS.BATCH_STATISTICS = False
    # Compare the soft labels with the true ones after each epoch, for a study: the labels of the
    # other pictures are read, and logged as numbers; the model never gets them.
    _C.MODEL.SOFT_LABELS.MONITOR = False

    _C.INPUT.PATCH = Node()
    # (Height, width) to which pictures are resized.
    _C.INPUT.PATCH.SIZE = image_size([32, 32])
    # In training, the picture is moved by up to so many pixels, its border mirrored.
    _C.INPUT.PATCH.PAD = Count(4)
    # Largest relative change of brightness, contrast and saturation, and of hue in parts of the
    # circle (at most 0.5), in training. []: none.
    _C.INPUT.PATCH.COLOR_JITTER = color_jitter([], empty=True)
