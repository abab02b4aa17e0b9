"""Which trainings the demonstration consists of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog

from ..main import call

ADAPTED = "pseudo_label/streets/strong_weak_faster_rcnn_mobilenetv2_drfpn_demo.yaml"
RELABELLED = "scn/streets/faster_rcnn_mobilenetv2_fpn_mini.yaml"
MIXED = "depth_mix/streets/semseg_mobilenetv2_mini.yaml"
NOISE_RATE = 0.2
NOISY = Path("noise", "noisy.json")


@dataclass
class Training:
    """A run of ``drfpn-da train``.

    Attributes:
        name: also of its folder.
        config: path or name of a shipped config.
        options: KEY VALUE words.
        needs: the training whose last checkpoint it starts from.
    """

    name: str
    config: str
    options: list[str] = field(default_factory=list)
    needs: str | None = None


def plan(
    folder: Path,
    length: float = 1.0,
    seed: int = 1,
    sizes: tuple[str, str] = ("demo", "small"),
    pretrained: bool = True,
) -> list[Training]:
    """Write the noisy labels and return the trainings, those on which others wait first.

    Args:
        folder: of the demonstration.
        length: times the usual number of steps.
        seed: of every training, and of the noise.
        sizes: of the streets to train on and to test on.
        pretrained: whether weights of the body can be had; else batch norms are trained too.
    """
    train, test = sizes
    body = [] if pretrained else ["MODEL.MOBILENETV2.NORM", "BN"]
    common = ["SEED", str(seed), *body]
    start = [] if pretrained else ["MODEL.WEIGHTS", ""]
    data = [
        *("DATASETS.TRAIN", f"('streets_{train}_clear_train',)"),
        *("DATASETS.TARGET", f"('streets_{train}_foggy_train',)"),
    ]
    tests = ["DATASETS.TEST", f"('streets_{test}_clear_val', 'streets_{test}_foggy_val')"]
    source = ["MODEL.ADAPT.BASELINE", "source_only"]
    go_on = ["MODEL.WEIGHTS", str(folder / "clear" / "model_final.pth")]
    adapt = [*common, *data, *tests, *go_on, *_steps(200 * length)]
    adapt += ["TEST.SLENDER.ENABLED", "True"]
    return [
        Training(
            "clear",
            ADAPTED,
            [*common, *start, *data, *source, *_steps(550 * length), *_plain()],
        ),
        Training("relabelled", RELABELLED, [*common, *start, *_noise(folder, train, seed, length)]),
        Training("mixed", MIXED, [*common, *start, *_mixing(length)]),
        Training("adapted", ADAPTED, adapt, needs="clear"),
        Training("source_only", ADAPTED, [*adapt, *source], needs="clear"),
    ]


def _steps(number: float, drop: float = 0.8) -> list[str]:
    steps = max(int(number), 4)
    return ["SOLVER.MAX_ITER", str(steps), "SOLVER.STEPS", str((max(int(steps * drop), 1),))]


def _plain() -> list[str]:
    """No teacher and no test: nothing is asked of this one but where the others go on from."""
    words = ["MODEL.TEACHER.ENABLED", "False", "MODEL.TEACHER.EVAL", "student"]
    return [*words, "DATASETS.TEST", "()"]


def _noise(folder: Path, size: str, seed: int, length: float) -> list[str]:
    """Options of the training on wrong labels, whose file is written here."""
    name = f"streets_{size}_clear_train"
    pictures = len(DatasetCatalog.get(name))
    clean = MetadataCatalog.get(name)
    words = [clean.json_file, "--output", str(folder / NOISY), "--rate", str(NOISE_RATE)]
    noisy, _ = call(["data", "noise", *words, "--seed", str(seed)])
    # Windows of votes as in a training of 400 steps, which is left once all of them are over: the
    # rest of it would not change a label. A window is at least an epoch long.
    batch = 4
    window = max(int(60 * length), -(-pictures // batch))
    start = max(int(80 * length), 1)
    last = start + 3 * window + 1
    register: list[Sequence[Any]] = [["demo_noisy", str(noisy.resolve()), clean.image_root]]
    return [
        *("DATASETS.REGISTER", str(register), "DATASETS.TRAIN", "('demo_noisy',)"),
        *("DATASETS.TEST", "()", "TEST.EVAL_PERIOD", "0", "INPUT.MASK_FORMAT", "bitmask"),
        *("SOLVER.MAX_ITER", str(last + 4), "SOLVER.STEPS", "()", "SOLVER.BASE_LR", "0.01"),
        *("SOLVER.IMS_PER_BATCH", str(batch), "SOLVER.CHECKPOINT_PERIOD", "1000000"),
        *("SCN_RELABEL.DRY_RUN", "False", "SCN_RELABEL.START_FRACTION", str(start / (last + 4))),
        *("SCN_RELABEL.STOP_FRACTION", str(last / (last + 4))),
        *("SCN_RELABEL.PERIOD_FRACTION", str(window / (last + 4))),
    ]


def _mixing(length: float) -> list[str]:
    """Options of the training with mixes; it is tested when mixing starts, and in the end."""
    start = max(int(80 * length), 2)
    return [
        *("SOLVER.MAX_ITER", str(2 * start + start // 2), "TEST.EVAL_PERIOD", str(start)),
        *("MODEL.DEPTH_MIX.START_ITER", str(start), "MODEL.TEACHER.START_ITER", str(start)),
        *("SOLVER.CHECKPOINT_PERIOD", "1000000"),
    ]
