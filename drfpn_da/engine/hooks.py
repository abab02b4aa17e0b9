"""Hooks beside detectron2's."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.data import (
    DatasetMapper,
    Metadata,
    MetadataCatalog,
    build_detection_test_loader,
    get_detection_dataset_dicts,
)
from detectron2.engine import HookBase, hooks
from detectron2.evaluation import inference_context
from detectron2.modeling.meta_arch.dense_detector import DenseDetector
from detectron2.utils import comm
from detectron2.utils.events import EventWriter
from PIL import Image
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import SequentialSampler

from ..data.checked_mapper import CheckedMapper
from ..data.seeding import Stream, derive_seed, seed_everything
from ..visualization import draw_predictions, read_rgb
from .step import unwrap

logger = logging.getLogger(__name__)


class StepSeed(HookBase):
    """Seeds every iteration from (seed, iteration, rank).

    Sampling of proposals and dropout then need no saved state to continue exactly after a resume.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def before_step(self) -> None:
        """Seed the generators of Python, numpy and torch."""
        seed_everything(derive_seed(self._seed, Stream.STEP, self.trainer.iter, comm.get_rank()))


class RunningNormalizer(HookBase):
    """Saves the running number of positives by which RetinaNet and FCOS divide their losses.

    detectron2 keeps it as a plain number, one in each process, which no checkpoint of the model
    holds: without it a resumed run would begin to count anew.
    """

    def __init__(self) -> None:
        self._gathered: list[dict[str, float]] = []

    def after_step(self) -> None:
        """Tell all processes the numbers of all: whoever saves has them."""
        own = self._own()
        if own:
            self._gathered = comm.all_gather(own)

    def state_dict(self) -> dict[str, list[float]]:
        """Return the numbers of all processes so far, by the names of their modules."""
        numbers = self._gathered or [self._own()]
        return {name: [one[name] for one in numbers] for name in numbers[0]}

    def load_state_dict(self, state: dict[str, list[float] | float]) -> None:
        """Go on from saved numbers; with another number of processes, from their mean."""
        detectors = self._detectors()
        # Older checkpoints have the names of modules with "detector" in them.
        state = {
            name
            if name in detectors
            else ".".join(part for part in name.split(".") if part != "detector"): saved
            for name, saved in state.items()
        }
        for name in detectors.keys() & state.keys():
            saved = state[name]
            numbers = saved if isinstance(saved, list) else [saved]  # one, in older checkpoints
            detectors[name].loss_normalizer = (
                numbers[comm.get_rank()]
                if len(numbers) == comm.get_world_size()
                else sum(numbers) / len(numbers)
            )
        self._gathered = []

    def _own(self) -> dict[str, float]:
        return {
            name: module.loss_normalizer
            for name, module in self._detectors().items()
            if hasattr(module, "loss_normalizer")
        }

    def _detectors(self) -> dict[str, DenseDetector]:
        modules = unwrap(self.trainer.model).named_modules()
        return {name: m for name, m in modules if isinstance(m, DenseDetector)}


class SharedStatistics(HookBase):
    """Averages the running statistics of batch norms over the processes after each step.

    Each process normalises by its own pictures and would keep statistics of its own, of which the
    checkpoint has those of the main process: teachers would label, evaluations would judge, and
    resumed runs would go on with others than those. Running statistics are means over batches, so
    their mean over processes is what one process would keep of all the batches.
    """

    def after_step(self) -> None:
        """Average; ahead of hooks that evaluate, label or save."""
        if comm.get_world_size() == 1:
            return
        # Norms in evaluation mode keep what they have, to the bit.
        own = [
            statistic
            for module in unwrap(self.trainer.model).modules()
            if isinstance(module, _BatchNorm) and module.training
            for statistic in (module.running_mean, module.running_var)
            if statistic is not None
        ]
        if not own:
            return
        means = torch.cat([statistic.flatten() for statistic in own])
        torch.distributed.all_reduce(means)
        means /= comm.get_world_size()
        for statistic, mean in zip(own, means.split([statistic.numel() for statistic in own])):
            statistic.copy_(mean.view_as(statistic))


class BestCheckpointer(hooks.BestCheckpointer):
    """detectron2's hook, which after a resume still knows the best value so far."""

    def before_train(self) -> None:
        """Read the best value of the iterations before this one from ``metrics.json``."""
        path = Path(self._checkpointer.save_dir, "metrics.json")
        if self.trainer.start_iter == 0 or not path.is_file():
            return
        for line in path.read_text().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:  # a line cut short when the run was stopped
                continue
            value, iteration = entry.get(self._val_metric), entry.get("iteration", 0)
            if value is None or iteration >= self.trainer.start_iter:
                continue
            if self.best_metric is None or self._compare(value, self.best_metric):
                self._update_best(value, iteration)

    def after_train(self) -> None:
        """Judge the last evaluation; runs that go on later go on from the final checkpoint."""
        final = self._checkpointer.get_checkpoint_file()
        super().after_train()
        # What is saved here counts one iteration more than were trained.
        if final:
            self._checkpointer.tag_last_checkpoint(os.path.basename(final))


class PeriodicWriter(hooks.PeriodicWriter):
    """detectron2's hook, which also writes after each evaluation.

    Writers see only the last value of a metric. Evaluations closer together than the writers'
    period would be lost, and the last one before a run is killed.

    Args:
        writers: as for detectron2's hook.
        period: iterations between writing.
        eval_period: iterations between evaluations; 0: none.
    """

    def __init__(self, writers: list[EventWriter], period: int, eval_period: int) -> None:
        super().__init__(writers, period)
        self._eval_period = eval_period

    def after_step(self) -> None:
        """Write if it is time or after an evaluation."""
        if self._eval_period > 0 and (self.trainer.iter + 1) % self._eval_period == 0:
            for writer in self._writers:
                writer.write()
        else:
            super().after_step()


class PredictionPictures(HookBase):
    """Draws predictions on the first pictures of each test set now and then.

    They go to TensorBoard and to ``OUTPUT_DIR/predictions/<picture>_<iteration>.png``, with several
    test sets to a folder for each set. For the main process only.

    Args:
        cfg: read are VIS_PERIOD, TEST.VIS_IMAGES, DATASETS and OUTPUT_DIR.
        score_threshold: instances below it are not drawn.
    """

    def __init__(self, cfg: CfgNode, score_threshold: float = 0.3) -> None:
        self._cfg = cfg
        self._threshold = score_threshold

    def after_step(self) -> None:
        """Draw if it is time."""
        done = self.trainer.iter + 1
        if self._cfg.VIS_PERIOD > 0 and done % self._cfg.VIS_PERIOD == 0:
            sets = self._cfg.DATASETS.TEST
            for name in sets:
                self._draw(name, "predictions" if len(sets) == 1 else f"predictions/{name}", done)

    def _draw(self, name: str, group: str, done: int) -> None:
        records = get_detection_dataset_dicts(name, filter_empty=False)
        records = records[: self._cfg.TEST.VIS_IMAGES]
        loader = build_detection_test_loader(
            records,
            mapper=CheckedMapper(DatasetMapper(self._cfg, False)),
            # All of them: the default is this process's share.
            sampler=SequentialSampler(records),
        )
        model = unwrap(self.trainer.model)
        folder = os.path.join(self._cfg.OUTPUT_DIR, group)
        os.makedirs(folder, exist_ok=True)
        with inference_context(model), torch.no_grad():
            for inputs in loader:
                picture = draw_predictions(
                    read_rgb(inputs[0]["file_name"]),
                    model(inputs)[0],
                    self._metadata(name),
                    score_threshold=self._threshold,
                )
                stem = Path(inputs[0]["file_name"]).stem
                Image.fromarray(picture).save(f"{folder}/{stem}_{done:07d}.png")
                self.trainer.storage.put_image(
                    f"{group}/{stem}", torch.from_numpy(picture.copy()).permute(2, 0, 1)
                )

    def _metadata(self, name: str) -> Metadata:
        """Class names of the set itself, or of the training set if it has none."""
        for candidate in (name, *self._cfg.DATASETS.TRAIN):
            metadata = MetadataCatalog.get(candidate)
            if metadata.get("thing_classes") or metadata.get("stuff_classes"):
                return metadata
        return MetadataCatalog.get(name)
