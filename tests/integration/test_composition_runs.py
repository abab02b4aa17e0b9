"""Every legal pair trains, resumes exactly and is evaluated, on generated streets."""

import pytest

from tests.integration.composition import build_config, cells_of_detectors, cells_of_pairs
from tests.integration.street_runs import run, shorten

LEGAL = [cell for cell in (*cells_of_detectors(), *cells_of_pairs()) if cell.refusal is None]


@pytest.mark.slow
@pytest.mark.parametrize("cell", LEGAL, ids=str)
def test_a_legal_pair_trains_resumes_and_is_evaluated(cell, tmp_path):
    cfg = build_config(cell.detector, cell.systems, *cell.options)
    results = run(shorten(cfg, separated=cell.detector == "PanopticFPN"), tmp_path)
    assert {"bbox", "sem_seg"} & set(results)
    if "slender evaluation" in cell.systems:
        assert "AP-XS" in results["bbox_slender"]
