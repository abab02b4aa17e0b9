"""Shared by the lazy configs: an adapted detector, and source and target in one loader."""

from detectron2.config import LazyCall as L

from drfpn_da.data import (
    build_target_loader,
    build_train_loader,
    build_two_stream_loader,
    get_target_dicts,
)
from drfpn_da.layers import GlobalDiscriminator, LocalDiscriminator
from drfpn_da.modeling import AdaptiveModel
from drfpn_da.objectives import AlignmentTap, StrongWeakAlignment


def adapt(detector, res2_channels=256, res4_channels=1024):
    """Align res2 locally and res4 globally in any detector."""
    taps = [
        L(AlignmentTap)(
            feature="res4", discriminator=L(GlobalDiscriminator)(in_channels=res4_channels)
        ),
        L(AlignmentTap)(
            feature="res2", discriminator=L(LocalDiscriminator)(in_channels=res2_channels)
        ),
    ]
    return L(AdaptiveModel)(detector=detector, objectives=[L(StrongWeakAlignment)(taps=taps)])


def two_streams(dataloader, target):
    """The training loader of a section as in detectron2's common/data, and a target beside it.

    The section's references to its training loader are replaced by what they point to, for the
    loader moves one level down.
    """
    source = dataloader.train
    source._target_ = build_train_loader
    dataloader.test.mapper.image_format = source.mapper.image_format
    stream = L(build_target_loader)(
        dataset=L(get_target_dicts)(names=target),
        mapper="${..source.mapper}",
        total_batch_size="${..source.total_batch_size}",
        num_workers="${..source.num_workers}",
    )
    return L(build_two_stream_loader)(source=source, target=stream)
