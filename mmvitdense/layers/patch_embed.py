"""From an image to one token for each patch."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mmvitdense.option_types import options_checked

from .norm import BatchNorm2d


class PatchEmbed(nn.Module):
    """Non-overlapping convolution from an image to a grid of tokens.

    An image whose sides are not multiples of the patch is padded with zeros at the bottom and on the right, so that
    no pixel is lost; detectron2 and timm drop or refuse the remainder. For multiples all three agree.

    Args:
        embed_dims: Channels of a token.
        patch_size: Side of a square patch in pixels.
        in_channels: Channels of the image.
        bias: Whether the projection has a bias (CLIP's has none).
        norm: Norm of each patch after the projection (AIMv2); None for none.
    """

    def __init__(
        self,
        embed_dims: int,
        patch_size: int = 16,
        in_channels: int = 3,
        bias: bool = True,
        norm: nn.Module | None = None,
    ):
        super().__init__()
        self.patch_size = patch_size
        self.proj = nn.Conv2d(in_channels, embed_dims, patch_size, stride=patch_size, bias=bias)
        self.norm = nn.Identity() if norm is None else norm

    def forward(self, image: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Embed `image` (B x in_channels x H x W); return tokens (B x h*w x C, row by row) and the grid (h, w)."""
        pad_bottom, pad_right = (-image.shape[-2] % self.patch_size, -image.shape[-1] % self.patch_size)
        if pad_bottom or pad_right:
            image = F.pad(image, (0, pad_right, 0, pad_bottom))
        maps = self._project(image)
        # The sums of the blocks keep the layout of their first operand, so each norm would copy channels-first tokens.
        patches = self.norm(maps.flatten(2).transpose(1, 2).contiguous())
        return patches, (maps.shape[-2], maps.shape[-1])

    def _project(self, image: Tensor) -> Tensor:
        """Map B x in_channels x H x W, both multiples of the patch, to B x C x h x w."""
        return self.proj(image)


class ConvNormReLU(nn.Module):
    """A convolution of stride 2, batch norm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1, bias=False)
        self.norm = BatchNorm2d(out_channels)

    def forward(self, maps: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(maps)))


class ConvPatchEmbed(PatchEmbed):
    """Tokens of 16 pixels from four convolutions of 3 x 3 and stride 2, all but the last with batch norm and ReLU.

    ECViT's stem (EdgeCrafter, arXiv 2603.18739; `engine/edgecrafter/ecvit.py:ConvPyramidPatchEmbed`). Their channels
    are an eighth, a quarter and half of those of a token.

    Args:
        embed_dims: Channels of a token, a multiple of 8.
        in_channels: Channels of the image.
        norm_eval: Whether the batch norms keep their running statistics in training, as a published stem in a detector
            with few images a batch should.
    """

    patch_size = 16

    @options_checked
    def __init__(self, embed_dims: int, in_channels: int = 3, norm_eval: bool = True):
        nn.Module.__init__(self)
        if embed_dims % 8:
            raise ValueError(f'a stem of convolutions needs a multiple of 8 channels, got {embed_dims}')
        self.norm_eval, self.norm = norm_eval, nn.Identity()
        channels = (in_channels, embed_dims // 8, embed_dims // 4, embed_dims // 2)
        self.convs = nn.ModuleList(map(ConvNormReLU, channels, channels[1:]))
        self.proj = nn.Conv2d(channels[-1], embed_dims, 3, stride=2, padding=1)

    def train(self, mode: bool = True) -> ConvPatchEmbed:
        """Switch between training and evaluation; the batch norms stay in evaluation with `norm_eval`."""
        super().train(mode)
        if self.norm_eval:
            self.convs.eval()
        return self

    def _project(self, image: Tensor) -> Tensor:
        for conv in self.convs:
            image = conv(image)
        return self.proj(image)


STEMS = {'conv': ConvPatchEmbed}


def build_patch_embed(
    stem: dict | None,
    embed_dims: int,
    patch_size: int,
    in_channels: int,
    bias: bool,
    norm: nn.Module | None = None,
) -> PatchEmbed:
    """Build the patch embedding: one convolution, or the stem of `dict(kind='conv', ...)`.

    Raises:
        ValueError: There is no such stem, or it makes patches of another size.
    """
    if stem is None:
        return PatchEmbed(embed_dims, patch_size, in_channels, bias, norm)
    options = dict(stem)
    kind = options.pop('kind', None)
    if kind not in STEMS:
        raise ValueError(f'kind of stem must be one of {tuple(STEMS)}, got {kind!r}')
    built = STEMS[kind](embed_dims, in_channels, **options)
    if patch_size != built.patch_size or not bias:
        raise ValueError(
            f'a stem of kind {kind!r} makes patches of {built.patch_size} pixels with a bias, got '
            f'patch_size={patch_size} and patch_bias={bias}: give these or leave the stem out'
        )
    if norm is not None:
        raise ValueError(f'a stem of kind {kind!r} has no norm of the patches: leave patch_norm or the stem out')
    return built
