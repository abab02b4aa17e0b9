"""DRFPN on a GPU: the same numbers as on a CPU, and mixed precision close to them."""

import copy

import pytest
import torch

from tests.modeling.test_drfpn import build

pytestmark = pytest.mark.gpu


def run(model, x, **autocast):
    with torch.autocast(x.device.type, **autocast):
        outputs = model(x)
        sum(y.float().square().mean() for y in outputs.values()).backward()
    gradients = {name: p.grad.float().cpu() for name, p in model.named_parameters()}
    return {name: y.detach().float().cpu() for name, y in outputs.items()}, gradients


@pytest.mark.parametrize("size", [(64, 96), (100, 132)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_cuda_equals_cpu(size, layout, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    model = build(64, init="c2_xavier")
    twin = copy.deepcopy(model).cuda().to(memory_format=layout)
    x = torch.randn(2, 3, *size)
    expected, actual = (
        run(model, x, enabled=False),
        run(twin, x.cuda().to(memory_format=layout), enabled=False),
    )
    for a, b in zip(actual, expected):
        for name in b:
            torch.testing.assert_close(a[name], b[name], rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_mixed_precision_stays_close(dtype):
    model = build(64, init="c2_xavier").cuda()
    x = torch.randn(2, 3, 64, 96).cuda()
    exact, _ = run(copy.deepcopy(model), x, enabled=False)
    low, gradients = run(model, x, dtype=dtype)
    for name, y in exact.items():
        assert (low[name] - y).abs().mean() < 0.05 * y.abs().mean(), name
    assert all(g.isfinite().all() for g in gradients.values())
