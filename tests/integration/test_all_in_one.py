"""The configs with nearly everything train, resume exactly and are evaluated."""

import pytest

from drfpn_da import model_zoo
from drfpn_da.labels import read_journal
from drfpn_da.modeling import DRFPN
from tests.integration.composition import ALL_IN_ONE, SYSTEMS
from tests.integration.street_runs import run, shorten


@pytest.mark.parametrize("name", ALL_IN_ONE)
def test_nearly_everything_at_once(name, tmp_path):
    cfg = model_zoo.get_config(name)
    wanted = [SYSTEMS[system].objective for system in ALL_IN_ONE[name]]
    assert set(filter(None, wanted)) <= {"DepthMix", *cfg.MODEL.ADAPT.OBJECTIVES}
    small = shorten(cfg)
    small.MODEL.FPN.OUT_CHANNELS = 64
    results = run(small, tmp_path)
    scores = results["bbox"] if "bbox" in results else results["sem_seg"]
    assert scores
    if "SCN" in ALL_IN_ONE[name]:
        assert read_journal(tmp_path / "straight" / "relabels.jsonl").settings["dry_run"]


def test_the_configs_have_what_they_are_listed_with():
    for name, systems in ALL_IN_ONE.items():
        cfg = model_zoo.get_config(name)
        node = cfg.MODEL.DRFPN
        assert (DRFPN and "DRFPN" in systems) == all(
            (node.PPM.ENABLED, node.SRB.ENABLED, node.CRB.ENABLED, node.BOTTOM_UP_PATH)
        )
        assert ("SCN" in systems) == cfg.MODEL.ROI_HEADS.NAME.startswith("SCN")
        assert ("SCN" in systems) == cfg.SCN_RELABEL.ENABLED
