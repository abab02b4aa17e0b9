"""An error before training begins is the one that is seen, whatever the hooks clean up."""

import pytest
from detectron2.engine import HookBase

from drfpn_da.engine import Trainer
from tests.engine.relabelling import relabel_cfg
from tests.tiny_coco import register_tiny, write_tiny_coco
from tests.tiny_patches import register_tiny_patches, tiny_patch_cfg


class Complains(HookBase):
    def before_train(self):
        raise RuntimeError("the cause")


def relabelled(folder):
    write_tiny_coco(folder / "data")
    register_tiny("cleaned", folder / "data")
    return relabel_cfg(folder / "out", "cleaned")


def soft_labelled(folder):
    register_tiny_patches("cleaned_patches", folder / "pictures", count=20)
    return tiny_patch_cfg(folder / "out", "cleaned_patches")


@pytest.mark.parametrize("kind", [relabelled, soft_labelled])
def test_clean_up_without_a_beginning_hides_no_error(kind, tmp_path):
    trainer = Trainer(kind(tmp_path))
    trainer.register_hooks([Complains()])
    trainer._hooks.insert(0, trainer._hooks.pop())  # before any other hook
    with pytest.raises(RuntimeError, match="the cause") as raised:
        trainer.train()
    assert raised.value.__context__ is None
