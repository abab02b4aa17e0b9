"""Detectors of every kind, small and without pretrained weights, and pictures for them."""

from __future__ import annotations

import torch
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage

from drfpn_da import model_zoo

SIZE = (64, 96)
# kind -> its config in the model zoo.
CONFIGS = {
    "faster_rcnn": "drfpn/streets/faster_rcnn_mobilenetv2_drfpn_mini.yaml",
    "faster_rcnn_fpn": "drfpn/streets/faster_rcnn_mobilenetv2_drfpn_mini.yaml",
    "faster_rcnn_c4": "drfpn/streets/faster_rcnn_mobilenetv2_drfpn_mini.yaml",
    "mask_rcnn": "drfpn/streets/mask_rcnn_mobilenetv2_drfpn_mini.yaml",
    "cascade_mask_rcnn": "drfpn/streets/cascade_mask_rcnn_mobilenetv2_drfpn_mini.yaml",
    "retinanet": "drfpn/streets/retinanet_mobilenetv2_drfpn_mini.yaml",
    "fcos": "drfpn/streets/fcos_mobilenetv2_drfpn_mini.yaml",
    "panoptic_fpn": "drfpn/streets/panoptic_fpn_mobilenetv2_drfpn_mini.yaml",
    "sem_seg": "drfpn/camvid/semseg_mobilenetv2_drfpn.yaml",
}
OPTIONS = {
    "faster_rcnn_fpn": [
        option
        for part in ("PPM.ENABLED", "SRB.ENABLED", "CRB.ENABLED", "BOTTOM_UP_PATH")
        for option in (f"MODEL.DRFPN.{part}", False)
    ],
    "faster_rcnn_c4": [
        *("MODEL.BACKBONE.NAME", "build_resnet_backbone"),
        *("MODEL.BACKBONE.FREEZE_AT", 1),
        *("MODEL.RESNETS.DEPTH", 18),
        *("MODEL.RESNETS.RES2_OUT_CHANNELS", 64),
        *("MODEL.RESNETS.NORM", "BN"),
        *("MODEL.RPN.IN_FEATURES", ["res4"]),
        *("MODEL.ANCHOR_GENERATOR.SIZES", [[16, 32, 64]]),
        *("MODEL.ROI_HEADS.NAME", "Res5ROIHeads"),
        *("MODEL.ROI_HEADS.IN_FEATURES", ["res4"]),
        # The head is a ResNet's last stage, of 512 channels, for every proposal.
        *("MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 16),
        *("MODEL.RPN.POST_NMS_TOPK_TRAIN", 50),
        *("MODEL.RPN.POST_NMS_TOPK_TEST", 50),
    ],
}

#: Options of an adapted detector, small.
ALIGN = (
    *("MODEL.META_ARCHITECTURE", "AdaptiveModel"),
    *("MODEL.ADAPT.OBJECTIVES", ["StrongWeakAlignment"]),
    *("MODEL.STRONG_WEAK.GLOBAL.NORM", "GN"),
    *("MODEL.STRONG_WEAK.GLOBAL.CHANNELS", [64, 64, 64]),
    *("MODEL.STRONG_WEAK.LOCAL.CHANNELS", [64, 32]),
)


def tiny_config(kind, *options):
    """The config of a kind of detector, small, with further options."""
    cfg = model_zoo.get_config(CONFIGS[kind])
    common = ["MODEL.FPN.OUT_CHANNELS", 64, "MODEL.WEIGHTS", "", "MODEL.MOBILENETV2.NORM", "BN"]
    cfg.merge_from_list([*common, *OPTIONS.get(kind, []), *options])
    return cfg


def adapted_config(kind, *options):
    """The config of a kind of detector that is aligned, small, with further options."""
    architecture = tiny_config(kind).MODEL.META_ARCHITECTURE
    return tiny_config(kind, *ALIGN, "MODEL.ADAPT.DETECTOR", architecture, *options)


def make_inputs(count=2, objects=2, size=SIZE):
    """Random pictures with box-shaped objects brighter than the ground."""
    generator = torch.Generator().manual_seed(0)
    inputs = []
    for i in range(count):
        image = torch.randint(0, 60, (3, *size), generator=generator, dtype=torch.uint8)
        masks = torch.zeros(objects, *size, dtype=torch.bool)
        boxes = torch.tensor([[8.0 + 40 * j, 10, 36 + 40 * j, 50] for j in range(objects)]).view(
            -1, 4
        )
        for j in range(objects):
            masks[j, 10:50, 8 + 40 * j : 36 + 40 * j] = True
            image[:, 10:50, 8 + 40 * j : 36 + 40 * j] += 150
        instances = Instances(size)
        instances.gt_boxes = Boxes(boxes)
        instances.gt_classes = torch.arange(objects) % 6
        instances.gt_masks = BitMasks(masks)
        sem_seg = torch.zeros(size, dtype=torch.long)
        sem_seg[40:] = 1
        inputs.append(
            {
                "image": image,
                "instances": instances,
                "sem_seg": sem_seg,
                "height": 2 * size[0],
                "width": 2 * size[1],
                "image_id": i,
            }
        )
    return inputs


def make_target(count=2, size=SIZE):
    """Pictures of the target domain: brighter noise, no labels."""
    generator = torch.Generator().manual_seed(1)
    return [
        {
            "image": torch.randint(90, 250, (3, *size), generator=generator, dtype=torch.uint8),
            "domain": "target",
            "height": size[0],
            "width": size[1],
        }
        for _ in range(count)
    ]


def total_loss(model, inputs):
    """The sum of the losses of one training step."""
    with EventStorage():
        return sum(model(inputs).values())


def flat_outputs(outputs):
    """Every tensor of a list of detectron2 outputs."""
    found = []
    for output in outputs:
        if "instances" in output:
            fields = output["instances"].get_fields()
            found += [f.tensor if hasattr(f, "tensor") else f for f in fields.values()]
        found += [output["sem_seg"]] if "sem_seg" in output else []
    return found
