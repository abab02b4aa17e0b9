"""SCN's ROI heads and relabelling (dry run) on generated streets, from Python alone."""

from detectron2.config import LazyCall as L

from drfpn_da import model_zoo
from drfpn_da.data.indexed import IndexedMapper, get_annotation_index, get_indexed_dicts
from drfpn_da.engine import SCNRelabelHook
from drfpn_da.engine.relabel_votes import Windows
from drfpn_da.labels import RelabelPolicy
from drfpn_da.modeling import SCNFastRCNNOutputLayers, SCNROIHeads

_base = model_zoo.get_config("drfpn/lazy/faster_rcnn_mobilenetv2_drfpn_mini.py")
model, optimizer, lr_multiplier = _base.model, _base.optimizer, _base.lr_multiplier
dataloader, train = _base.dataloader, _base.train
model.roi_heads._target_ = SCNROIHeads
model.roi_heads.box_predictor._target_ = SCNFastRCNNOutputLayers

_names = ["streets_mini_clear_train"]
dataloader.train.dataset = L(get_indexed_dicts)(names=_names)
dataloader.train.mapper._target_ = IndexedMapper
train.output_dir = "output/lazy_scn_streets_mini"
train.hooks = [
    L(SCNRelabelHook)(
        annotations=L(get_annotation_index)(names=_names),
        policy=L(RelabelPolicy)(),
        # 240 steps in all, twelve an epoch.
        windows=L(Windows)(start=48, stop=156, period=36),
        journal=f"{train.output_dir}/relabels.jsonl",
        checkpoint_period=train.checkpointer.period,
    )
]
