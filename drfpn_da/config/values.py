"""What each key of drfpn_da may be: the one table from key to rule.

Keys whose default is True or False take no other value, and are not written down.
"""

from __future__ import annotations

from detectron2.modeling import BACKBONE_REGISTRY, META_ARCH_REGISTRY

from ..layers import DOMAIN_DISCRIMINATOR_REGISTRY
from .combinations import lookup
from .defaults import get_defaults
from .rules import Choice, Flag, Items, Number, OrEmpty, Registered, Row, Rule, Text
from .unknown_keys import leaf_keys

TEXT, NAME = Text(), Text(empty=False)
NAMES = Items(NAME, different=True)
COUNT, POSITIVE_COUNT = Number(0, whole=True), Number(1, whole=True)
NUMPY_SEED = Number(0, 2**32 - 1, whole=True)
SINCE_EPOCH = Number(-1, whole=True)
WEIGHT, POSITIVE = Number(0), Number(0, above=True)
SHARE, OPEN_SHARE = Number(0, 1), Number(0, 1, below=True)
INNER_SHARE = Number(0, 1, above=True, below=True)
#: Names of detectron2's ``get_norm``.
NORM = Choice(
    ("", "BN", "SyncBN", "FrozenBN", "GN", "LN", "nnSyncBN", "naiveSyncBN", "naiveSyncBN_N")
)
BODY_NORM = Choice(("FrozenBN", "BN", "SyncBN"))
JITTER = Row(
    (
        ("brightness", WEIGHT),
        ("contrast", WEIGHT),
        ("saturation", WEIGHT),
        ("hue", Number(0, 0.5)),
    )
)
# A kernel is six deviations wide.
_SIGMA = Number(0, 100, above=True)
SIGMAS = Row((("smallest", _SIGMA), ("largest", _SIGMA)), ascending=True)
RECTANGLE = Row(
    (
        ("probability", SHARE),
        ("smallest area", SHARE),
        ("largest area", SHARE),
        ("smallest ratio", POSITIVE),
        ("largest ratio", POSITIVE),
    )
)
BIN = Row((("name", NAME), ("low", Number(0)), ("high", Number(0, infinite=True))))
SIZE = Row((("height", POSITIVE_COUNT), ("width", POSITIVE_COUNT)))
STRIDES = Items(Choice(("res1", "res2", "res3", "res4", "res5")), least=1, different=True)
VGG_LAYERS = tuple(f"conv{block}_{i + 1}" for block in range(1, 6) for i in range(2 + (block > 2)))

_DRFPN: dict[str, Rule] = {
    "BODY": Registered(BACKBONE_REGISTRY),
    "IN_FEATURES": NAMES,
    "OUT_CHANNELS": COUNT,
    "NORM": NORM,
    "TOP_BLOCK": Choice(("maxpool", "p6p7_on_input", "p6p7_on_output", "none")),
    "INIT": Choice(("identity", "c2_xavier", "xavier")),
    "PPM.SIZES": Items(POSITIVE_COUNT, least=1),
    "PPM.NORM": NORM,
    "SRB.REDUCTION": POSITIVE_COUNT,
    "SRB.PADDING_MODE": Choice(("border", "zeros")),
    "SRB.WEIGHT_ACT": Choice(("tanh", "sigmoid", "none")),
    "CRB.NORM": NORM,
    "CRB.GATE_NORM": NORM,
    "CRB.GATE_ACT": Choice(("sigmoid", "relu")),
}
_ADAPT: dict[str, Rule] = {
    "ADAPT.DETECTOR": Registered(META_ARCH_REGISTRY),
    # AdaptiveModel knows the registry.
    "ADAPT.OBJECTIVES": Items(NAME),
    "ADAPT.BASELINE": Choice(("", "source_only", "oracle")),
    "TEACHER.DECAY": OPEN_SHARE,
    "TEACHER.PERIOD": POSITIVE_COUNT,
    "TEACHER.START_ITER": COUNT,
    "TEACHER.EVAL": Choice(("student", "teacher")),
}
_DOMAINS: dict[str, Rule] = {
    "FEATURES": NAMES,
    "WEIGHTS": Items(WEIGHT, least=1),
    "DISCRIMINATOR": Registered(DOMAIN_DISCRIMINATOR_REGISTRY),
    "NORM": NORM,
}
_STRONG_WEAK: dict[str, Rule] = {
    "LOSS_WEIGHT": WEIGHT,
    "START_ITER": COUNT,
    "GRL.COEFFICIENT": WEIGHT,
    "GRL.SCHEDULE": Choice(("constant", "dann")),
    **{f"{part}.{key}": rule for part in ("LOCAL", "GLOBAL") for key, rule in _DOMAINS.items()},
    # How many, the discriminator knows.
    "LOCAL.CHANNELS": Items(POSITIVE_COUNT, least=1),
    "LOCAL.INIT_STD": WEIGHT,
    "GLOBAL.CHANNELS": Items(POSITIVE_COUNT, least=1),
    "GLOBAL.DROPOUT": OPEN_SHARE,
    "GLOBAL.GAMMA": WEIGHT,
    "CONTEXT.FEATURES": NAMES,
    "WARN_AFTER": POSITIVE_COUNT,
}
_PSEUDO_LABEL: dict[str, Rule] = {
    "WEIGHT": WEIGHT,
    "START_ITER": COUNT,
    "RAMP_ITERS": COUNT,
    "THRESHOLD": SHARE,
    "ADAPTIVE.FLOOR": SHARE,
    "ADAPTIVE.MOMENTUM": OPEN_SHARE,
    "BOX_REGRESSION": Choice(("none", "all", "reliable")),
    "LOCALIZATION_LOSSES": NAMES,
    "JITTER.COUNT": Number(2, whole=True),
    "JITTER.SCALE": WEIGHT,
    "JITTER.MAX_SPREAD": WEIGHT,
    "MIXUP_ALPHA": WEIGHT,
    "STORE.PERIOD": COUNT,
    "STORE.STRIDE": POSITIVE_COUNT,
    "PRIOR.WEIGHT": WEIGHT,
    "PRIOR.FREQUENCIES": Items(SHARE),
    "PRIOR.MOMENTUM": OPEN_SHARE,
    "ENTROPY_WEIGHT": WEIGHT,
    "MIN_LABELLED_SHARE": OPEN_SHARE,
    "MONITOR.DATASET": TEXT,
    "MONITOR.PERIOD": COUNT,
}
_CLASSIFIER: dict[str, Rule] = {
    "PATCH_CLASSIFIER.NUM_CLASSES": Number(2, whole=True),
    "PATCH_CLASSIFIER.IN_FEATURE": TEXT,
    "PATCH_CLASSIFIER.DROPOUT": OPEN_SHARE,
    "SMALL_RESNET.CHANNELS": Items(POSITIVE_COUNT, least=1),
    "SMALL_RESNET.BLOCKS": POSITIVE_COUNT,
    "SMALL_RESNET.NORM": NORM,
    "SOFT_LABELS.WARMUP_ITERS": COUNT,
    "SOFT_LABELS.LABELLED_PER_BATCH": COUNT,
    "SOFT_LABELS.MIXUP_ALPHA": WEIGHT,
    "SOFT_LABELS.PRIOR_WEIGHT": WEIGHT,
    "SOFT_LABELS.PRIOR": Items(SHARE),
    "SOFT_LABELS.ENTROPY_WEIGHT": WEIGHT,
}
_SCN: dict[str, Rule] = {
    "ALPHA_ON": Choice(("all", "foreground", "loss")),
    "BETA": INNER_SHARE,
    "MARGIN_1": SHARE,
    "RR_WEIGHT": WEIGHT,
    # Negative: off.
    "GAMMA": Number(-1, 1),
    "SPLIT": Choice(("annotation", "proposal", "image")),
    "SCOPE": Choice(("gpu", "global")),
    "MIN_GROUP": POSITIVE_COUNT,
}
_RELABEL: dict[str, Rule] = {
    "OUTPUT": NAME,
    "JOURNAL": TEXT,
    "START_EPOCH": SINCE_EPOCH,
    "STOP_EPOCH": SINCE_EPOCH,
    "START_FRACTION": SHARE,
    "STOP_FRACTION": SHARE,
    "PERIOD_EPOCHS": SINCE_EPOCH,
    "PERIOD_FRACTION": SHARE,
    "PROBS": Choice(("raw", "scaled")),
    "MIN_IOU": SHARE,
    "SCOPE": Choice(("all", "low")),
    "RANK_BY": Choice(("alpha", "p_gt", "margin")),
    "PRIOR_POWER": SHARE,
    "MARGIN_2": OPEN_SHARE,
    "LEAD_SHARE": SHARE,
    "MIN_VOTES": POSITIVE_COUNT,
    "MIN_AGREE": SHARE,
    "PATIENCE": POSITIVE_COUNT,
    "MAX_FRACTION": SHARE,
    "MAX_TOTAL": SHARE,
    "MAX_CLASS_LOSS": SHARE,
    "CLASSES": NAMES,
    "FORBID": Items(Row((("from", NAME), ("to", NAME)))),
}
_DEPTH: dict[str, Rule] = {
    "IN_FEATURES": Items(NAME, least=1, different=True),
    "CHANNELS": Items(POSITIVE_COUNT, least=1),
    "SCALES": POSITIVE_COUNT,
    "NORM": NORM,
    "ASPP.DILATIONS": OrEmpty(Row(tuple((word, POSITIVE_COUNT) for word in ("a", "b", "c")))),
    "ASPP.DROPOUT": OPEN_SHARE,
    "PADDING": Choice(("replicate", "reflect")),
    "MIN_DEPTH": POSITIVE,
    "MAX_DEPTH": POSITIVE,
    "SSIM_WEIGHT": SHARE,
    "SMOOTHNESS_WEIGHT": WEIGHT,
    "FEATURE_DISTANCE_WEIGHT": WEIGHT,
    "POSE.BODY": Choice(("conv", "resnet18", "resnet18_decoder")),
    "POSE.CHANNELS": Items(POSITIVE_COUNT, least=1),
    "WEIGHT": WEIGHT,
    "START_ITER": COUNT,
    "STUDENT_ROWS": Number(0, 1, above=True),
}
_DEPTH_MIX: dict[str, Rule] = {
    "WEIGHT": WEIGHT,
    "START_ITER": COUNT,
    "MASK": Choice(("depth", "class", "cut", "none")),
    "DEPTH": Choice(("file", "student")),
    "COMPARE": Choice(("normalized_disparity", "disparity")),
    "MARGIN": WEIGHT,
    "THRESHOLD": Number(),
    "CONFIDENCE_RULE": Choice(("batch_share", "per_pixel", "off")),
    "CONFIDENCE": SHARE,
    "TARGET": Choice(("hard", "soft")),
    "DENOMINATOR": Choice(("all", "weighted")),
    "STRONG.COLOR_JITTER": JITTER,
    "STRONG.COLOR_JITTER_PROB": SHARE,
    "STRONG.COLOR_RULE": Choice(("relative", "published")),
    "STRONG.GATE": Choice(("picture", "batch")),
    "STRONG.BLUR_SIGMA": SIGMAS,
    "STRONG.BLUR_PROB": SHARE,
}
_BODIES: dict[str, Rule] = {
    "MOBILENETV2.OUT_FEATURES": STRIDES,
    "MOBILENETV2.NORM": BODY_NORM,
    "VGG16.OUT_FEATURES": Items(Choice(VGG_LAYERS), least=1, different=True),
    "VGG16.DROPOUT": OPEN_SHARE,
    "TIMM.NAME": NAME,
    "TIMM.OUT_FEATURES": STRIDES,
}
_FCOS: dict[str, Rule] = {
    "NUM_CLASSES": POSITIVE_COUNT,
    "IN_FEATURES": Items(NAME, least=1, different=True),
    "NUM_CONVS": POSITIVE_COUNT,
    "NORM": NORM,
    "CENTER_SAMPLING_RADIUS": Number(0, above=True, infinite=True),
    "FOCAL_LOSS_ALPHA": SHARE,
    "FOCAL_LOSS_GAMMA": WEIGHT,
    "PRIOR_PROB": INNER_SHARE,
    "SCORE_THRESH_TEST": SHARE,
    "TOPK_CANDIDATES_TEST": POSITIVE_COUNT,
    "NMS_THRESH_TEST": SHARE,
    "CENTERNESS": Choice(("standard", "slender")),
    "ADAPTATION": Choice(("none", "unsupervised", "split", "supervised")),
    "OFFSET_GRADIENT": SHARE,
    "TWO_STEP.INIT_LOSS_WEIGHT": WEIGHT,
    "TWO_STEP.REFINE_LOSS_WEIGHT": WEIGHT,
}
_DATA: dict[str, Rule] = {
    "DATASETS.REGISTER": Items(
        Row((("name", NAME), ("annotation.json", NAME), ("image folder", NAME)))
    ),
    "DATASETS.REGISTER_IMAGES": Items(Row((("name", NAME), ("image folder", NAME)))),
    "DATASETS.TARGET": NAMES,
    "DATASETS.LABELLED.COUNT": COUNT,
    "DATASETS.LABELLED.SEED": NUMPY_SEED,
    "DATASETS.LABELLED.FILE": TEXT,
    "INPUT.TARGET_VIEWS": Items(NAME, least=1, different=True),
    "INPUT.SOURCE_VIEW": NAME,
    "INPUT.STRONG_VIEW.COLOR_JITTER": JITTER,
    "INPUT.STRONG_VIEW.COLOR_JITTER_PROB": SHARE,
    "INPUT.STRONG_VIEW.GRAYSCALE_PROB": SHARE,
    "INPUT.STRONG_VIEW.BLUR_SIGMA": SIGMAS,
    "INPUT.STRONG_VIEW.BLUR_PROB": SHARE,
    "INPUT.STRONG_VIEW.ERASE": Items(RECTANGLE),
    "INPUT.STRONG_VIEW.MASK.SHARE": SHARE,
    "INPUT.STRONG_VIEW.MASK.SIZE": POSITIVE_COUNT,
    "INPUT.PATCH.SIZE": SIZE,
    "INPUT.PATCH.PAD": COUNT,
    "INPUT.PATCH.COLOR_JITTER": OrEmpty(JITTER),
    "INPUT.SEQUENCE.COLOR_JITTER": JITTER,
    "INPUT.SEQUENCE.COLOR_JITTER_PROB": SHARE,
    "INPUT.DISPARITY.ROOT": TEXT,
}
_TRAINING: dict[str, Rule] = {
    "SOLVER.TARGET_IMS_PER_BATCH": COUNT,
    "SOLVER.ACCUMULATION_STEPS": POSITIVE_COUNT,
    "SOLVER.AMP.PRECISION": Choice(("float16", "bfloat16")),
    "SOLVER.OPTIMIZER": Choice(("SGD", "Adam")),
    "SOLVER.LR_FACTORS": Items(Row((("beginning of a name", NAME), ("factor", WEIGHT)))),
    "TEST.BEST_METRIC": TEXT,
    "TEST.VIS_IMAGES": COUNT,
    "TEST.COCO_BACKEND": Choice(("auto", "pycocotools", "faster-coco-eval")),
    "TEST.SLIDING_WINDOW.SIZE": OrEmpty(SIZE),
    "TEST.SLIDING_WINDOW.OVERLAP": OPEN_SHARE,
    "TEST.LABEL_FREE.SCORE_THRESH": SHARE,
    "TEST.LABEL_FREE.SECOND_OPINION": Choice(("auto", "teacher", "flip", "none")),
    "TEST.SLENDER.BINS": Items(BIN, least=1),
    "TEST.SLENDER.ASPECT_BINS": Items(BIN),
    "WANDB.PROJECT": NAME,
    "WANDB.NAME": TEXT,
}


def _below(prefix: str, rules: dict[str, Rule]) -> dict[str, Rule]:
    return {f"{prefix}.{key}": rule for key, rule in rules.items()}


_DEFAULTS = get_defaults()
#: Full name of every key of drfpn_da -> its rule.
VALUES: dict[str, Rule] = {
    **{key: Flag() for key in leaf_keys(_DEFAULTS) if isinstance(lookup(_DEFAULTS, key), bool)},
    **_below("MODEL.DRFPN", _DRFPN),
    **_below("MODEL", _ADAPT),
    **_below("MODEL.STRONG_WEAK", _STRONG_WEAK),
    **_below("MODEL.PSEUDO_LABEL", _PSEUDO_LABEL),
    **_below("MODEL", _CLASSIFIER),
    **_below("MODEL.ROI_BOX_HEAD.SCN", _SCN),
    **_below("SCN_RELABEL", _RELABEL),
    **_below("MODEL.DEPTH", _DEPTH),
    "MODEL.MULTI_TASK.EXCHANGE_STRIDE": Choice((2, 4, 8, 16, 32)),
    **_below("MODEL.DEPTH_MIX", _DEPTH_MIX),
    **_below("MODEL", _BODIES),
    **_below("MODEL.FCOS", _FCOS),
    **_DATA,
    **_TRAINING,
}
