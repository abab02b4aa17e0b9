"""Benchmarks of adaptation: which files they need, where those come from, which sets they use."""

from __future__ import annotations

from dataclasses import dataclass

from .paths import datasets_root

_CITYSCAPES = "https://www.cityscapes-dataset.com/downloads"
_VOC = "http://host.robots.ox.ac.uk/pascal/VOC"
_ART = "https://github.com/naoto0804/cross-domain-detection/tree/master/datasets"


@dataclass(frozen=True)
class Part:
    """Files of a download.

    Attributes:
        pattern: glob below the root of data sets.
        count: number of files in the official download; more are allowed.
        source: archive or list they come in, and where to get it.
    """

    pattern: str
    count: int
    source: str


@dataclass(frozen=True)
class Benchmark:
    """A pair of domains.

    Attributes:
        parts: what must be there.
        source: data sets with labels.
        target: data sets to adapt on, without reading labels.
        test: data sets that the published protocol tests on.
    """

    parts: tuple[Part, ...]
    source: tuple[str, ...]
    target: tuple[str, ...]
    test: tuple[str, ...]

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of all data sets, each once."""
        return tuple(dict.fromkeys(self.source + self.target + self.test))


def _cityscapes(split: str, count: int) -> tuple[Part, ...]:
    folder = f"cityscapes/{{}}/{split}/*/*_{{}}.png"
    return (
        Part(
            folder.format("leftImg8bit", "leftImg8bit"),
            count,
            f"leftImg8bit_trainvaltest.zip, {_CITYSCAPES}",
        ),
        Part(
            folder.format("gtFine", "gtFine_instanceIds"),
            count,
            f"gtFine_trainvaltest.zip, {_CITYSCAPES}",
        ),
    )


def _fog(split: str, count: int) -> Part:
    return Part(
        f"cityscapes/leftImg8bit_foggy/{split}/*/*_foggy_beta_0.02.png",
        count,
        f"leftImg8bit_trainvaltest_foggy.zip, {_CITYSCAPES}",
    )


def _voc(year: int, archives: str, lists: tuple[str, ...], count: int) -> tuple[Part, ...]:
    source = f"{archives}, {_VOC}; move VOCdevkit/VOC{year} here"
    files = tuple(Part(f"VOC{year}/ImageSets/Main/{name}.txt", 1, source) for name in lists)
    return (
        *files,
        Part(f"VOC{year}/JPEGImages/*.jpg", count, source),
        Part(f"VOC{year}/Annotations/*.xml", count, source),
    )


def _art(folder: str, count: int) -> tuple[Part, ...]:
    source = f"{folder}.zip, {_ART}"
    return (
        Part(f"{folder}/ImageSets/Main/train.txt", 1, source),
        Part(f"{folder}/ImageSets/Main/test.txt", 1, source),
        Part(f"{folder}/JPEGImages/*.jpg", count, source),
        Part(f"{folder}/Annotations/*.xml", count, source),
    )


_CITYSCAPES_PARTS = (*_cityscapes("train", 2975), *_cityscapes("val", 500))
# 5,011 pictures of trainval and 4,952 of test.
_VOC_PARTS = (
    *_voc(
        2007, "VOCtrainval_06-Nov-2007.tar and VOCtest_06-Nov-2007.tar", ("trainval", "test"), 9963
    ),
    *_voc(2012, "VOCtrainval_11-May-2012.tar", ("trainval",), 17125),
)
_SIM10K = (
    "repro_10k_images.tgz and repro_10k_annotations.tgz, "
    "https://fcav.engin.umich.edu/projects/driving-in-the-matrix; move the folders of their "
    "VOC2012 here"
)
_KITTI = "https://www.cvlibs.net/datasets/kitti/eval_object.php"
_CARS = {"target": ("cityscapes_cars_train",), "test": ("cityscapes_cars_val",)}
_SIX = ("voc_six_2007_trainval", "voc_six_2012_trainval")

BENCHMARKS = {
    "foggy_cityscapes": Benchmark(
        (*_CITYSCAPES_PARTS, _fog("train", 2975), _fog("val", 500)),
        source=("cityscapes_boxes_train",),
        target=("foggy_cityscapes_beta_0.02_train",),
        test=("foggy_cityscapes_beta_0.02_val",),
    ),
    "sim10k": Benchmark(
        (
            Part("sim10k/JPEGImages/*.jpg", 10000, _SIM10K),
            Part("sim10k/Annotations/*.xml", 10000, _SIM10K),
            *_CITYSCAPES_PARTS,
        ),
        source=("sim10k_cars_train",),
        **_CARS,
    ),
    "kitti": Benchmark(
        (
            Part("kitti/training/image_2/*.png", 7481, f"data_object_image_2.zip, {_KITTI}"),
            Part("kitti/training/label_2/*.txt", 7481, f"data_object_label_2.zip, {_KITTI}"),
            *_CITYSCAPES_PARTS,
        ),
        source=("kitti_cars_train",),
        **_CARS,
    ),
    "clipart1k": Benchmark(
        (*_art("clipart", 1000), *_VOC_PARTS),
        source=("voc_2007_trainval", "voc_2012_trainval"),
        target=("clipart1k_all",),
        test=("clipart1k_all",),
    ),
    "watercolor2k": Benchmark(
        (*_art("watercolor", 2000), *_VOC_PARTS),
        source=_SIX,
        target=("watercolor2k_train",),
        test=("watercolor2k_test",),
    ),
    "comic2k": Benchmark(
        (*_art("comic", 2000), *_VOC_PARTS),
        source=_SIX,
        target=("comic2k_train",),
        test=("comic2k_test",),
    ),
}


def count_files(benchmark: str) -> list[tuple[Part, int]]:
    """Return each part of a benchmark with the number of its files that are there."""
    root = datasets_root()
    return [(part, sum(1 for _ in root.glob(part.pattern))) for part in BENCHMARKS[benchmark].parts]
