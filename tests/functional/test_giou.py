"""The loss of boxes against fvcore's, with its gradients."""

import torch
from fvcore.nn import giou_loss

from drfpn_da.functional.giou import generalized_iou_loss


def test_equals_fvcore_with_gradients():
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(2, 40, 2, 2, generator=generator, dtype=torch.float64)
    boxes, target = torch.cat([corners.amin(2), corners.amax(2)], dim=-1)
    target[0] = torch.tensor([boxes[0, 2], boxes[0, 1], boxes[0, 2] + 1, boxes[0, 3]])  # touches
    boxes[1] = target[1]
    gradients = []
    for loss in (generalized_iou_loss, lambda a, b: giou_loss(a, b, reduction="none")):
        given = boxes.clone().requires_grad_()
        result = loss(given, target)
        result.square().sum().backward()
        gradients.append((result.detach(), given.grad))
    torch.testing.assert_close(gradients[0], gradients[1])
