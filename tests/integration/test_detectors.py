"""Every kind of detector on DRFPN: trains, saves, loads, predicts, takes empty pictures."""

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import instantiate
from detectron2.modeling import build_model
from detectron2.modeling.meta_arch.fcos import FCOS as StockFCOS
from detectron2.utils.events import EventStorage

from drfpn_da import model_zoo
from tests.tiny_detectors import make_inputs, tiny_config, total_loss

KINDS = ["faster_rcnn", "mask_rcnn", "cascade_mask_rcnn", "retinanet", "fcos", "panoptic_fpn"]


@pytest.mark.parametrize("kind", KINDS)
def test_detector_trains_saves_and_predicts(kind, tmp_path):
    torch.manual_seed(0)
    cfg = tiny_config(kind)
    model = build_model(cfg).train()
    loss = total_loss(model, make_inputs())
    loss.backward()
    neck = {n: p for n, p in model.backbone.named_parameters() if not n.startswith("bottom_up")}
    assert loss.isfinite() and all(
        p.grad is not None and p.grad.isfinite().all() for p in neck.values()
    )

    empty = total_loss(model, make_inputs(objects=0))
    empty.backward()
    assert empty.isfinite()

    DetectionCheckpointer(model, str(tmp_path)).save("model")
    again = build_model(cfg).eval()
    DetectionCheckpointer(again).load(str(tmp_path / "model.pth"))
    model.eval()
    inputs = make_inputs(1)
    with torch.no_grad():
        a, b = model(inputs)[0], again(inputs)[0]
    assert a["instances"].image_size == (128, 192)
    assert torch.equal(a["instances"].pred_boxes.tensor, b["instances"].pred_boxes.tensor)
    if kind == "panoptic_fpn":
        assert torch.equal(a["sem_seg"], b["sem_seg"]) and a["sem_seg"].shape == (6, 128, 192)


def test_small_lazy_config_trains():
    model = instantiate(
        model_zoo.get_config("drfpn/lazy/faster_rcnn_mobilenetv2_drfpn_mini.py").model
    )
    loss = total_loss(model.train(), make_inputs())
    loss.backward()
    assert model.backbone.srb2.weight_predict.weight.grad.isfinite().all()


@pytest.mark.parametrize("kind", ["faster_rcnn", "retinanet", "fcos"])
def test_loss_falls_on_a_few_pictures(kind):
    torch.manual_seed(0)
    model = build_model(tiny_config(kind)).train()
    inputs = make_inputs(4)
    if hasattr(model, "loss_normalizer_momentum"):
        model.loss_normalizer_momentum = 1.0  # else RetinaNet's moving normaliser hides the trend
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(30):
        with EventStorage():
            parts = model(inputs)
        optimizer.zero_grad()
        sum(parts.values()).backward()
        optimizer.step()
        # The centerness loss of FCOS is bounded below by the entropy of its targets.
        losses.append(sum(x.item() for name, x in parts.items() if "ctr" not in name))
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5]), losses


def test_fcos_from_yaml_is_detectron2_fcos_bit_for_bit():
    torch.manual_seed(0)
    ours = build_model(tiny_config("fcos", "MODEL.FCOS.SCORE_THRESH_TEST", 0.0)).train()
    stock = StockFCOS(
        backbone=ours.backbone,
        head=ours.head,
        head_in_features=ours.head_in_features,
        num_classes=6,
        test_score_thresh=0.0,
        pixel_mean=ours.pixel_mean.flatten().tolist(),
        pixel_std=ours.pixel_std.flatten().tolist(),
    )
    assert ours.state_dict().keys() == stock.state_dict().keys()
    inputs = make_inputs()
    with EventStorage():
        a, b = ours(inputs), stock(inputs)
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    with torch.no_grad():
        a, b = ours.eval()(inputs)[0]["instances"], stock.eval()(inputs)[0]["instances"]
    assert len(a) > 0
    assert torch.equal(a.pred_boxes.tensor, b.pred_boxes.tensor) and torch.equal(a.scores, b.scores)


def test_fcos_names_missing_levels():
    with pytest.raises(ValueError, match=r"FCOS\.IN_FEATURES \['p9'\]"):
        build_model(tiny_config("fcos", "MODEL.FCOS.IN_FEATURES", ["p3", "p9"]))


def test_plain_fpn_checkpoint_starts_a_drfpn_detector(tmp_path):
    """Shared names load; what DRFPN adds is left at its start, from which it acts as an FPN."""
    plain = build_model(tiny_config("faster_rcnn_fpn"))
    DetectionCheckpointer(plain, str(tmp_path)).save("fpn")
    refined = build_model(tiny_config("faster_rcnn"))
    DetectionCheckpointer(refined).load(str(tmp_path / "fpn.pth"))
    ours, theirs = refined.state_dict(), plain.state_dict()
    missing = set(theirs) - set(ours)
    assert missing == {"backbone.fpn_lateral5.weight", "backbone.fpn_lateral5.bias"}
    assert all(torch.equal(ours[k], theirs[k]) for k in set(theirs) - missing)
