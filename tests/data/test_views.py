"""Views: the geometry stays, the rest follows from the sample's own random numbers."""

import itertools
import pickle

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from drfpn_da.data import VIEW_REGISTRY, build_target_loader, build_train_loader
from drfpn_da.data.views import StrongView, build_views
from tests.tiny_coco import register_tiny, tiny_cfg, write_tiny_coco

OFF = {"color_jitter_prob": 0.0, "grayscale_prob": 0.0, "blur_prob": 0.0, "erase": []}


@pytest.fixture
def cfg(tmp_path):
    write_tiny_coco(tmp_path / "data")
    register_tiny("tiny_views", tmp_path / "data")
    cfg = tiny_cfg(tmp_path / "out", "tiny_views")
    cfg.DATASETS.TARGET = ("tiny_views",)
    cfg.SOLVER.IMS_PER_BATCH = 2
    return cfg


@pytest.fixture
def picture():
    return torch.randint(0, 256, (3, 40, 60), dtype=torch.uint8)


def samples(loader, count=4):
    return list(itertools.chain(*itertools.islice(loader, count)))


def test_every_operation_can_be_off(picture):
    assert torch.equal(StrongView(**OFF)(picture), picture)
    # Erasing goes through floating point, which must not touch the other pixels.
    never = StrongView(**{**OFF, "erase": [(0.0, 0.1, 0.2, 1, 1)]})
    every_value = torch.arange(256, dtype=torch.uint8).expand(3, 4, 256)
    assert torch.equal(never(every_value), every_value)


@pytest.mark.parametrize("image_format", ["RGB", "BGR"])
def test_grey_weighs_the_channels_by_their_colour(picture, image_format):
    grey = StrongView(**{**OFF, "grayscale_prob": 1.0}, image_format=image_format)(picture)
    assert torch.equal(grey[0], grey[1])
    assert torch.equal(grey[0], grey[2])
    rgb = picture if image_format == "RGB" else picture.flip(0)
    # ITU-R BT.601 luma.
    expected = np.tensordot([0.299, 0.587, 0.114], rgb.numpy().astype(float), axes=1)
    assert np.abs(grey[0].numpy() - expected).max() < 1.1  # truncated, by rounded weights


def test_hue_turns_the_same_way_in_either_order_of_channels(picture):
    jitter = {**OFF, "color_jitter_prob": 1.0, "color_jitter": (0, 0, 0, 0.25)}
    torch.manual_seed(3)
    turned = StrongView(**jitter, image_format="RGB")(picture)
    torch.manual_seed(3)
    assert torch.equal(StrongView(**jitter, image_format="BGR")(picture.flip(0)).flip(0), turned)
    assert not torch.equal(turned, picture)


def test_erased_rectangle_has_the_asked_area_and_ratio(picture):
    view = StrongView(**{**OFF, "erase": [(1.0, 0.2, 0.2, 2.0, 2.0)]})
    changed = (view(picture) != picture).any(dim=0)
    rows, columns = changed.any(dim=1).nonzero().flatten(), changed.any(dim=0).nonzero().flatten()
    height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    assert height / width == pytest.approx(2.0, rel=0.1)
    assert height * width / (40 * 60) == pytest.approx(0.2, rel=0.1)
    # Noise, not one colour: all but chance coincidences changed.
    assert changed.sum() > 0.95 * height * width


def test_masked_cells_have_the_fill_and_the_asked_share():
    picture = torch.full((3, 640, 630), 200, dtype=torch.uint8)
    view = StrongView(**OFF, mask_share=0.7, mask_size=16, fill=(10.2, 20.0, 30.0))
    seen = view(picture)
    assert set(map(tuple, seen.flatten(1).T.unique(dim=0).tolist())) == {
        (10, 20, 30),
        (200, 200, 200),
    }
    masked = seen[0] == 10
    # Whole cells of a grid, the last column cut.
    cells = masked[::16, ::16]
    assert torch.equal(masked, cells.repeat_interleave(16, 0).repeat_interleave(16, 1)[:640, :630])
    assert cells.float().mean() == pytest.approx(0.7, abs=0.05)
    with pytest.raises(ValueError, match=r"MASK has SHARE 0\.5 and SIZE 0"):
        StrongView(mask_share=0.5, mask_size=0)


def test_masks_are_filled_with_what_the_model_subtracts(cfg, picture):
    cfg.MODEL.PIXEL_MEAN = [1.0, 2.0, 3.0]
    cfg.INPUT.STRONG_VIEW.MASK.SHARE = 1.0
    view = build_views(cfg, ["strong"], "INPUT.TARGET_VIEWS")["strong"]
    assert view(picture)[:, 5, 5].tolist() == [1, 2, 3]


@pytest.mark.parametrize("sigma", [0.2, 0.7, 2.0])
def test_blur_is_a_gaussian_of_the_drawn_width(picture, sigma):
    view = StrongView(**{**OFF, "blur_prob": 1.0}, blur_sigma=(sigma, sigma), image_format="RGB")
    wide = v2.functional.gaussian_blur(picture / 255.0, [25, 25], [sigma, sigma])
    # Tails beyond three deviations are left out: 0.3 % of the weight in each direction.
    assert (view(picture) / 255.0 - wide).abs().max() < 0.01


@pytest.mark.parametrize("sigma", [(0.0, 2.0), (2.0, 1.0)])
def test_impossible_blur_is_refused(sigma):
    with pytest.raises(ValueError, match=r"INPUT\.STRONG_VIEW\.BLUR_SIGMA .*BLUR_PROB 0\.0"):
        StrongView(blur_sigma=sigma)


def test_blur_smooths(picture):
    view = StrongView(**{**OFF, "blur_prob": 1.0}, blur_sigma=(1.5, 1.5))
    assert view(picture).float().std() < 0.4 * picture.float().std()


def test_shape_and_type_with_the_defaults(picture):
    view = pickle.loads(pickle.dumps(StrongView()))
    for shape in ((3, 40, 60), (3, 13, 200)):
        seen = [view(torch.randint(0, 256, shape, dtype=torch.uint8)) for _ in range(10)]
        assert {(tuple(x.shape), x.dtype) for x in seen} == {(shape, torch.uint8)}
    grey = StrongView(image_format="L")(picture[:1])
    assert grey.shape == (1, 40, 60)


def test_defaults_of_the_config_are_those_of_the_class(cfg, picture):
    torch.manual_seed(1)
    expected = [StrongView()(picture) for _ in range(8)]
    torch.manual_seed(1)
    view = build_views(cfg, ["strong"], "INPUT.TARGET_VIEWS")["strong"]
    assert all(torch.equal(view(picture), x) for x in expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_views_of_a_target_share_its_geometry(cfg, workers):
    weak = samples(build_target_loader(cfg))
    assert all("views" not in sample for sample in weak)
    cfg.INPUT.TARGET_VIEWS = ["weak", "strong"]
    both = samples(build_target_loader(cfg))
    assert any(not torch.equal(*sample["views"].values()) for sample in both)
    for one, two in zip(weak, both):
        # The weak view is the picture of a run without views: nothing was drawn before it.
        assert torch.equal(one["image"], two["image"])
        assert list(two["views"]) == ["weak", "strong"]
        assert torch.equal(two["image"], two["views"]["weak"])
        assert two["views"]["strong"].shape == two["image"].shape
        assert two["views"]["strong"].dtype == torch.uint8
    cfg.INPUT.TARGET_VIEWS = ["strong"]
    cfg.DATALOADER.NUM_WORKERS = workers
    for two, one in zip(both, samples(build_target_loader(cfg))):
        assert torch.equal(one["image"], two["views"]["strong"])


def test_strong_source_moves_no_label(cfg):
    cfg.MODEL.MASK_ON = True
    weak = samples(build_train_loader(cfg))
    cfg.INPUT.SOURCE_VIEW = "strong"
    strong = samples(build_train_loader(cfg))
    assert any(not torch.equal(a["image"], b["image"]) for a, b in zip(weak, strong))
    for a, b in zip(weak, strong):
        assert a["file_name"] == b["file_name"]
        assert a["image"].shape == b["image"].shape
        first, second = a["instances"], b["instances"]
        assert torch.equal(first.gt_boxes.tensor, second.gt_boxes.tensor)
        assert torch.equal(first.gt_classes, second.gt_classes)
        for one, two in zip(first.gt_masks.polygons, second.gt_masks.polygons):
            assert all(np.array_equal(x, y) for x, y in zip(one, two))


def test_view_of_a_user(cfg):
    def night(cfg):
        return lambda picture: picture // 4

    VIEW_REGISTRY.register(night)
    try:
        cfg.INPUT.TARGET_VIEWS = ["weak", "night"]
        cfg.DATALOADER.NUM_WORKERS = 1  # a lambda must reach the worker
        for sample in samples(build_target_loader(cfg)):
            assert torch.equal(sample["views"]["night"], sample["image"] // 4)
    finally:
        VIEW_REGISTRY._obj_map.pop("night")


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        ([], ValueError, "at least one"),
        (["weak", "weak"], ValueError, "only once"),
        (["week"], KeyError, r"INPUT\.TARGET_VIEWS has \['week'\].*strong, weak"),
    ],
)
def test_names_of_views_are_checked(cfg, names, error, message):
    cfg.INPUT.TARGET_VIEWS = names
    with pytest.raises(error, match=message):
        build_target_loader(cfg)


def test_settings_are_checked():
    with pytest.raises(ValueError, match=r"INPUT\.FORMAT 'YUV-BT\.601'"):
        StrongView(image_format="YUV-BT.601")
    with pytest.raises(ValueError, match=r"INPUT\.STRONG_VIEW\.ERASE"):
        StrongView(erase=[(0.5, 0.1)])
