"""Shared by the lazy configs: DRFPN in place of FPN, and the authors' schedule."""

from detectron2.config import LazyCall as L
from detectron2.model_zoo import get_config
from detectron2.solver import WarmupParamScheduler
from fvcore.common.param_scheduler import MultiStepParamScheduler

from drfpn_da.modeling import DRFPN

ITERATIONS = 58633  # 12 epochs of 117,266 pictures, 24 a step


def use_drfpn(model):
    """Swap the FPN of a model-zoo model for DRFPN: the constructor takes every argument of FPN."""
    model.backbone._target_ = DRFPN
    return model


def build_recipe(lr, data="coco"):
    """Dataloader, optimizer, lr_multiplier and train sections for COCO."""
    dataloader = get_config(f"common/data/{data}.py").dataloader
    dataloader.train.total_batch_size = 24
    optimizer = get_config("common/optim.py").SGD
    optimizer.lr = lr
    lr_multiplier = L(WarmupParamScheduler)(
        scheduler=L(MultiStepParamScheduler)(
            values=[1.0, 0.1, 0.01], milestones=[39089, 53747, ITERATIONS]
        ),
        warmup_length=500 / ITERATIONS,
        warmup_factor=0.001,
    )
    train = get_config("common/train.py").train
    train.max_iter = ITERATIONS
    train.init_checkpoint = "detectron2://ImageNetPretrained/MSRA/R-50.pkl"
    return dataloader, optimizer, lr_multiplier, train
