"""What a step draws from generators of its own: by seed, iteration and part of the batch."""

import pytest
import torch
from detectron2.utils.events import EventStorage

from drfpn_da.functional.generators import part_of_step
from tests.systems import SYSTEMS


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_draw_follows_seed_iteration_and_part(system, tmp_path, monkeypatch):
    model, inputs = system(tmp_path)
    model.train()
    used = []
    original = torch.Generator

    def noted(*args, **options):
        used.append(original(*args, **options))
        return used[-1]

    monkeypatch.setattr(torch, "Generator", noted)

    def seeds(seed, iteration, part):
        used.clear()
        start = {key: value.clone() for key, value in model.state_dict().items()}
        if hasattr(model, "steps"):  # depth from video counts for itself
            model.steps.fill_(iteration)
        torch.manual_seed(seed)
        with EventStorage(iteration), part_of_step(part):
            model(inputs)
        model.load_state_dict(start)  # also what counts steps
        return [generator.initial_seed() for generator in used]

    first = seeds(1, 2, 0)
    assert first and first == seeds(1, 2, 0)
    for other in (seeds(2, 2, 0), seeds(1, 3, 0), seeds(1, 2, 1), seeds(1, 2, 2)):
        assert len(other) == len(first) and not set(other) & set(first)
