"""Writes one split of the generated streets: pictures, labels, disparity and one COCO JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from .annotate import annotate, separated_labels
from .camera import Camera
from .classes import THING_CLASSES
from .fog import BASELINE, DISPARITY_SCALE, Fog, add_fog, encode_disparity, sample_fog
from .scene import Scene, expose, render_scene, sample_scene
from .spec import SIZES, VERSION, scene_seed

FOLDERS = ("images", "sem_seg", "stuff", "disparity")
# Run lengths: noise hardly compresses, and label maps are runs. Small, and fast to write.
PNG_OPTIONS = [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]


def write_split(folder: Path, size: str, domain: str, split: str) -> None:
    """Generate all pictures of one split into an existing, empty folder.

    Args:
        folder: receives ``images/``, ``sem_seg/``, ``stuff/``, ``disparity/`` and
            ``instances.json``.
        size: key of :data:`~drfpn_da.data.synthetic.spec.SIZES`.
        domain: ``clear`` or ``foggy``.
        split: ``train``, ``val`` or ``sequences``.
    """
    spec = SIZES[size]
    for name in FOLDERS:
        (folder / name).mkdir()
    images: list[dict] = []
    annotations: list[dict] = []
    with _single_threaded():
        for index in range(getattr(spec, split)):
            rng = scene_rng(size, domain, split, index)
            in_sequence = split == "sequences"
            moving = in_sequence and index % 2 == 1
            scene = sample_scene(rng, spec.width, spec.height, moving)
            fog = sample_fog(rng) if domain == "foggy" else None
            cameras = drive(rng, scene.camera, spec.frames) if in_sequence else [scene.camera]
            for time, camera in enumerate(cameras):
                image, found = _write_frame(folder, len(images), scene, camera, time, fog, rng)
                if in_sequence:
                    image["sequence"] = {"id": index, "frame": time, "moving_objects": moving}
                for annotation in found:
                    number = {"id": len(annotations) + 1, "image_id": image["id"]}
                    annotations.append({**number, **annotation})
                images.append(image)
    _write_json(folder / "instances.json", images, annotations)


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Keep OpenCV on one thread: its pool of threads does not survive a fork."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def scene_rng(size: str, domain: str, split: str, index: int) -> np.random.Generator:
    """Return the generator of one scene: draws scene, fog, drive and noise, in this order."""
    seed = np.random.SeedSequence(scene_seed(size, domain, split, index))
    return np.random.Generator(np.random.PCG64(seed))


def drive(rng: np.random.Generator, camera: Camera, frames: int) -> list[Camera]:
    """Return the cameras of a sequence: steady speed and turn, 0.25 to 0.7 m a frame."""
    forward, yaw = float(rng.uniform(0.25, 0.7)), float(rng.uniform(-0.012, 0.012))
    cameras = [camera]
    while len(cameras) < frames:
        cameras.append(cameras[-1].moved(forward, yaw))
    return cameras


def _write_frame(
    folder: Path,
    number: int,
    scene: Scene,
    camera: Camera,
    time: int,
    fog: Fog | None,
    rng: np.random.Generator,
) -> tuple[dict, list[dict]]:
    frame = render_scene(scene, camera, time)
    color = frame.color if fog is None else add_fog(frame.color, frame.inverse_depth, fog)
    picture = expose(color, scene.noise, rng)
    name = f"{number:06d}.png"
    _write_png(folder / "images" / name, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    _write_png(folder / "sem_seg" / name, frame.semantic)
    _write_png(folder / "stuff" / name, separated_labels(frame.semantic))
    _write_png(folder / "disparity" / name, encode_disparity(frame.inverse_depth, camera.focal))
    image = {
        "id": number + 1,
        "file_name": name,
        "width": camera.width,
        "height": camera.height,
        "intrinsics": camera.intrinsics.tolist(),
        "camera_to_world": camera.camera_to_world.tolist(),
    }
    if fog is not None:
        image["fog"] = {"beta": fog.beta, "airlight": list(fog.airlight)}
    return image, annotate(scene, camera, frame, time)


def _write_png(path: Path, pixels: np.ndarray) -> None:
    if not cv2.imwrite(str(path), pixels, PNG_OPTIONS):
        raise OSError(f"cannot write {path}")


def _write_json(path: Path, images: list[dict], annotations: list[dict]) -> None:
    info = {
        "description": "generated streets of drfpn_da",
        "version": VERSION,
        "disparity_scale": DISPARITY_SCALE,
        "baseline": BASELINE,
    }
    categories = [{"id": i, "name": name} for i, name in enumerate(THING_CLASSES, start=1)]
    data = {"info": info, "licenses": [], "categories": categories}
    path.write_text(json.dumps({**data, "images": images, "annotations": annotations}))
