"""ROI heads trained on features and proposals that never change, so that a run takes seconds.

The trunk is a ``ProposalNetwork``: body, pyramid and RPN, which learn from boxes alone and so never
see a class label, right or wrong. It looks at every picture once, and once mirrored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from detectron2.engine import HookBase, SimpleTrainer, hooks
from detectron2.evaluation import COCOEvaluator, inference_on_dataset
from detectron2.modeling import build_roi_heads
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.solver import build_lr_scheduler, build_optimizer
from detectron2.structures import ImageList, Instances
from torch import Tensor, nn

from drfpn_da.checkpoint import load_model
from drfpn_da.data import IndexedMapper

Sample = dict[str, Any]


class Trunk:
    """Turns records into samples: features, proposals and numbered instances.

    Args:
        cfg: of the ``ProposalNetwork``, with its weights.
    """

    def __init__(self, cfg: CfgNode) -> None:
        self._model = load_model(cfg)
        self.output_shape = self._model.backbone.output_shape()
        self._cfg = cfg

    @torch.no_grad()
    def look(self, records: Sequence[dict[str, Any]], mirrored: bool) -> list[Sample]:
        """Return a sample for each record."""
        cfg = self._cfg
        resize = T.ResizeShortestEdge(cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST)
        mapper = IndexedMapper(
            is_train=True,
            augmentations=[resize, T.RandomFlip(prob=float(mirrored))],
            image_format=cfg.INPUT.FORMAT,
        )
        samples = []
        for record in records:
            sample = mapper(record)
            model = self._model
            image = (sample["image"] - model.pixel_mean) / model.pixel_std
            images = ImageList.from_tensors([image], model.backbone.size_divisibility)
            features = model.backbone(images.tensor)
            proposals, _ = model.proposal_generator(images, features, None)
            samples.append(
                {
                    **{k: sample[k] for k in ("file_name", "image_id", "height", "width")},
                    "features": {name: value[0] for name, value in features.items()},
                    "proposals": proposals[0],
                    "instances": sample["instances"],
                }
            )
        return samples


class HeadsOnly(nn.Module):
    """ROI heads on samples in place of pictures."""

    def __init__(self, cfg: CfgNode, shape: dict[str, Any]) -> None:
        super().__init__()
        self.roi_heads = build_roi_heads(cfg, shape)

    def forward(self, samples: list[Sample]) -> Any:
        """Losses in training, else detectron2's results."""
        features = stack_features(samples)
        proposals = [s["proposals"] for s in samples]
        sizes = [p.image_size for p in proposals]
        images = ImageList(torch.empty(0), sizes)
        if self.training:
            return self.roi_heads(images, features, proposals, [s["instances"] for s in samples])[1]
        found = self.roi_heads(images, features, proposals, None)[0]
        return [
            {"instances": detector_postprocess(r, s["height"], s["width"])}
            for r, s in zip(found, samples)
        ]


def stack_features(samples: Sequence[Sample]) -> dict[str, Tensor]:
    """Return (N, C, H, W) maps of samples of the same size."""
    return {k: torch.stack([s["features"][k] for s in samples]) for k in samples[0]["features"]}


def batches(views: Sequence[Sequence[Sample]], size: int, seed: int) -> Iterator[list[Sample]]:
    """Yield batches without end: all pictures in a new order each epoch, each in one of its views.

    Args:
        views: of equal length; the k-th of each is of the same picture.
        size: of a batch.
        seed: of order and views.
    """
    generator = torch.Generator().manual_seed(seed)
    pending: list[int] = []
    while True:
        while len(pending) < size:
            pending += torch.randperm(len(views[0]), generator=generator).tolist()
        chosen, pending = pending[:size], pending[size:]
        view = torch.randint(len(views), (size,), generator=generator).tolist()
        yield [views[v][i] for v, i in zip(view, chosen)]


def train_heads(
    cfg: CfgNode,
    shape: dict[str, Any],
    views: Sequence[Sequence[Sample]],
    watch: Sequence[HookBase] = (),
) -> tuple[HeadsOnly, SimpleTrainer]:
    """Train ``cfg``'s ROI heads, from its seed, and return them with their trainer."""
    torch.manual_seed(cfg.SEED)
    model = HeadsOnly(cfg, shape).train()
    optimizer = build_optimizer(cfg, model)
    data = batches(views, cfg.SOLVER.IMS_PER_BATCH, cfg.SEED)
    trainer = SimpleTrainer(model, data, optimizer)
    schedule = hooks.LRScheduler(optimizer, build_lr_scheduler(cfg, optimizer))
    trainer.register_hooks([schedule, *watch])
    trainer.train(0, cfg.SOLVER.MAX_ITER)
    return model, trainer


def evaluate_heads(model: nn.Module, samples: Sequence[Sample], name: str) -> dict[str, float]:
    """Return AP and AP50 on the samples of a registered data set."""
    evaluator = COCOEvaluator(name, tasks=("bbox",), distributed=False)
    found = inference_on_dataset(model, [[s] for s in samples], evaluator)["bbox"]
    return {key: found[key] for key in ("AP", "AP50")}


@torch.no_grad()
def label_probabilities(
    model: HeadsOnly, views: Sequence[Sequence[Sample]]
) -> dict[int, np.ndarray]:
    """Return (K,) class probabilities of annotations by their number, mean over views.

    Background is left out, as it is in votes.
    """
    heads, found = model.roi_heads, {}
    for sample in (sample for samples in views for sample in samples):
        features = stack_features([sample])
        maps = [features[name] for name in heads.box_in_features]
        pooled = heads.box_pooler(maps, [sample["instances"].gt_boxes])
        logits = heads.box_predictor(heads.box_head(pooled))[0][:, :-1]
        rows = logits.softmax(dim=1).numpy() / len(views)
        for i, row in zip(sample["instances"].gt_annotation_index.tolist(), rows):
            found[i] = found.get(i, 0.0) + row
    return found


def relabel_samples(samples: Sequence[Sample], classes: Tensor) -> list[Sample]:
    """Return the samples with the class of every annotation replaced, by its number."""
    changed = []
    for sample in samples:
        given: Instances = sample["instances"]
        instances = Instances(given.image_size, **given.get_fields())
        instances.gt_classes = classes[given.gt_annotation_index]
        changed.append({**sample, "instances": instances})
    return changed
