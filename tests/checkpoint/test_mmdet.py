"""The converter, on a checkpoint with the names of the authors' code."""

import pytest
import torch
from detectron2.modeling import build_backbone

from drfpn_da.checkpoint import convert_mmdet_drfpn
from drfpn_da.config.setup import base_cfg

SRB = {
    "reduce_low": "down_l",
    "reduce_high": "down_h",
    "deconv": "deconv",
    "offset": "offset_make",
    "weight_reduce": "spatial_weight.0",
    "weight_predict": "spatial_weight.2",
}


def authors_name(name, start, top):
    """The inverse of the conversion, written from the authors' module tree."""
    part, rest = name.split(".", 1)
    if part == "bottom_up":
        rest = rest.replace("stem.conv1.norm.", "bn1.").replace("stem.conv1.", "conv1.")
        for i in (2, 3, 4, 5):
            rest = rest.replace(f"res{i}.", f"layer{i - 1}.")
        rest = rest.replace("shortcut.norm.", "downsample.1.").replace("shortcut.", "downsample.0.")
        for i in (1, 2, 3):
            rest = rest.replace(f"conv{i}.norm.", f"bn{i}.")
        return "backbone." + rest
    if part == "ppm":
        rest = rest.replace("reduce.", "reduceDim_conv.")
        for i in range(4):
            rest = rest.replace(f"pool{i}.", f"stages.{i}.1.")
        return "neck.PPM_head." + rest
    if part == "top_block":
        level, tensor = rest.split(".")
        return f"neck.fpn_convs.{int(level[1]) - start}.conv.{tensor}"
    kind, level = part[:-1], int(part[-1])
    if kind == "srb":
        block, tensor = rest.rsplit(".", 1)
        return f"neck.srb_list.{level - start}.{SRB[block]}.{tensor}"
    if kind == "crb":
        rest = rest.replace("gate", "supervise_conv1x1").replace("input", "input_conv3x3")
        head, tensor = rest.rsplit(".", 1)
        inner = head.replace(".norm", ".bn") if "norm" in head else head + ".conv"
        return f"neck.crb_list.{level - 1 - start}.{inner}.{tensor}"
    module, shift = {
        "fpn_lateral": ("lateral_convs", 0),
        "fpn_output": ("fpn_convs", 0),
        "downsample": ("downsample_convs", 1),
        "pa_output": ("pafpn_convs", 1),
    }[kind]
    return f"neck.{module}.{level - shift - start}.conv.{rest}"


@pytest.mark.parametrize(
    "variant, start", [("resnet", 2), ("retinanet_resnet", 3), ("fcos_resnet", 3)]
)
def test_every_tensor_of_body_and_neck_arrives(variant, start):
    cfg = base_cfg()
    features = [f"res{i}" for i in range(start, 6)]
    cfg.MODEL.RESNETS.OUT_FEATURES = cfg.MODEL.FPN.IN_FEATURES = features
    cfg.MODEL.BACKBONE.NAME = f"build_{variant}_drfpn_backbone"
    cfg.MODEL.DRFPN.AUTHORS_COMPAT = True
    cfg.MODEL.FPN.OUT_CHANNELS = 16
    model = build_backbone(cfg)
    state = {name: torch.randn(t.shape) for name, t in model.state_dict().items()}
    theirs = {authors_name(name, start, 5): t for name, t in state.items()}
    theirs["rpn_head.rpn_conv.weight"] = torch.zeros(1)  # heads are left out
    converted = convert_mmdet_drfpn(theirs, start_stage=start)
    assert converted.keys() == {f"backbone.{name}" for name in state}
    assert all(
        converted[f"backbone.{name}"] is t or torch.equal(converted[f"backbone.{name}"], t)
        for name, t in state.items()
    )


def test_foreign_checkpoints_are_refused():
    with pytest.raises(ValueError, match="not a DRFPN checkpoint"):
        convert_mmdet_drfpn({"neck.convs.0.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"neck\.gate_list"):
        convert_mmdet_drfpn(
            {
                "neck.lateral_convs.0.conv.weight": torch.zeros(1),
                "neck.gate_list.0.x": torch.zeros(1),
            }
        )
