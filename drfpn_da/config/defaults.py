"""Every configuration key that drfpn_da adds to detectron2, each with a comment above it.

The defaults leave a stock detectron2 config unchanged: nothing here acts until a config asks for it
(usually by naming a registered part, for example ``MODEL.BACKBONE.NAME``).
``docs/configs.md`` is generated from this file.
"""

from detectron2.config import CfgNode as CN


def get_defaults() -> CN:
    """Return a fresh tree that holds only the keys of drfpn_da."""
    _C = CN()
    _C.MODEL = CN()

    # ---------------------------------------------------------------------------- #
    # DRFPN: feature pyramid with dual refinement (arXiv 2012.01733)
    # ---------------------------------------------------------------------------- #
    _C.MODEL.DRFPN = CN()
    # Registered backbone that produces the maps of IN_FEATURES: build_resnet_backbone,
    # build_mobilenetv2_backbone, build_timm_backbone, or any other name in BACKBONE_REGISTRY.
    # Read by build_drfpn_backbone only.
    _C.MODEL.DRFPN.BODY = "build_resnet_backbone"
    # Bottom-up features that enter the pyramid, from high to low resolution. Empty:
    # MODEL.FPN.IN_FEATURES.
    _C.MODEL.DRFPN.IN_FEATURES = []
    # Channels of every pyramid level. 0: MODEL.FPN.OUT_CHANNELS.
    _C.MODEL.DRFPN.OUT_CHANNELS = 0
    # Norm of lateral, output, downsample and pa_output convolutions ("" = none, as in the paper).
    _C.MODEL.DRFPN.NORM = ""
    # Extra levels on top, read by build_drfpn_backbone only: "maxpool" (R-CNN), "p6p7_on_input"
    # (RetinaNet: from the last bottom-up map), "p6p7_on_output" (FCOS: from the last refined map),
    # "none".
    _C.MODEL.DRFPN.TOP_BLOCK = "maxpool"
    # ReLU between p6 and p7 (detectron2's LastLevelP6P7 has it; the authors' RetinaNet has not).
    _C.MODEL.DRFPN.TOP_RELU = True
    # Bottom-up path augmentation: p(l+1) receives a strided convolution of p(l). Without it and
    # without SRB, CRB and PPM the module is detectron2's FPN; with it alone it is PAFPN.
    _C.MODEL.DRFPN.BOTTOM_UP_PATH = True
    # How training starts: "identity" (every refinement begins as what FPN does in its place),
    # "c2_xavier" (random, as detectron2's FPN) or "xavier" (random, as the authors).
    _C.MODEL.DRFPN.INIT = "identity"
    # One switch that restores every choice of the authors' code (and overrides the keys below it
    # that differ): sampling grid, zero padding, unbounded weights, BatchNorm in the CRB, Xavier
    # initialisation.
    _C.MODEL.DRFPN.AUTHORS_COMPAT = False

    # Pyramid pooling on the top bottom-up map, in place of its lateral convolution.
    _C.MODEL.DRFPN.PPM = CN()
    _C.MODEL.DRFPN.PPM.ENABLED = True
    # Output sizes of the adaptive average pools.
    _C.MODEL.DRFPN.PPM.SIZES = [1, 2, 3, 6]
    # Norm of the convolutions of the pooling block.
    _C.MODEL.DRFPN.PPM.NORM = ""

    # Spatial refinement block: warps the coarse map before it is added to the finer one.
    _C.MODEL.DRFPN.SRB = CN()
    _C.MODEL.DRFPN.SRB.ENABLED = True
    # Inner width is OUT_CHANNELS // REDUCTION.
    _C.MODEL.DRFPN.SRB.REDUCTION = 2
    # True: sampling grid whose zero offset is the identity (pixel centres). False: the authors'
    # linspace grid.
    _C.MODEL.DRFPN.SRB.ALIGN_GRID = True
    # What is sampled outside the map: "border" or "zeros".
    _C.MODEL.DRFPN.SRB.PADDING_MODE = "border"
    # Activation of the sampling weight: "tanh", "sigmoid" or "none" (the authors'; unbounded, it
    # has made training diverge at a rate that FPN stands).
    _C.MODEL.DRFPN.SRB.WEIGHT_ACT = "tanh"

    # Channel refinement block: gates the coarse map by the finer one on the bottom-up path.
    _C.MODEL.DRFPN.CRB = CN()
    _C.MODEL.DRFPN.CRB.ENABLED = True
    # Norm after the 3x3 convolution: any name of detectron2's get_norm.
    _C.MODEL.DRFPN.CRB.NORM = "GN"
    # Norm of the 1x1 gate, which sees one value per channel: "GN", "", "BN", ...
    _C.MODEL.DRFPN.CRB.GATE_NORM = ""
    # Activation of the gate: "sigmoid" or "relu" (the authors').
    _C.MODEL.DRFPN.CRB.GATE_ACT = "sigmoid"
    # Add the unrefined coarse map to the refined one, which keeps a direct path from the backbone.
    _C.MODEL.DRFPN.CRB.RESIDUAL = True

    # ---------------------------------------------------------------------------- #
    # Bottom-up networks
    # ---------------------------------------------------------------------------- #
    # torchvision's MobileNetV2 (build_mobilenetv2_backbone): res2..res5 at strides 4..32.
    # Its ImageNet weights are RGB: set INPUT.FORMAT, PIXEL_MEAN and PIXEL_STD as the shipped
    # configs do.
    _C.MODEL.MOBILENETV2 = CN()
    _C.MODEL.MOBILENETV2.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    # Norm of the body: "FrozenBN", "BN" or "SyncBN".
    _C.MODEL.MOBILENETV2.NORM = "FrozenBN"

    # Any timm model with features_only support (build_timm_backbone).
    _C.MODEL.TIMM = CN()
    # timm's model name, for example "resnet18" or "convnext_tiny".
    _C.MODEL.TIMM.NAME = "resnet18"
    # Load timm's own pretrained weights (downloads them).
    _C.MODEL.TIMM.PRETRAINED = False
    # Names by stride: res2 = 4, res3 = 8, res4 = 16, res5 = 32.
    _C.MODEL.TIMM.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    # Keep every BatchNorm of the body at its running statistics.
    _C.MODEL.TIMM.FREEZE_BN = True

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

    # ---------------------------------------------------------------------------- #
    # Data, training and evaluation
    # ---------------------------------------------------------------------------- #
    _C.DATASETS = CN()
    # Extra COCO-format datasets, each [name, annotation.json, image folder]; --register adds to it.
    _C.DATASETS.REGISTER = []

    _C.SOLVER = CN()
    _C.SOLVER.AMP = CN()
    # Autocast type with SOLVER.AMP.ENABLED: "float16" or "bfloat16". On CPU it is always bfloat16.
    _C.SOLVER.AMP.PRECISION = "float16"

    _C.TEST = CN()
    # Metric that decides model_best.pth, for example "bbox/AP" ("" = keep no best checkpoint).
    _C.TEST.BEST_METRIC = ""
    # Pictures of the first test set drawn with predictions each VIS_PERIOD iterations.
    _C.TEST.VIS_IMAGES = 4
    # COCO evaluation backend: "auto" (fastest that is installed), "pycocotools" or
    # "faster-coco-eval".
    _C.TEST.COCO_BACKEND = "auto"

    # Weights & Biases, beside the ordinary writers.
    _C.WANDB = CN()
    _C.WANDB.ENABLED = False
    # Project that the run belongs to.
    _C.WANDB.PROJECT = "drfpn_da"
    # Run name ("" = the last part of OUTPUT_DIR).
    _C.WANDB.NAME = ""
    return _C
