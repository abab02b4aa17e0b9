"""The pyramid under ``torch.compile``: one graph, equal outputs, gradients and names."""

from __future__ import annotations

import copy

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone import Backbone
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from torch import nn

from drfpn_da.modeling import DRFPN


class Strides(Backbone):
    """Maps at strides 4 to 32, each by one convolution of the picture."""

    def __init__(self):
        super().__init__()
        names = {f"res{k}": 2**k for k in range(2, 6)}
        self.convs = nn.ModuleDict({n: nn.Conv2d(3, 8, s, s) for n, s in names.items()})
        self._out_features = list(names)
        self._out_feature_channels = dict.fromkeys(names, 8)
        self._out_feature_strides = names

    def forward(self, x):
        return {name: conv(x) for name, conv in self.convs.items()}


def test_the_pyramid_is_one_graph_that_equals_it():
    torch.manual_seed(0)
    features = ["res2", "res3", "res4", "res5"]
    plain = DRFPN(Strides(), features, 32, top_block=LastLevelMaxPool())
    compiled = copy.deepcopy(plain)
    # The tracer alone: a generator of code takes minutes on a CPU and needs a compiler.
    compiled.compile(backend="eager", fullgraph=True)
    assert list(compiled.state_dict()) == list(plain.state_dict())
    assert compiled.output_shape()["p2"] == ShapeSpec(channels=32, stride=4)
    x = torch.randn(1, 3, 64, 128)
    found, expected = compiled(x), plain(x)
    assert list(found) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)
    for outputs in (found, expected):
        sum(value.square().mean() for value in outputs.values()).backward()
    for one, other in zip(compiled.parameters(), plain.parameters()):
        torch.testing.assert_close(one.grad, other.grad)
