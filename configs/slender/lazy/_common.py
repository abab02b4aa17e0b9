"""Shared by the lazy configs: the slender parts of FCOS, and the evaluation by slenderness."""

from detectron2.config import LazyCall as L

from drfpn_da.evaluation import SlenderCOCOEvaluator
from drfpn_da.modeling import FCOS
from drfpn_da.modeling.dense_heads import SlenderFCOSHead


def use_slender_parts(model, adaptation="unsupervised", two_step=False):
    """Slender centerness, weighted box loss and feature adaptation for FCOS of the model zoo."""
    model._target_ = FCOS
    model.centerness = "slender"
    model.centerness_weighted_loss = True
    model.center_sampling_radius = float("inf")
    model.test_score_thresh = 0.05
    model.head._target_ = SlenderFCOSHead
    model.head.adaptation = adaptation
    model.head.two_step = two_step
    return model


def use_paper_schedule(recipe):
    """12 epochs of 16 pictures a step; the drop points of arXiv 2011.08529."""
    dataloader, optimizer, lr_multiplier, train = recipe
    dataloader.train.total_batch_size = 16
    dataloader.train.mapper.use_instance_mask = False
    dataloader.evaluator = L(SlenderCOCOEvaluator)(dataset_name="${..test.dataset.names}")
    train.max_iter = 90000
    lr_multiplier.scheduler.milestones = [60000, 80000, 90000]
    lr_multiplier.warmup_length = 1000 / 90000
    return dataloader, optimizer, lr_multiplier, train
