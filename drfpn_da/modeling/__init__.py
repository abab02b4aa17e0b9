"""Models: importing this registers them in detectron2's registries."""

from .adaptation import adapt
from .backbone import DRFPN, DRFPNNeck, LastLevelP6P7, MobileNetV2, TimmBackbone
from .dense_heads import SlenderFCOSHead
from .depth import (
    DepthDecoder,
    DepthStudent,
    PoseNetwork,
    SelfSupervisedDepth,
    UNetDecoder,
    ViewSynthesis,
)
from .feature_taps import FeatureTaps, Recording
from .meta_arch import (
    FCOS,
    AdaptiveModel,
    DepthMixSegmentor,
    PatchClassifier,
    SoftLabelClassifier,
)
from .roi_heads import (
    SCNCascadeROIHeads,
    SCNFastRCNNOutputLayers,
    SCNRes5ROIHeads,
    SCNROIHeads,
    find_scn_heads,
)
from .sem_seg import MultiTaskSemSegHead, UNetSemSegHead
from .sliding_window import SlidingWindow
from .teacher import MeanTeacher

__all__ = [
    "AdaptiveModel",
    "adapt",
    "DepthMixSegmentor",
    "DRFPN",
    "FCOS",
    "FeatureTaps",
    "MeanTeacher",
    "SlidingWindow",
    "Recording",
    "PatchClassifier",
    "SoftLabelClassifier",
    "DRFPNNeck",
    "LastLevelP6P7",
    "MobileNetV2",
    "TimmBackbone",
    "SlenderFCOSHead",
    "SCNCascadeROIHeads",
    "SCNFastRCNNOutputLayers",
    "SCNROIHeads",
    "SCNRes5ROIHeads",
    "find_scn_heads",
    "DepthDecoder",
    "DepthStudent",
    "PoseNetwork",
    "SelfSupervisedDepth",
    "UNetDecoder",
    "ViewSynthesis",
    "MultiTaskSemSegHead",
    "UNetSemSegHead",
]
