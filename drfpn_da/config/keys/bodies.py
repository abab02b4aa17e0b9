"""Keys of the bottom-up networks."""

from __future__ import annotations

from ..rules import Choice, Items, Name, Node, OpenShare, stages

VGG_LAYERS = tuple(f"conv{block}_{i + 1}" for block in range(1, 6) for i in range(2 + (block > 2)))


def add_keys(_C: Node) -> None:
    """Add the keys to a tree that has detectron2's top nodes."""
    # ---------------------------------------------------------------------------- #
    # Bottom-up networks
    # ---------------------------------------------------------------------------- #
    # torchvision's MobileNetV2 (build_mobilenetv2_backbone): res2..res5 at strides 4..32;
    # MODEL.BACKBONE.FREEZE_AT counts as for ResNet (1: before res2, 2: up to res2).
    # Its ImageNet weights are RGB: set INPUT.FORMAT, PIXEL_MEAN and PIXEL_STD as the shipped
    # configs do.
    _C.MODEL.MOBILENETV2 = Node()
    _C.MODEL.MOBILENETV2.OUT_FEATURES = stages(["res2", "res3", "res4", "res5"])
    # Norm of the body: "FrozenBN", "BN" or "SyncBN".
    _C.MODEL.MOBILENETV2.NORM = Choice("FrozenBN", "BN", "SyncBN")

    # VGG16 without its last pooling layer (build_vgg16_backbone). MODEL.BACKBONE.FREEZE_AT is the
    # number of blocks that are not trained. "drfpn-da://vgg16" gives torchvision's ImageNet weights
    # (RGB, as MOBILENETV2); others in its names load by "<file>?matching_heuristics=True".
    _C.MODEL.VGG16 = Node()
    # Outputs of the ReLUs behind convolutions: "conv1_1" to "conv5_3".
    _C.MODEL.VGG16.OUT_FEATURES = Items(["conv5_3"], Choice(*VGG_LAYERS), least=1, different=True)
    # Dropout behind both linear layers of the box head VGG16BoxHead.
    _C.MODEL.VGG16.DROPOUT = OpenShare(0.5)

    # Any timm model with features_only support (build_timm_backbone); all of it is trained,
    # whatever MODEL.BACKBONE.FREEZE_AT says.
    _C.MODEL.TIMM = Node()
    # timm's model name, for example "resnet18" or "convnext_tiny".
    _C.MODEL.TIMM.NAME = Name("resnet18")
    # Load timm's own pretrained weights (downloads them).
    _C.MODEL.TIMM.PRETRAINED = False
    # Names by stride: res2 = 4, res3 = 8, res4 = 16, res5 = 32.
    _C.MODEL.TIMM.OUT_FEATURES = stages(["res2", "res3", "res4", "res5"])
    # Keep every BatchNorm of the body at its running statistics.
    _C.MODEL.TIMM.FREEZE_BN = True
