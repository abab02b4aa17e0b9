"""Every legal pair trains a step and is loaded again; illegal ones are refused with the reason."""

from __future__ import annotations

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage

from drfpn_da.config import check_config
from tests.integration import composition
from tests.integration.composition import (
    DETECTORS,
    SYSTEMS,
    build_config,
    cells_of_detectors,
    cells_of_pairs,
)
from tests.scripts import load_tool
from tests.tiny_detectors import flat_outputs, make_inputs, make_target

CELLS = [*cells_of_detectors(), *cells_of_pairs()]
LEGAL = [cell for cell in CELLS if cell.refusal is None]
ILLEGAL = [cell for cell in CELLS if cell.refusal is not None]
SIZE = (64, 96)


def build(cell):
    torch.manual_seed(0)
    cfg = build_config(cell.detector, cell.systems, *cell.options)
    check_config(cfg)
    return build_model(cfg)


def make_batch():
    """Pictures with every label, and target pictures with all that any objective asks for."""
    generator = torch.Generator().manual_seed(2)
    targets = make_target(2, SIZE)
    for x in targets:
        x["views"] = {"weak": x["image"], "strong": x["image"] // 2}
        x["disparity"] = torch.rand(SIZE, generator=generator)
        x["previous_image"], x["next_image"] = x["image"].roll(2, 2), x["image"].roll(-2, 2)
        x["intrinsics"] = torch.tensor([[50.0, 0, 32], [0, 50.0, 32], [0, 0, 1]])
    return [{**x, "domain": "source"} for x in make_inputs(2, 1, SIZE)], targets


@pytest.mark.parametrize("cell", LEGAL, ids=str)
def test_a_legal_pair_trains_a_step_and_is_loaded_again(cell):
    model = build(cell).train()
    sources, targets = make_batch()
    adapts = any(SYSTEMS[name].objective for name in cell.systems)
    with EventStorage(1):
        losses = model([*sources, *targets] if adapts else sources)
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    # As DistributedDataParallel asks.
    assert not [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    for name in cell.systems:
        objective = SYSTEMS[name].objective
        kinds = [type(o).__name__ for o in getattr(model, "objectives", {}).values()]
        assert not objective or objective in kinds

    again = build(cell)
    torch.nn.init.ones_(next(again.parameters()))
    again.load_state_dict(model.state_dict())
    state = again.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    with torch.no_grad():
        first, second = (flat_outputs(m.eval()(sources[:1])) for m in (model, again))
    assert len(first) == len(second) > 0
    assert all(map(torch.equal, first, second))


@pytest.mark.parametrize("cell", ILLEGAL, ids=str)
def test_an_illegal_pair_is_refused_with_its_reason(cell):
    with pytest.raises(ValueError, match=cell.refusal.error):
        build(cell)


def test_committed_page_is_current():
    generator = load_tool("generate_composition_docs")
    page = generator.render(composition)
    assert generator.TARGET.read_text(encoding="utf-8") == page, "run `make docs` and commit"
    # Each "yes" is tried here, but for contexts beside the alignment that they are a part of.
    assert page.count("| yes") == len({(c.detector, c.systems) for c in LEGAL if not c.options}) + 1


def test_nobody_is_refused_everywhere():
    for name, system in SYSTEMS.items():
        assert set(system.refused) < set(DETECTORS), name
