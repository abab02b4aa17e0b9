"""Mix strips show the mask and labels that were used."""

import numpy as np
from detectron2.data import Metadata

from drfpn_da.visualization.layout import GAP, TITLE_SIZE
from drfpn_da.visualization.mixes import draw_mix

TOP = GAP + TITLE_SIZE + GAP


def test_cells_hold_what_was_mixed():
    generator = np.random.default_rng(0)
    height, width = 12, 100
    first, second, mixed = generator.integers(0, 255, (3, height, width, 3), dtype=np.uint8)
    mask = generator.random((height, width)) < 0.5
    labels = generator.integers(0, 2, (height, width))
    labels[0] = 255
    confidence = generator.random((height, width))
    metadata = Metadata(stuff_colors=[(255, 0, 0), (0, 0, 255)])
    disparity = generator.random((height, width))
    for disparities, count in ((None, 6), ((disparity, disparity), 8)):
        strip = draw_mix((first, second), mask, mixed, labels, confidence, metadata, disparities)
        lefts = [GAP + i * (width + GAP) for i in range(count)]
        cells = [strip[TOP : TOP + height, left : left + width] for left in lefts]
        assert np.array_equal(cells[0], first) and np.array_equal(cells[1], second)
        assert np.array_equal(cells[-4][..., 0] == 255, mask)
        assert np.array_equal(cells[-3], mixed)
        assert (cells[-2][0] == 0).all()
        assert np.array_equal(cells[-2][1:, :, 2] == 255, labels[1:] == 1)
        assert np.abs(cells[-1][..., 0] / 255 - confidence).max() < 0.003
