"""Detectors and trainers as other projects write them, each with a trait of its own, small."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, META_ARCH_REGISTRY, Backbone, build_backbone
from detectron2.structures import Boxes, ImageList, Instances
from torch import nn

CLASSES = 2


class Blocks(Backbone):
    """Blocks in (N, H, W, C) on patches of 8 pixels, then one (N, C, H, W) map."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 8, stride=8)
        self.pos_embed = nn.Parameter(torch.zeros(1, 1, 1, width))
        self.blocks = nn.ModuleList([Block(width) for _ in range(3)])
        self._width = width

    def forward(self, x):
        x = self.patches(x).permute(0, 2, 3, 1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return {"last": x.permute(0, 3, 1, 2)}

    def output_shape(self):
        return {"last": ShapeSpec(channels=self._width, stride=8)}

    @property
    def size_divisibility(self):
        return 8


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Linear(width, width)

    def forward(self, x):
        return x + self.mlp(self.norm(x)).relu()


@BACKBONE_REGISTRY.register()
def build_stand_in_blocks(cfg, input_shape):
    return Blocks()


class Head(nn.Module):
    """Classes and sizes of objects, cell by cell. `score` was called `cls` in its first format."""

    _version = 2

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.score = nn.Conv2d(channels, CLASSES + 1, 1)
        self.size = nn.Conv2d(channels, 2, 1)

    def _load_from_state_dict(self, state, prefix, metadata, *others):
        if (metadata.get("version") or 1) < 2:
            for end in ("weight", "bias"):
                # As in formats that changed: what is under the new name is not what it means now.
                state.pop(f"{prefix}score.{end}", None)
                if f"{prefix}cls.{end}" in state:
                    state[f"{prefix}score.{end}"] = state.pop(f"{prefix}cls.{end}")
        super()._load_from_state_dict(state, prefix, metadata, *others)

    def losses(self, feature, targets):
        scores, sizes = self.score(feature), self.size(feature)
        labels = torch.full_like(scores[:, 0], CLASSES, dtype=torch.long)
        loss_size = sizes.sum() * 0.0
        for i, one in enumerate(targets):
            cells = (one.gt_boxes.get_centers() / self.stride).long()
            for (x, y), box, label in zip(cells, one.gt_boxes, one.gt_classes):
                labels[i, y, x] = label
                wanted = torch.stack([box[2] - box[0], box[3] - box[1]]).log()
                loss_size = loss_size + (sizes[i, :, y, x] - wanted).abs().mean()
        return {"loss_ce": F.cross_entropy(scores, labels), "loss_bbox": 0.1 * loss_size}

    def predict(self, feature, sizes):
        results = []
        for scores, boxes, size in zip(self.score(feature).softmax(1), self.size(feature), sizes):
            best, at = scores[:CLASSES].flatten().topk(10)
            cells = scores[0].numel()
            label, cell = at // cells, at % cells
            y, x = cell // scores.shape[2], cell % scores.shape[2]
            half = boxes.flatten(1)[:, cell].clamp(0, math.log(64)).exp() / 2
            centre = (torch.stack([x, y]) + 0.5) * self.stride
            corners = torch.cat([centre - half, centre + half]).t()
            found = Instances(size, pred_boxes=Boxes(corners), scores=best, pred_classes=label)
            results.append({"instances": found})
        return results


@META_ARCH_REGISTRY.register()
class StandInDetector(nn.Module):
    """With a backbone and `preprocess_image` as detectron2's, and losses named as DETR's."""

    def __init__(self, cfg) -> None:
        super().__init__()
        self.backbone = build_backbone(cfg)
        name, shape = next(iter(self.backbone.output_shape().items()))
        self.feature = name
        self.head = Head(shape.channels, shape.stride)
        self.register_buffer("pixel_mean", torch.tensor(cfg.MODEL.PIXEL_MEAN).view(-1, 1, 1))
        self.architecture = cfg.MODEL.META_ARCHITECTURE

    def preprocess_image(self, inputs):
        pictures = [(x["image"].to(self.pixel_mean.device) - self.pixel_mean) / 57 for x in inputs]
        return ImageList.from_tensors(pictures, self.backbone.size_divisibility)

    def forward(self, inputs):
        images = self.preprocess_image(inputs)
        feature = self.backbone(images.tensor)[self.feature]
        if self.training:
            return self.head.losses(feature, [x["instances"] for x in inputs])
        return self.head.predict(feature, images.image_sizes)


class Masked(nn.Module):
    """Detectron2's backbone two modules deep, as in DETR's wrapper."""

    def __init__(self, body) -> None:
        super().__init__()
        self.body = body

    def forward(self, images):
        return list(self.body(images.tensor).values())


@META_ARCH_REGISTRY.register()
class StandInWithoutBackbone(nn.Module):
    """No `.backbone`, no `pixel_mean`; `preprocess_image` returns pictures and their sizes."""

    def __init__(self, cfg) -> None:
        super().__init__()
        self.core = nn.Sequential(Masked(build_backbone(cfg)))
        shape = next(iter(self.core[0].body.output_shape().values()))
        self.head = Head(shape.channels, shape.stride)

    def preprocess_image(self, inputs):
        images = ImageList.from_tensors([(x["image"].float() - 100) / 57 for x in inputs], 32)
        return images, torch.tensor(images.image_sizes)

    def forward(self, inputs):
        images, _ = self.preprocess_image(inputs)
        if self.training:  # before the backbone, as CondInst does
            targets = [x["instances"] for x in inputs]
            assert all(one.gt_boxes.tensor.shape[1] == 4 for one in targets)
        feature = self.core[0](images)[0]
        if self.training:
            return self.head.losses(feature, targets)
        return self.head.predict(feature, images.image_sizes)


@META_ARCH_REGISTRY.register()
class StandInMaskClassifier(nn.Module):
    """Queries with a class and a mask each, from which semantic labels are put together."""

    def __init__(self, cfg) -> None:
        super().__init__()
        self.backbone = build_backbone(cfg)
        self.feature, shape = next(iter(self.backbone.output_shape().items()))
        self.queries = nn.Embedding(6, shape.channels)
        self.class_embed = nn.Linear(shape.channels, CLASSES + 2)
        self.register_buffer("pixel_mean", torch.tensor(cfg.MODEL.PIXEL_MEAN).view(-1, 1, 1))
        self.register_buffer("pixel_std", torch.full((3, 1, 1), 57.0))

    def forward(self, inputs):
        pictures = [(x["image"] - self.pixel_mean) / self.pixel_std for x in inputs]
        images = ImageList.from_tensors(pictures, 32)
        feature = self.backbone(images.tensor)[self.feature]
        masks = torch.einsum("qc,nchw->nqhw", self.queries.weight, feature)
        classes = self.class_embed(self.queries.weight).softmax(-1)[:, :-1]
        logits = torch.einsum("qk,nqhw->nkhw", classes, masks.sigmoid())
        logits = F.interpolate(logits, images.tensor.shape[-2:], mode="bilinear")
        if self.training:
            labels = [x["sem_seg"] for x in inputs]
            labels = ImageList.from_tensors(labels, 32, 255).tensor
            return {"loss_mask": F.nll_loss((logits + 1e-4).log(), labels, ignore_index=255)}
        return [
            {"sem_seg": row[:, :height, :width]}
            for row, (height, width) in zip(logits, images.image_sizes)
        ]
