"""The Python of the guides runs as it stands, page by page; links lead somewhere."""

from __future__ import annotations

import re

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import BACKBONE_REGISTRY

from drfpn_da.objectives import OBJECTIVE_REGISTRY
from tests.scripts import load_tool
from tests.tiny_coco import register_tiny_domains, tiny_cfg

REGISTRIES = (BACKBONE_REGISTRY, OBJECTIVE_REGISTRY)


@pytest.fixture
def cleaned_registries():
    """Take away what a page registers."""
    before = [dict(registry._obj_map) for registry in REGISTRIES]
    names = set(DatasetCatalog.list())
    yield
    for registry, known in zip(REGISTRIES, before):
        registry._obj_map.clear()
        registry._obj_map.update(known)
    for name in set(DatasetCatalog.list()) - names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def run_page(path):
    """Run the Python of a page in one namespace; return it."""
    blocks = re.findall(r"^```python\n(.*?)^```$", path.read_text(encoding="utf-8"), re.M | re.S)
    assert blocks
    namespace = {"__name__": path.stem}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"{path.name}, block {number}", "exec"), namespace)
    return namespace


def test_extending(repository, tmp_path, monkeypatch, cleaned_registries):
    monkeypatch.chdir(tmp_path)
    page = run_page(repository / "docs" / "extending.md")
    assert "AP50" in page["results"]["bbox"]
    metrics = (tmp_path / "output" / "extending" / "metrics.json").read_text()
    assert "mean_agreement/loss_mean" in metrics
    assert isinstance(page["trainer"].model.detector.backbone.bottom_up, page["Stairs"])


def test_readme(repository, tmp_path, monkeypatch, cleaned_registries):
    monkeypatch.chdir(tmp_path)
    run_page(repository / "README.md")


def test_the_three_lines_of_migrating_train(repository, tmp_path, monkeypatch, cleaned_registries):
    monkeypatch.chdir(tmp_path)
    page = run_page(repository / "docs" / "migrating.md")
    folder = register_tiny_domains(tmp_path, "migrating", targets=2)
    cfg = tiny_cfg(folder, "migrating_source")
    cfg.DATASETS.TARGET, cfg.DATASETS.TEST = ("migrating_target",), ()
    cfg.MODEL.ADAPT.OBJECTIVES = ["StrongWeakAlignment"]
    cfg.MODEL.STRONG_WEAK.GLOBAL.NORM = ""
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = 2, (1,)
    trainer = page["Mine"](cfg)
    trainer.train()
    assert trainer.storage.history("strong_weak/loss_local_res2_target").latest() > 0


def test_links_between_pages_lead_somewhere(repository):
    for path in [*repository.glob("*.md"), *(repository / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name}: {target}"


@pytest.mark.parametrize("name", ["extending.md", "CONTRIBUTING.md"])
def test_a_part_takes_six_steps_at_most(repository, name):
    path = next(repository.rglob(name))
    for section in re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.M)[1:]:
        steps = re.findall(r"^(\d+)\. ", section, re.M)
        assert [int(step) for step in steps] == list(range(1, len(steps) + 1))
        assert len(steps) <= 6, section.splitlines()[0]


def test_the_table_of_configs_is_current():
    generator = load_tool("generate_model_zoo_docs")
    assert generator.TARGET.read_text(encoding="utf-8") == generator.render(), "run `make docs`"
