"""Mix strips show the mask and labels that were used."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from detectron2.data import Metadata

from drfpn_da.visualization.layout import GAP, TITLE_SIZE
from drfpn_da.visualization.mixes import draw_mixes

TOP = GAP + TITLE_SIZE + GAP
HEIGHT, WIDTH = 12, 100


@pytest.mark.parametrize("with_disparity, count", [(False, 6), (True, 8)])
def test_cells_hold_what_was_mixed(with_disparity, count):
    generator = torch.Generator().manual_seed(0)
    shape = (2, 3, HEIGHT, WIDTH)
    pictures, mixed = torch.randint(255, (2, *shape), generator=generator, dtype=torch.uint8)
    masks, confidence, disparity = torch.rand(3, 2, HEIGHT, WIDTH, generator=generator)
    labels = torch.randint(2, (2, HEIGHT, WIDTH), generator=generator)
    labels[:, 0] = 255
    mix = SimpleNamespace(
        inputs=[{"image": picture} for picture in mixed],
        pictures=pictures,
        masks=masks < 0.5,
        labels=labels,
        confidence=confidence,
        disparity=disparity if with_disparity else None,
    )
    metadata = Metadata(stuff_colors=[(255, 0, 0), (0, 0, 255)])
    strips = draw_mixes(mix, metadata, "RGB")
    assert len(strips) == 2
    for i, strip in enumerate(strips):
        lefts = [GAP + k * (WIDTH + GAP) for k in range(count)]
        cells = [strip[TOP : TOP + HEIGHT, left : left + WIDTH] for left in lefts]
        for cell, picture in ((cells[0], pictures[i]), (cells[1], pictures[1 - i])):
            assert np.array_equal(cell, picture.permute(1, 2, 0))
        assert np.array_equal(cells[-4][..., 0] == 255, mix.masks[i])
        assert np.array_equal(cells[-3], mixed[i].permute(1, 2, 0))
        assert (cells[-2][0] == 0).all()
        assert np.array_equal(cells[-2][1:, :, 2] == 255, labels[i, 1:] == 1)
        assert np.abs(cells[-1][..., 0] / 255 - confidence[i].numpy()).max() < 0.003
