"""Draw a model's predictions: the work of ``drfpn-da predict``."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import Metadata, MetadataCatalog
from detectron2.data import transforms as T
from detectron2.engine import DefaultPredictor

from ..checkpoint import load_model
from ..config import setup_cfg
from ..data.picture_files import UnreadablePictureError
from ..data.validate import check_classes
from ..visualization import draw_predictions, read_rgb, save_new, save_picture, side_by_side
from .arguments.predict import IMAGES, VIDEOS, WRITTEN


class Predictor(DefaultPredictor):
    """detectron2's, whose weights must fit the config."""

    def __init__(self, cfg: CfgNode) -> None:
        self.cfg, self.model = cfg, load_model(cfg)
        self.aug = T.ResizeShortestEdge([cfg.INPUT.MIN_SIZE_TEST] * 2, cfg.INPUT.MAX_SIZE_TEST)
        self.input_format = cfg.INPUT.FORMAT


class Drawer:
    """One model, or several whose pictures are put side by side."""

    def __init__(self, cfgs: dict[str, CfgNode], threshold: float) -> None:
        self._models = {title: (Predictor(cfg), class_metadata(cfg)) for title, cfg in cfgs.items()}
        self._threshold = threshold

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Draw on a picture, (H, W, 3) uint8 RGB."""
        drawn = [
            draw_predictions(image, predictor(image[:, :, ::-1]), metadata, self._threshold)
            for predictor, metadata in self._models.values()
        ]
        return drawn[0] if len(drawn) == 1 else side_by_side(drawn, list(self._models))


def class_metadata(cfg: CfgNode) -> Metadata:
    """Return what names the classes: the first test set, else the first training set that fits.

    Without one, classes are numbers. Sets that this machine does not have are passed over.

    Raises:
        ValueError: a test set has other classes than the model.
    """
    for split in ("TEST", "TRAIN"):
        for name in cfg.DATASETS[split]:
            try:
                check_classes(cfg, [name], f"DATASETS.{split}")
            except (KeyError, FileNotFoundError) as error:
                problem = error.args[0]
            except ValueError as error:
                if split == "TEST":  # was given for these pictures, not for the training before
                    raise
                problem = error.args[0]
            else:
                return MetadataCatalog.get(name)
            print(f"classes are not named by '{name}': {problem}")
    return Metadata()


def model_configs(args: argparse.Namespace) -> dict[str, CfgNode]:
    """Return a config per model, by title: one, or those of --compare."""
    if not args.compare:
        return {"": setup_cfg(args)}
    cfgs: dict[str, CfgNode] = {}
    for spec in args.compare:
        config, _, weights = spec.partition(":")
        if Path(config).suffix not in (".yaml", ".yml") or not weights:
            config, weights = args.config_file, spec
        one = argparse.Namespace(**vars(args))
        one.config_file, one.opts = config, [*args.opts, "MODEL.WEIGHTS", weights]
        cfgs[spec if spec not in cfgs else f"{spec} ({len(cfgs) + 1})"] = setup_cfg(one)
    return cfgs


def draw_video(source: str | int, output: Path, draw: Drawer) -> Path:
    """Draw every frame of a video file or of a webcam (until Ctrl-C) into a new video."""
    codec = WRITTEN.get(output.suffix.lower())
    if codec is None:
        raise SystemExit(
            f"--output {output}: a video is written as {', '.join(WRITTEN)}, not as "
            f"'{output.suffix}'"
        )
    try:
        import cv2
    except ImportError as error:
        raise SystemExit("Videos need OpenCV: pip install opencv-python-headless") from error

    capture = cv2.VideoCapture(source)
    if not capture.isOpened():
        raise SystemExit(f"Cannot open video '{source}'")

    def write(filename: str) -> None:
        writer = None
        try:
            while True:
                more, frame = capture.read()
                if not more:
                    break
                drawn = draw(frame[:, :, ::-1])[:, :, ::-1]
                if writer is None:
                    rate = capture.get(cv2.CAP_PROP_FPS) or 15
                    size = (drawn.shape[1], drawn.shape[0])
                    writer = cv2.VideoWriter(filename, cv2.VideoWriter.fourcc(*codec), rate, size)
                    if not writer.isOpened():
                        raise SystemExit(
                            f"--output {output}: this OpenCV cannot write {codec} into "
                            f"{output.suffix}; write one of {', '.join(WRITTEN)}"
                        )
                writer.write(np.ascontiguousarray(drawn))
        except KeyboardInterrupt:
            print("stopped")
        finally:
            capture.release()
            if writer is not None:
                writer.release()
        if writer is None:
            raise SystemExit(f"Video '{source}' has no frame that can be read")

    return save_new(output, write)


def run(args: argparse.Namespace) -> list[Path]:
    """Do the work; return the files it wrote."""
    files = args.files
    draw = Drawer(model_configs(args), args.confidence_threshold)
    output = Path(args.output)
    one_file = len(files) == 1 and output.suffix.lower() in IMAGES | VIDEOS
    written, unreadable = [], []
    for file in files:
        is_video = file.suffix.lower() in VIDEOS
        name = f"{file.stem}.mp4" if is_video else f"{file.stem}.png"
        target = output if one_file else output / name
        if is_video:
            written.append(draw_video(str(file), target, draw))
        else:
            try:
                image = read_rgb(str(file))
            except UnreadablePictureError as error:
                unreadable.append(str(error))
                continue
            written.append(save_picture(draw(image), target))
        print(written[-1])
    if args.webcam is not None:
        written.append(draw_video(args.webcam, output / f"webcam{args.webcam}.mp4", draw))
        print(written[-1])
    if unreadable:
        raise SystemExit("\n".join([f"{len(unreadable)} of {len(files)} not drawn:", *unreadable]))
    return written
