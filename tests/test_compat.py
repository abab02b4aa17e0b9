"""The Cityscapes bridge and the other feature tests."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest
from detectron2.evaluation import coco_evaluation
from PIL import Image

from drfpn_da import compat

UNPUBLISHED = "deeplearning.projects.cityscapesApi.cityscapesscripts"


@pytest.fixture
def clean_imports(monkeypatch):
    def forget():
        for name in list(sys.modules):
            if name.split(".")[0] in ("deeplearning", "cityscapesscripts"):
                del sys.modules[name]

    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    forget()
    yield
    forget()


@pytest.fixture
def fake_cityscapesscripts(tmp_path, monkeypatch, clean_imports):
    package = tmp_path / "cityscapesscripts" / "helpers"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "labels.py").write_text("from . import __name__ as parent\nlabels = ['road']\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_bridge_reaches_the_published_package(fake_cityscapesscripts):
    compat.install_cityscapes_bridge()
    compat.install_cityscapes_bridge()
    assert sum(type(f).__name__ == "_CityscapesFinder" for f in sys.meta_path) == 1
    assert not any(name.startswith("cityscapesscripts") for name in sys.modules)

    import deeplearning.projects.cityscapesApi.cityscapesscripts.helpers.labels as bridged
    from deeplearning.projects.cityscapesApi.cityscapesscripts.helpers.labels import labels

    published = importlib.import_module("cityscapesscripts.helpers.labels")
    assert bridged is published and labels == ["road"]
    assert published.__name__ == published.__spec__.name == "cityscapesscripts.helpers.labels"


def test_bridge_says_what_to_install(clean_imports, monkeypatch):
    # Hide an installed package, as if it were absent.
    class Absent:
        def find_spec(self, fullname, path=None, target=None):
            if fullname.split(".")[0] == "cityscapesscripts":
                raise ModuleNotFoundError(f"No module named '{fullname}'", name=fullname)

    sys.meta_path.insert(0, Absent())
    compat.install_cityscapes_bridge()
    with pytest.raises(ModuleNotFoundError, match="pip install cityscapesscripts"):
        importlib.import_module(UNPUBLISHED + ".helpers.labels")


def test_bridge_leaves_other_names_alone(clean_imports):
    compat.install_cityscapes_bridge()
    for name in ("deeplearning.projects.other", "deeplearningx", "cityscapesscriptsx"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(name)


def test_coco_eval_class_is_put_back_after_an_error():
    before = coco_evaluation.COCOeval_opt
    with pytest.raises(RuntimeError), compat.coco_eval_class(int):
        assert coco_evaluation.COCOeval_opt is int
        raise RuntimeError
    assert coco_evaluation.COCOeval_opt is before


def test_label_map_is_exact_and_writable(tmp_path):
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.fromarray(labels).save(tmp_path / "a.png")
    loaded = compat.load_label_map(str(tmp_path / "a.png"), copy=False, dtype=int)
    assert loaded.dtype == int and np.array_equal(loaded, labels)
    loaded[loaded == 3] = 0  # SemSegEvaluator writes the ignored label


def test_supported_kwargs():
    assert compat.supported_kwargs(lambda a, b=1: None, a=1, b=2, c=3) == {"a": 1, "b": 2}
    assert compat.supported_kwargs(lambda **rest: None, c=3) == {"c": 3}


def test_a_real_unpublished_package_wins(tmp_path, monkeypatch, clean_imports):
    package = tmp_path.joinpath(*UNPUBLISHED.split("."))
    package.mkdir(parents=True)
    (package / "labels.py").write_text("origin = 'theirs'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    compat.install_cityscapes_bridge()
    assert importlib.import_module(UNPUBLISHED + ".labels").origin == "theirs"
