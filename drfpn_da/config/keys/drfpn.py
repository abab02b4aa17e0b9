"""Keys of DRFPN."""

from __future__ import annotations

from detectron2.modeling import BACKBONE_REGISTRY

from ..rules import Choice, Count, Items, Names, Node, PositiveCount, Registered, norm


def add_keys(_C: Node) -> None:
    """Add the keys to a tree that has detectron2's top nodes."""
    # ---------------------------------------------------------------------------- #
    # DRFPN: feature pyramid with dual refinement (arXiv 2012.01733)
    # ---------------------------------------------------------------------------- #
    _C.MODEL.DRFPN = Node()
    # Registered backbone that produces the maps of IN_FEATURES: build_resnet_backbone,
    # build_mobilenetv2_backbone, build_timm_backbone, or any other name in BACKBONE_REGISTRY.
    # Read by build_drfpn_backbone only.
    _C.MODEL.DRFPN.BODY = Registered("build_resnet_backbone", BACKBONE_REGISTRY)
    # Bottom-up features that enter the pyramid, from high to low resolution. Empty:
    # MODEL.FPN.IN_FEATURES.
    _C.MODEL.DRFPN.IN_FEATURES = Names([])
    # Channels of every pyramid level. 0: MODEL.FPN.OUT_CHANNELS.
    _C.MODEL.DRFPN.OUT_CHANNELS = Count(0)
    # Norm of lateral, output, downsample and pa_output convolutions ("" = none, as in the paper).
    _C.MODEL.DRFPN.NORM = norm("")
    # Extra levels on top, read by build_drfpn_backbone only: "maxpool" (R-CNN), "p6p7_on_input"
    # (RetinaNet: from the last bottom-up map), "p6p7_on_output" (FCOS: from the last refined map),
    # "none".
    _C.MODEL.DRFPN.TOP_BLOCK = Choice("maxpool", "p6p7_on_input", "p6p7_on_output", "none")
    # ReLU between p6 and p7 (detectron2's LastLevelP6P7 has it; the authors' RetinaNet has not,
    # which AUTHORS_COMPAT restores with "p6p7_on_input").
    _C.MODEL.DRFPN.TOP_RELU = True
    # Bottom-up path augmentation: p(l+1) receives a strided convolution of p(l). Without it and
    # without SRB, CRB and PPM the module is detectron2's FPN; with it alone it is PAFPN.
    _C.MODEL.DRFPN.BOTTOM_UP_PATH = True
    # How training starts: "identity" (every refinement begins as what FPN does in its place),
    # "c2_xavier" (random, as detectron2's FPN) or "xavier" (random, as the authors).
    _C.MODEL.DRFPN.INIT = Choice("identity", "c2_xavier", "xavier")
    # One switch that restores every choice of the authors' code (and overrides the keys below it
    # that differ): sampling grid, zero padding, unbounded weights, BatchNorm in the CRB, Xavier
    # initialisation, no ReLU between p6 and p7 on the last bottom-up map, means over the padding
    # of a batch too.
    _C.MODEL.DRFPN.AUTHORS_COMPAT = False

    # Pyramid pooling on the top bottom-up map, in place of its lateral convolution.
    _C.MODEL.DRFPN.PPM = Node()
    _C.MODEL.DRFPN.PPM.ENABLED = True
    # Output sizes of the adaptive average pools.
    _C.MODEL.DRFPN.PPM.SIZES = Items([1, 2, 3, 6], PositiveCount(), least=1)
    # Norm of the convolutions of the pooling block.
    _C.MODEL.DRFPN.PPM.NORM = norm("")

    # Spatial refinement block: warps the coarse map before it is added to the finer one.
    _C.MODEL.DRFPN.SRB = Node()
    _C.MODEL.DRFPN.SRB.ENABLED = True
    # Inner width is OUT_CHANNELS // REDUCTION.
    _C.MODEL.DRFPN.SRB.REDUCTION = PositiveCount(2)
    # True: sampling grid whose zero offset is the identity (pixel centres). False: the authors'
    # linspace grid.
    _C.MODEL.DRFPN.SRB.ALIGN_GRID = True
    # What is sampled outside the map: "border" or "zeros".
    _C.MODEL.DRFPN.SRB.PADDING_MODE = Choice("border", "zeros")
    # Activation of the sampling weight: "tanh", "sigmoid" or "none" (the authors'; unbounded, it
    # has made training diverge at a rate that FPN stands).
    _C.MODEL.DRFPN.SRB.WEIGHT_ACT = Choice("tanh", "sigmoid", "none")

    # Channel refinement block: gates the coarse map by the finer one on the bottom-up path.
    _C.MODEL.DRFPN.CRB = Node()
    _C.MODEL.DRFPN.CRB.ENABLED = True
    # Norm after the 3x3 convolution: any name of detectron2's get_norm.
    _C.MODEL.DRFPN.CRB.NORM = norm("GN")
    # Norm of the 1x1 gate, which sees one value per channel: "GN", "", "BN", ...
    _C.MODEL.DRFPN.CRB.GATE_NORM = norm("")
    # Activation of the gate: "sigmoid" or "relu" (the authors').
    _C.MODEL.DRFPN.CRB.GATE_ACT = Choice("sigmoid", "relu")
    # Add the unrefined coarse map to the refined one, which keeps a direct path from the backbone.
    _C.MODEL.DRFPN.CRB.RESIDUAL = True
