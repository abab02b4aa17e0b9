"""Conversion of the DRFPN authors' mmdetection checkpoints."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

_SRB = {
    "down_l": "reduce_low",
    "down_h": "reduce_high",
    "deconv": "deconv",
    "offset_make": "offset",
    "spatial_weight.0": "weight_reduce",
    "spatial_weight.2": "weight_predict",
}
_CRB = {"supervise_conv1x1": "gate", "input_conv3x3": "input"}


def convert_mmdet_drfpn(
    state_dict: Mapping[str, Tensor], start_stage: int = 2
) -> dict[str, Tensor]:
    """Rename ResNet body and neck of an authors' checkpoint to the names used here.

    The result belongs to a model built with ``AUTHORS_COMPAT``, as the key prefix ``backbone.`` of
    a detectron2 detector. Heads are left out: mmdetection orders anchors otherwise.

    Args:
        state_dict: the checkpoint's "state_dict", keys ``backbone.*`` and ``neck.*``.
        start_stage: 2 if the neck starts at C2 (R-CNN), 3 if at C3 (RetinaNet, FCOS).

    Raises:
        ValueError: a key of body or neck that is not known, or no neck at all.
    """
    converted: dict[str, Tensor] = {}
    lateral_count = len(
        {k.split(".")[2] for k in state_dict if k.startswith("neck.lateral_convs.")}
    )
    if lateral_count == 0:
        raise ValueError("no key 'neck.lateral_convs.*': not a DRFPN checkpoint of the authors")
    top = start_stage + lateral_count
    for key, value in state_dict.items():
        if key.startswith("neck."):
            converted["backbone." + _rename_neck(key[len("neck.") :], start_stage, top)] = value
        elif key.startswith("backbone."):
            converted["backbone.bottom_up." + _rename_resnet(key[len("backbone.") :])] = value
    return converted


def _rename_neck(key: str, start: int, top: int) -> str:
    part, _, rest = key.partition(".")
    if part == "PPM_head":
        rest = re.sub(r"^stages\.(\d+)\.1\.", r"pool\1.", rest)
        return "ppm." + rest.replace("reduceDim_conv.", "reduce.")
    index, _, rest = rest.partition(".")
    level = start + int(index or 0)
    plain = rest[len("conv.") :] if rest.startswith("conv.") else rest
    if part == "lateral_convs":
        return f"fpn_lateral{level}.{plain}"
    if part == "fpn_convs":
        return f"fpn_output{level}.{plain}" if level <= top else f"top_block.p{level}.{plain}"
    if part == "downsample_convs":
        return f"downsample{level + 1}.{plain}"
    if part == "pafpn_convs":
        return f"pa_output{level + 1}.{plain}"
    if part == "srb_list":
        for theirs, ours in _SRB.items():
            if rest.startswith(theirs + "."):
                return f"srb{level}.{ours}{rest[len(theirs) :]}"
    if part == "crb_list":
        for theirs, ours in _CRB.items():
            if rest.startswith(theirs + "."):
                inner = rest[len(theirs) + 1 :].replace("conv.", "").replace("bn.", "norm.")
                return f"crb{level + 1}.{ours}.{inner}"
    raise ValueError(f"unknown key 'neck.{key}' in an authors' DRFPN checkpoint")


def _rename_resnet(key: str) -> str:
    """Mmdetection's (torchvision's) ResNet names to detectron2's."""
    stem = re.match(r"^(conv|bn)1\.(.+)$", key)
    if stem:
        return "stem.conv1." + ("norm." if stem[1] == "bn" else "") + stem[2]
    match = re.match(r"^layer(\d)\.(\d+)\.(conv\d|bn\d|downsample\.\d)\.(.+)$", key)
    if not match:
        raise ValueError(
            f"unknown key 'backbone.{key}': only ResNet and ResNeXt bodies are converted"
        )
    stage, block, layer, tensor = match.groups()
    prefix = f"res{int(stage) + 1}.{block}."
    if layer.startswith("downsample"):
        return prefix + "shortcut." + ("norm." if layer.endswith("1") else "") + tensor
    return prefix + f"conv{layer[-1]}." + ("norm." if layer.startswith("bn") else "") + tensor
