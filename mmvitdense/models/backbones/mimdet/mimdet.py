"""MIMDet: an MAE encoder and decoder as the backbone of a detector."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvitdense.layers import HoldsViT, constructed_undrawn, draw_xavier_linear, sincos_position_table
from mmvitdense.models.backbones.holding import build_held_vit
from mmvitdense.models.backbones.vit import StemlessViT
from mmvitdense.models.initialized_module import InitializedModule
from mmvitdense.ops.recording import constant, is_exporting
from mmvitdense.option_types import Count
from mmvitdense.registry import MODELS

from .conv_stem import ConvStem
from .padding import inside_images

STRIDE = 16
FILLS = ('conv_feat', 'mask_token')
_AS_PUBLISHED = {
    'with_cls_token': False,
    'pos_embed_cls_slot': True,
    'final_norm': 'last',
    'norm_eps': 1e-5,
}
_DECODER = {'embed_dims': 512, 'num_layers': 4, 'num_heads': 16}


@MODELS.register_module()
class MIMDet(HoldsViT, InitializedModule):
    """A pre-trained encoder that sees a random part of the image, and a decoder that fills in the rest.

    MIMDet (arXiv 2204.02964; hustvl/MIMDet `models/mimdet.py`). A convolutional stem gives the maps of strides 4 and
    8 and the tokens; a random part of these passes the ViT; the decoder of MAE gets what comes out, and something in
    the place of what was left out; its output is the map of stride 16 and, max-pooled, of stride 32. Images of any
    height and width work.

    The tokens of a training step come from torch's random generator, so that `torch.manual_seed` repeats them. In
    evaluation (with a `test_sample_ratio` below 1) they come from `seed` and depend on nothing but the size of the
    canvas.

    Args:
        vit: The encoder, a `PlainViT` or its config, by default ViT-B with what was published besides (no class
            token, a final norm, epsilon 1e-5; 'type' may be left out). All blocks attend globally without relative
            positions. Its patch embedding gives way to the stem, and its position table stays fixed, starting from
            sines and cosines. Of a module the blocks and norms are used as they are, and so is a copy of its table; the
            module itself keeps all its parts.
        decoder: Options of the `PlainViT` that is the decoder; by default 512 channels, 4 blocks, 16 heads, all else
            as for `vit`. Its position table is fixed as well.
        sample_ratio: Part of the tokens that the encoder sees in training, above 0 and at most 1.
        test_sample_ratio: The same in evaluation.
        fill: What the decoder gets in place of the others: 'conv_feat', the projected token of the stem (release
            1.2.0), or 'mask_token', a learned token (release 1.0.0).
        mask_padding: Whether the stem computes an image in a padded batch as if it were alone, see `ConvStem`.
        seed: Of the tokens in evaluation.
        with_cp: Whether stem, encoder and decoder are recomputed in the backward pass to save memory.
        init_cfg: `dict(type='ViTPretrained', checkpoint=PATH_OR_URL)` loads a file of MAE that holds the decoder, or
            an official file of MIMDet.
        in_channels: Channels of the image; by default those of `vit`.
    """

    layer_rules = {nn.Linear: draw_xavier_linear}
    held_vits = ('vit', 'decoder')
    pretraining_names = (
        (r'^(blocks\.|norm\.|pos_embed$)', r'vit.\1'),
        (r'^decoder_(blocks\.|norm\.|pos_embed$)', r'decoder.\1'),
    )
    new_parts = ('stem.', 'conv_feat_proj.')
    without_vit = (
        'the checkpoint holds an encoder alone, and MIMDet needs the decoder it was trained with (from a random one, '
        'training diverges): take the full model of MAE, such as mae_pretrain_vit_base_full.pth'
    )
    fit_advice = "Files of MIMDet 1.0.0 need fill='mask_token', those of 1.2.0 fill='conv_feat'"

    @constructed_undrawn
    def __init__(
        self,
        vit: dict | StemlessViT | None = None,
        decoder: dict | None = None,
        sample_ratio: float = 0.5,
        test_sample_ratio: float = 1.0,
        fill: str = 'conv_feat',
        mask_padding: bool = False,
        seed: int = 0,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
        in_channels: Count | None = None,
    ):
        super().__init__(init_cfg)
        for name, ratio in (('sample_ratio', sample_ratio), ('test_sample_ratio', test_sample_ratio)):
            if not 0 < ratio <= 1:
                raise ValueError(f'{name} must be above 0 and at most 1, got {ratio}')
        if fill not in FILLS:
            raise ValueError(f'fill must be one of {FILLS}, got {fill!r}')
        self.sample_ratio, self.test_sample_ratio, self.seed = sample_ratio, test_sample_ratio, seed

        given = isinstance(vit, nn.Module)
        vit = _checked('vit', build_held_vit({} if vit is None else vit, in_channels, **_AS_PUBLISHED))
        self.vit = vit.without_patch_embedding()
        decoder = {'pretrain_img_size': [STRIDE * side for side in vit.pos_grid], **_DECODER, **(decoder or {})}
        self.decoder = _checked('decoder', build_held_vit(decoder, **_AS_PUBLISHED)).without_patch_embedding()
        self._built = ('decoder',) if given else ('vit', 'decoder')
        for part in self._built:
            getattr(self, part).layer_rules = self.layer_rules
        self.stem = ConvStem(vit.embed_dims, vit.in_channels, mask_padding, with_cp=with_cp)
        self.with_cp = with_cp
        self.decoder_embed = nn.Linear(self.vit.embed_dims, self.decoder.embed_dims)
        self.conv_feat_proj = self.mask_token = None
        if fill == 'conv_feat':
            self.conv_feat_proj = nn.Linear(self.vit.embed_dims, self.decoder.embed_dims)
        else:
            self.mask_token = nn.Parameter(torch.zeros(1, 1, self.decoder.embed_dims))

    def reset_parameters(self) -> None:
        """Draw the mask token, and start the tables of positions as MAE does."""
        if self.mask_token is not None:
            nn.init.normal_(self.mask_token, std=0.02)
        for part in (getattr(self, name) for name in self._built):
            slot = int(part.pos_embed_cls_slot)
            with torch.no_grad():
                part.pos_embed[:, :slot].zero_()
                part.pos_embed[:, slot:].copy_(sincos_position_table(part.pos_grid, part.embed_dims))

    def forward(
        self,
        image: Tensor,
        image_sizes: Sequence[tuple[int, int]] | Tensor | None = None,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Map an image to four maps.

        Args:
            image: B x in_channels x H x W.
            image_sizes: Height and width of each image before it was padded to H x W at the bottom and on the right.
                Tokens of padding are drawn only where an image has too few others; without sizes nothing is padding.
            noise: B x h*w (h = H/16, w = W/16, rounded up); the tokens with the smallest values are seen. Drawn when
                None.

        Returns:
            Maps of strides 4, 8, 16 and 32, sides rounded up, with D/4, D/2 and twice the decoder's channels.
        """
        quarter, eighth, sixteenth = self.stem(image, image_sizes)
        grid = (sixteenth.shape[-2], sixteenth.shape[-1])
        features = sixteenth.flatten(2).transpose(1, 2).contiguous()
        tokens = self.vit.place(features, grid)
        ratio = self.sample_ratio if self.training else self.test_sample_ratio
        if ratio < 1:
            if noise is None:
                noise = self._draw_noise(tokens)
            seen = self._choose(noise, ratio, grid, image_sizes)
            tokens = self._fill(features, self._encode(_take(tokens, seen)), seen)
        else:
            tokens = self._connect_fill(self._encode(tokens))
        tokens = self.decoder.run_blocks(self.decoder.place(tokens, grid), grid, with_cp=self.with_cp)
        decoded = self.decoder.to_map(self.decoder.norm(tokens), grid)
        return quarter, eighth, decoded, F.max_pool2d(decoded, 2, ceil_mode=True)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter, for layer-wise learning-rate decay.

        Args:
            param_name: Full name of the parameter.
            prefix: What precedes the names of this module, 'backbone.' in a detector.

        Returns:
            Its depth and the number of depths: 0 for the stem, that of `PlainViT` for the encoder, the last for the
            decoder and all else.
        """
        if param_name.startswith(f'{prefix}stem.'):
            return 0, self.vit.num_layers + 2
        return self.vit.get_layer_depth(param_name, f'{prefix}vit.')

    def _encode(self, tokens: Tensor) -> Tensor:
        """Tokens of the encoder in the width of the decoder; their order is of no importance."""
        tokens = self.vit.run_blocks(tokens, (1, tokens.shape[1]), with_cp=self.with_cp)
        return self.decoder_embed(self.vit.norm(tokens))

    def _draw_noise(self, tokens: Tensor) -> Tensor:
        batch, count, _ = tokens.shape
        if self.training:
            return torch.rand(batch, count, device=tokens.device)
        return _fixed_noise(count, self.seed).to(tokens.device).expand(batch, -1)

    @staticmethod
    def _choose(noise: Tensor, ratio: float, grid: tuple[int, int], image_sizes) -> Tensor:
        """Indices of the tokens that are seen, B x K."""
        if image_sizes is not None:
            inside = inside_images(image_sizes, len(noise), grid, STRIDE, noise.device)
            noise = noise.masked_fill(~inside.flatten(1), torch.inf)
        count = max(int(noise.shape[1] * ratio), 1)
        # The sort of ONNX is stable, and cannot be asked to be.
        order = noise.sort(dim=1) if is_exporting() else noise.sort(dim=1, stable=True)
        return order.indices[:, :count]

    def _fill(self, features: Tensor, encoded: Tensor, seen: Tensor) -> Tensor:
        """Put what the encoder gave in its places, and the fill everywhere else."""
        if self.conv_feat_proj is not None:
            filled = self.conv_feat_proj(features)
        else:
            filled = self.mask_token.to(encoded.dtype).expand(*features.shape[:2], -1)
        return filled.scatter(1, seen[..., None].expand_as(encoded), encoded)

    def _connect_fill(self, tokens: Tensor) -> Tensor:
        """Give the unused fill gradients of zero, which distributed training needs, instead of none."""
        if not torch.is_grad_enabled():
            return tokens
        unused = self.conv_feat_proj.parameters() if self.conv_feat_proj is not None else [self.mask_token]
        return tokens + 0.0 * sum(parameter.sum() for parameter in unused)


def _take(tokens: Tensor, indices: Tensor) -> Tensor:
    return tokens.gather(1, indices[..., None].expand(-1, -1, tokens.shape[2]))


@torch.compiler.assume_constant_result
def _fixed_noise(count: int, seed: int) -> Tensor:
    """Drawn on the CPU, so that every device sees the same."""
    return constant(lambda: torch.rand(1, count, generator=torch.Generator().manual_seed(seed), device='cpu'))


def _checked(name: str, vit: StemlessViT) -> StemlessViT:
    """The model, refused where it needs tokens in their places, which a part of them is not."""
    if not isinstance(vit, StemlessViT):
        raise TypeError(
            f'the {name} of MIMDet must take tokens of another stem, see StemlessViT, got {type(vit).__name__}: give '
            'a PlainViT'
        )
    wrong = [f'patch_size={vit.patch_size} instead of {STRIDE}'] if vit.patch_size != STRIDE else []
    if wrong := [*wrong, *vit.bound_to_places()]:
        raise ValueError(
            f'the {name} of MIMDet has {" and ".join(wrong)}: give it absolute positions, patches of {STRIDE} pixels '
            'and none of the others, as MAE has'
        )
    return vit
