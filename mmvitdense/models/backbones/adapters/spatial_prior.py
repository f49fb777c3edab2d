"""The convolutional stem of ViT-Adapter and ViT-CoMer."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


class SpatialPriorModule(nn.Module):
    """Maps at strides 4, 8, 16 and 32 from a small convolutional network (ViT-Adapter, arXiv 2205.08534 section 3.2).

    Args:
        embed_dims: Channels of every map.
        channels: Channels of the stem.
        norm: Makes the norm of a number of channels.
        in_channels: Channels of the image.
    """

    def __init__(self, embed_dims: int, channels: int, norm: Callable[[int], nn.Module], in_channels: int = 3):
        super().__init__()

        def conv(before: int, after: int, stride: int) -> list[nn.Module]:
            layer = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
            return [layer, norm(after), nn.ReLU()]

        double, fourfold = 2 * channels, 4 * channels
        self.stem = nn.Sequential(
            *conv(in_channels, channels, 2),
            *conv(channels, channels, 1),
            *conv(channels, channels, 1),
            nn.MaxPool2d(3, 2, 1),
        )
        self.conv2 = nn.Sequential(*conv(channels, double, 2))
        self.conv3 = nn.Sequential(*conv(double, fourfold, 2))
        self.conv4 = nn.Sequential(*conv(fourfold, fourfold, 2))
        self.fc1 = nn.Conv2d(channels, embed_dims, 1)
        self.fc2 = nn.Conv2d(double, embed_dims, 1)
        self.fc3 = nn.Conv2d(fourfold, embed_dims, 1)
        self.fc4 = nn.Conv2d(fourfold, embed_dims, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Map B x in_channels x H x W to four maps, B x embed_dims x ceil(H/s) x ceil(W/s)."""
        quarter = self.stem(image)
        eighth = self.conv2(quarter)
        sixteenth = self.conv3(eighth)
        last = self.conv4(sixteenth)
        return self.fc1(quarter), self.fc2(eighth), self.fc3(sixteenth), self.fc4(last)
