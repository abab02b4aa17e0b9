"""Two tasks that look at each other's features (PAD-Net, arXiv 1805.04409; arXiv 2012.10782)."""

from __future__ import annotations

from torch import Tensor, nn


class AttentionTransfer(nn.Module):
    """``A(x) = conv(x) * sigmoid(gate(x))``, two 3x3 convolutions without bias.

    The gate starts at 0.5 everywhere.

    Args:
        channels: of the map and of the result.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.gate = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        nn.init.zeros_(self.gate.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return what a map of shape (N, C, H, W) has to tell, same shape."""
        told: Tensor = self.conv(x) * self.gate(x).sigmoid()
        return told


class AttentionExchange(nn.Module):
    """``F_a + A(F_b)`` and ``F_b + A'(F_a)``, both of the maps as they come.

    Args:
        channels: of both maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.to_first, self.to_second = AttentionTransfer(channels), AttentionTransfer(channels)

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Return both maps, (N, C, H, W) each, with what the other tells."""
        return first + self.to_first(second), second + self.to_second(first)
