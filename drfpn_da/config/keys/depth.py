"""Keys of depth from video."""

from __future__ import annotations

from ..rules import (
    Choice,
    Items,
    Iterations,
    Name,
    Node,
    Number,
    Positive,
    PositiveCount,
    Row,
    Share,
    Weight,
    color_jitter,
    norm,
)


def add_keys(_C: Node) -> None:
    """Add the keys to a tree that has detectron2's top nodes."""
    # ---------------------------------------------------------------------------- #
    # Depth from video (monodepth2, arXiv 1806.01260; arXiv 2012.10782, section 3.1), used by
    # MODEL.META_ARCHITECTURE "SelfSupervisedDepth"
    # ---------------------------------------------------------------------------- #
    _C.MODEL.DEPTH = Node()
    # Features of the backbone for the decoder; strides are powers of two.
    _C.MODEL.DEPTH.IN_FEATURES = Items(
        ["res2", "res3", "res4", "res5"], Name(), least=1, different=True
    )
    # Channels of the decoder's stages with stride 1, 2, 4, ...; coarser ones have the last number.
    _C.MODEL.DEPTH.CHANNELS = Items([16, 32, 64, 128, 256], PositiveCount(), least=1)
    # Disparities that are trained, at strides 1, 2, 4, ...
    _C.MODEL.DEPTH.SCALES = PositiveCount(4)
    # Norm of the decoder's convolutions; "": none.
    _C.MODEL.DEPTH.NORM = norm("")
    # What the decoder's convolutions see around a map: "replicate" (its border) or "reflect" (the
    # cells next to the border, as published; the coarsest map then needs two rows and columns).
    _C.MODEL.DEPTH.PADDING = Choice("replicate", "reflect")
    _C.MODEL.DEPTH.ASPP = Node()
    # Begin the decoder with an ASPP of three dilations, for example [6, 12, 18]; []: without.
    _C.MODEL.DEPTH.ASPP.DILATIONS = Row(
        [], {word: PositiveCount() for word in ("a", "b", "c")}, empty=True
    )
    # The published ASPP: BatchNorm and ReLU, of the last of IN_FEATURES alone; other features of
    # its stride join after it, by a convolution. It trains on two pictures a process at least.
    # False: MODEL.DEPTH.NORM and ELU, of all features of the largest stride.
    _C.MODEL.DEPTH.ASPP.PUBLISHED = False
    # Depth of disparity 1; the unit is unknown to a network that sees only video.
    _C.MODEL.DEPTH.MIN_DEPTH = Positive(0.1)
    # Depth of disparity 0.
    _C.MODEL.DEPTH.MAX_DEPTH = Positive(100.0)
    # Weight of the edge-aware smoothness at stride 1, halved at each coarser scale.
    _C.MODEL.DEPTH.SMOOTHNESS_WEIGHT = Weight(0.001)
    # Leave out pixels that look the same without warping (a camera at rest, cars driving ahead).
    _C.MODEL.DEPTH.AUTO_MASK = True
    # Train decoder and pose network alone (first phase of the paper).
    _C.MODEL.DEPTH.FREEZE_BACKBONE = False
    # Weight of the distance of the coarsest features from those of the backbone as it was loaded
    # (0.01 in the paper). It grows with the square root of batch and picture size. 0: off.
    _C.MODEL.DEPTH.FEATURE_DISTANCE_WEIGHT = Weight(0.0)
    _C.MODEL.DEPTH.POSE = Node()
    # Body of the pose network: "conv" (small), "resnet18", or "resnet18_decoder" (published: the
    # same with a decoder of four convolutions in place of one).
    _C.MODEL.DEPTH.POSE.BODY = Choice("conv", "resnet18", "resnet18_decoder")
    # Channels of the strided convolutions of "conv".
    _C.MODEL.DEPTH.POSE.CHANNELS = Items([16, 32, 64, 128, 128], PositiveCount(), least=1)

    # Weight of the losses where depth trains beside segmentation, MODEL.ADAPT.OBJECTIVES
    # "SelfSupervisedDepth".
    _C.MODEL.DEPTH.WEIGHT = Weight(1.0)
    # No depth losses there before this iteration.
    _C.MODEL.DEPTH.START_ITER = Iterations(0)
    # Learn depth there from labelled pictures, too (published); those of DATASETS.TRAIN without
    # neighbours or intrinsics stay for their labels. It costs a pass of the network.
    _C.MODEL.DEPTH.ON_LABELLED = False

    # Share of the rows, from above, whose error counts where MODEL.META_ARCHITECTURE "DepthStudent"
    # learns the disparity of files (INPUT.DISPARITY.ROOT).
    _C.MODEL.DEPTH.STUDENT_ROWS = Number(0.9, low=0, high=1, above=True)

    # Segmentation with the depth decoder's U-Net (MODEL.SEM_SEG_HEAD.NAME "UNetSemSegHead"), or
    # with a depth decoder beside it ("MultiTaskSemSegHead"); both read MODEL.DEPTH.
    _C.MODEL.MULTI_TASK = Node()
    # Stride of the decoder stage after which the two decoders exchange features.
    _C.MODEL.MULTI_TASK.EXCHANGE_STRIDE = Choice(4, 2, 8, 16, 32)

    # Optimiser of any model: "SGD" (detectron2's) or "Adam".
    _C.SOLVER.OPTIMIZER = Choice("SGD", "Adam")
    # Learning rates by the beginning of a parameter's name, as factors of BASE_LR, for example
    # [["backbone.", 0.1]]; the first that fits counts.
    _C.SOLVER.LR_FACTORS = Items(
        [], Row(fields={"beginning of a name": Name(), "factor": Weight()})
    )

    _C.INPUT.SEQUENCE = Node()
    # Largest relative change of brightness, contrast and saturation, and of hue in parts of the
    # circle, the same for all frames of a sample. The networks see it, the losses do not.
    _C.INPUT.SEQUENCE.COLOR_JITTER = color_jitter([0.2, 0.2, 0.2, 0.1])
    # Probability of the colour jitter.
    _C.INPUT.SEQUENCE.COLOR_JITTER_PROB = Share(0.5)
