"""The plain Vision Transformer, for dense prediction."""

from __future__ import annotations

import copy
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmvitdense.layers import (
    TOKEN_NORMS,
    AttentionPosition,
    ConvPatchEmbed,
    QueryMask,
    RecordsPositions,
    SinCosPositions,
    SineConvPositions,
    build_patch_embed,
    build_rope,
    constructed_undrawn,
    draw_vit_linear,
    recomputed,
    resize_position_table,
)
from mmvitdense.layers.positions.sincos import SINES
from mmvitdense.option_types import Count, CountOrZero, DropRate, Positive
from mmvitdense.registry import MODELS

from .freezing import freeze, frozen_blocks, frozen_count
from .presets import fitting_presets, takes_preset
from .vit import BaseViT
from .vit_blocks import block_tables, build_block, shared_tables
from .vit_options import check_choices, check_norms, check_positions, check_sizes
from .vit_sizes import block_indices, patch_grid, resolve_sizes, window_sizes


@MODELS.register_module()
class PlainViT(RecordsPositions, BaseViT):
    """Vision Transformer with one map or several as output (ViT, arXiv 2010.11929; ViTDet, arXiv 2203.16527).

    With the defaults it is a ViT with global attention and a learned position table. `window_size` and
    `rel_pos='decomposed'` make it the backbone of ViTDet (detectron2 `modeling/backbone/vit.py`). Images of any
    height and width work: the patch grid is padded to whole patches at the bottom and on the right.

    Parameter names follow timm and MAE (`blocks.0.attn.qkv.weight`).

    Args:
        arch: Name in `ARCHITECTURES` that sets the four sizes below; sizes given explicitly win over it.
        preset: Name in `PRESETS`, such as 'dinov2-base', that sets what is not given as its pre-training had it.
        embed_dims: Channels of a token.
        num_layers: Number of blocks.
        num_heads: Attention heads of a block.
        feedforward_channels: Channels inside the feed-forward network.
        img_size: Side (or height and width) in pixels of the images this model is meant for. It sizes the tables of
            decomposed relative positions of the global blocks, nothing else; other images work.
        pretrain_img_size: Side (or height and width) in pixels of the pre-training images. It sizes the position
            table, which is resized to the grid of each image. `img_size` when None.
        patch_size: Side of a patch in pixels.
        in_channels: Channels of the image.
        stem: Convolutions that make the patches, `dict(kind='conv', norm_eval=True)`, see `ConvPatchEmbed`; None
            for one of the size of a patch.
        out_indices: Blocks whose output is returned, in order of depth, counted from 0, negative ones from the end.
            Blocks after the last of them never run: they are frozen, and a line of the log names them.
        drop_path_rate: Stochastic depth of the last block; grows linearly from 0 at the first.
        qkv_bias: Whether query, key and value have a bias; 'qv' for a bias of zero on the keys, which stays frozen.
        proj_bias: Whether the output projection of the attention has a bias (AIMv2's has none).
        ffn_bias: Whether the layers of the feed-forward network have biases (AIMv2's have none).
        patch_bias: Whether the patch embedding has a bias (CLIP's has none).
        patch_norm: Whether a norm follows the patch embedding, before positions are added (AIMv2).
        ffn: 'mlp', or 'swiglu' for a gated one, see `SwiGLU`.
        act: Activation of 'mlp': 'gelu' (exact), 'gelu_tanh' or 'quick_gelu' (OpenAI's CLIP).
        ffn_norm: Whether a norm precedes the last layer of the feed-forward network (EVA-02 base and large).
        attn_inner_norm: Whether a norm precedes the output projection of the attention (EVA-02 of CLIP).
        with_cls_token: Whether a class token is prepended.
        num_registers: Number of register tokens after the class token (arXiv 2309.16588).
        pos_embed: 'absolute' for a learned table; 'sincos_mae' or 'sincos_bv' for sines and cosines computed for each
            grid, see `SinCosPositions`; 'sine_conv' for a code of the grid, see `SineConvPositions`; None for none.
        pos_embed_cls_slot: Whether the table starts with a row for the class token. By default as
            `with_cls_token`; True without class token keeps the row of the pre-training (unused), as detectron2
            does, so that checkpoints and parameter counts agree.
        pos_resize: How the table follows the grid, `dict(by='size', 'scale' or 'tile', offset=0.1, antialias=False,
            mode='bicubic', align_corners=False, square=False)`, see `resize_position_table`. DINOv2 without
            registers: `dict(by='scale')`.
        rope: Rotary positions, `dict(kind='dinov3', 'eva02' or 'axial', ...)` with the options of `RopeDinov3`,
            `RopeEva02` or `RopeAxial`; None for none.
        window_size: Side of the attention windows in tokens, 0 for global attention in every block; or one number for
            each block, 0 for a block that attends globally.
        global_blocks: Indices of the blocks that attend globally although there is a window. By default the last
            block of each quarter of the depth; () for none. None where `window_size` has one number for each block.
        window_pad: What fills windows over the edge, 'tokens' or 'qkv', see `Attention`.
        rel_pos: 'decomposed' for decomposed relative positions in every block (ViTDet, SAM), 'bias' for BEiT's table of
            biases in every block, 'bias_shared' for one table for all blocks, None for none.
        rel_pos_at: At which grid BEiT's tables are kept: 'pretrain' for that of `pretrain_img_size`, resized to each
            grid, windows included; 'window' for that of the windows of a block (fine-tuned detectors; 'bias_shared'
            then has one table for each size of windows), global blocks as before.
        value_conv: Side of the kernel that convolves the values of every block (ResFormer: 3), see `ValueConv`; 0
            for none.
        conv_blocks: Indices of the blocks followed by a convolutional propagation block.
        conv_block_kind: 'bottleneck', 'basic' or 'naive', see `ConvPropagation`.
        layer_scale_init: Gain of LayerScale at the start; None for none.
        pre_norm: Whether a norm precedes the first block (CLIP).
        final_norm: 'all' to apply a norm to every output, 'last' to the last one, None to none (ViTDet).
        norm: Kind of all norms, 'layer' or 'rms' (AIMv2), see `RMSNorm`.
        norm_eps: Epsilon of all norms.
        final_norm_eps: Epsilon of the final norm, where it is another (Co-DETR).
        frozen_stages: Number of first blocks that are frozen, with the embedding; 0 freezes the embedding alone,
            -1 nothing. 'all', or `num_layers`, freezes everything: the blocks, the final norm, and the positions that
            blocks share. What is frozen stays in evaluation mode (no drop path; with 'all' no random scaling of rotary
            positions) and, where nothing that is trained comes before it, keeps nothing for the backward pass.
        tuned_blocks: Indices of blocks that are trained although `frozen_stages` covers them.
        with_cp: Whether blocks are recomputed in the backward pass to save memory.
        init_cfg: `dict(type='ViTPretrained', checkpoint=PATH_OR_URL)` loads published weights.
    """

    layer_rules = {nn.Linear: draw_vit_linear}

    @takes_preset
    @constructed_undrawn
    def __init__(
        self,
        arch: str | None = None,
        *,
        preset: str | None = None,
        embed_dims: int | None = None,
        num_layers: int | None = None,
        num_heads: int | None = None,
        feedforward_channels: int | None = None,
        img_size: int | Sequence[int] = 224,
        pretrain_img_size: int | Sequence[int] | None = None,
        patch_size: Count = 16,
        in_channels: Count = 3,
        stem: dict | None = None,
        out_indices: int | Sequence[int] = -1,
        drop_path_rate: DropRate = 0.0,
        qkv_bias: bool | str = True,
        proj_bias: bool = True,
        ffn_bias: bool = True,
        patch_bias: bool = True,
        patch_norm: bool = False,
        ffn: str = 'mlp',
        act: str = 'gelu',
        ffn_norm: bool = False,
        attn_inner_norm: bool = False,
        with_cls_token: bool = False,
        num_registers: CountOrZero = 0,
        pos_embed: str | None = 'absolute',
        pos_embed_cls_slot: bool | None = None,
        pos_resize: dict | None = None,
        rope: dict | None = None,
        window_size: int | Sequence[int] = 0,
        global_blocks: Sequence[int] | None = None,
        window_pad: str = 'tokens',
        rel_pos: str | None = None,
        rel_pos_at: str = 'pretrain',
        value_conv: int = 0,
        conv_blocks: Sequence[int] = (),
        conv_block_kind: str = 'bottleneck',
        layer_scale_init: float | None = None,
        pre_norm: bool = False,
        final_norm: str | None = None,
        norm: str = 'layer',
        norm_eps: Positive = 1e-6,
        final_norm_eps: Positive | None = None,
        frozen_stages: int | str = -1,
        tuned_blocks: Sequence[int] = (),
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        self.preset = preset
        sizes = resolve_sizes(arch, embed_dims, num_layers, num_heads, feedforward_channels)
        self.embed_dims, self.num_layers, self.num_heads, _ = sizes
        names = ('embed_dims', 'num_layers', 'num_heads', 'feedforward_channels')
        check_sizes(**dict(zip(names, sizes)), patch_size=patch_size, in_channels=in_channels)
        check_choices(pos_embed=pos_embed, rel_pos=rel_pos, rel_pos_at=rel_pos_at, ffn=ffn, final_norm=final_norm)
        check_positions(pos_resize, rope, rel_pos)
        last_eps = norm_eps if final_norm_eps is None else final_norm_eps
        check_norms(norm, ffn_norm or attn_inner_norm, norm_eps, last_eps)
        self.patch_size, self.in_channels = patch_size, in_channels
        self.out_indices = block_indices('out_indices', out_indices, self.num_layers)
        self.final_norm, self.with_cp = final_norm, with_cp
        self.frozen_stages = frozen_count(frozen_stages, self.num_layers)
        self.tuned_blocks = block_indices('tuned_blocks', tuned_blocks, self.num_layers)
        self.drop_path_rate, self.norm_eps, self.rel_pos = drop_path_rate, norm_eps, rel_pos
        windows = window_sizes(window_size, global_blocks, self.num_layers)
        self.global_blocks = tuple(index for index, window in enumerate(windows) if not window)
        self.window_sizes = tuple(sorted(set(windows) - {0}))
        self.conv_blocks = block_indices('conv_blocks', conv_blocks, self.num_layers)
        pretrained = img_size if pretrain_img_size is None else pretrain_img_size
        self.pos_grid = patch_grid('pretrain_img_size', pretrained, patch_size)
        self.pos_resize = dict(pos_resize or {})

        build_norm = TOKEN_NORMS[norm]
        of_patches = build_norm(self.embed_dims, eps=norm_eps) if patch_norm else None
        self.patch_embed = build_patch_embed(stem, self.embed_dims, patch_size, in_channels, patch_bias, of_patches)
        self._add_tokens(with_cls_token, num_registers, pos_embed, pos_embed_cls_slot)
        self.norm_pre = build_norm(self.embed_dims, eps=norm_eps) if pre_norm else nn.Identity()
        self.rope = build_rope(rope, self.embed_dims // self.num_heads) if rope else None
        tables = (rel_pos_at == 'window', windows, self.pos_grid, with_cls_token)
        shared = shared_tables(self.num_heads, *tables) if rel_pos == 'bias_shared' else (None, nn.ModuleDict())
        self.rel_pos_bias, self.window_rel_pos_bias = shared
        grid = patch_grid('img_size', img_size, patch_size)
        of_attention = {'qkv_bias': qkv_bias, 'proj_bias': proj_bias, 'attn_inner_norm': attn_inner_norm}
        of_windows = {'window_pad': window_pad, 'value_conv': value_conv}
        of_network = {'ffn': ffn, 'act': act, 'ffn_norm': ffn_norm, 'ffn_bias': ffn_bias}
        of_norms = {'norm': norm, 'norm_eps': norm_eps, 'layer_scale_init': layer_scale_init}
        self.blocks = nn.ModuleList(
            build_block(
                self.embed_dims,
                self.num_heads,
                sizes[-1],
                window=window,
                tables=block_tables(rel_pos, rel_pos_at == 'window', window, grid, self.pos_grid, with_cls_token),
                drop_path_rate=drop_path_rate * index / max(self.num_layers - 1, 1),
                conv_propagation=conv_block_kind if index in self.conv_blocks else None,
                **of_attention,
                **of_windows,
                **of_network,
                **of_norms,
            )
            for index, window in enumerate(windows)
        )
        self.norm = build_norm(self.embed_dims, eps=last_eps) if final_norm else nn.Identity()
        self._freeze()

    def reset_parameters(self) -> None:
        """Draw class token, registers and positions as timm does."""
        for parameter in self._tokens():
            nn.init.trunc_normal_(parameter, std=0.02)

    def embed(self, image: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Turn an image into tokens.

        Args:
            image: B x in_channels x H x W.

        Returns:
            Tokens, B x (num_prefix_tokens + h*w) x C, class and register tokens first, and the grid (h, w).
        """
        patches, grid = self.patch_embed(image)
        return self.place(patches, grid), grid

    def place(self, patches: Tensor, grid: tuple[int, int]) -> Tensor:
        """Make B x h*w x C what `embed` returns: absolute positions, class and register tokens, first norm."""
        tokens, cls_token = patches, self.cls_token
        if self.sincos is not None:
            tokens = tokens + self.sincos(grid, tokens.device).to(tokens.dtype)
        if self.sine_conv is not None:
            tokens = tokens + self.sine_conv(grid)
        if self.pos_embed is not None:
            tokens = tokens + self.position_table(grid)
            if self.pos_embed_cls_slot and cls_token is not None:
                cls_token = cls_token + self.pos_embed[:, :1]
        prefix = [token.expand(len(tokens), -1, -1) for token in (cls_token, self.register_tokens) if token is not None]
        if prefix:
            tokens = torch.cat([*prefix, tokens], dim=1)
        return self.norm_pre(tokens)

    def patch_kernel(self) -> tuple[Tensor, Tensor | None]:
        """See `ViTWithPatchKernel`.

        Raises:
            ValueError: More than a kernel makes the patches.
        """
        if isinstance(self.patch_embed, ConvPatchEmbed):
            raise ValueError('the patches of this ViT are made by several convolutions, expected one: leave stem out')
        if not isinstance(self.patch_embed.norm, nn.Identity):
            raise ValueError('the patches of this ViT are normed after their convolution: leave patch_norm out')
        return self.patch_embed.proj.weight, self.patch_embed.proj.bias

    def block_keys(self, tokens: Tensor, block: int) -> Tensor:
        """See `ViTWithKeys`."""
        return self.blocks[block].attn.keys(self.blocks[block].norm1(tokens))

    def position_table(self, grid: tuple[int, int]) -> Tensor:
        """The absolute positions of the patches of a grid, 1 x h*w x C."""
        slot = int(self.pos_embed_cls_slot)
        if torch.jit.is_tracing():  # sizes are tensors there, which torch's resizing does not always take
            grid = (int(grid[0]), int(grid[1]))
        return resize_position_table(self.pos_embed[:, slot:], self.pos_grid, grid, **self.pos_resize)

    def positions(self, grid: tuple[int, int], extra: int = 0) -> dict[int, AttentionPosition]:
        """What blocks share at a grid, rotary positions and biases: of the map under 0, of windows under their size.

        `extra` tokens come before the class token, such as queries; as it, they are not rotated. Blocks may run
        without them too.
        """
        prefix, windows = extra + self.num_prefix_tokens, self.window_sizes
        rotations = biases = [None] * (1 + len(windows))
        if self.rope is not None:
            whole, *windowed = self.rope(grid, windows, self.patch_embed.proj.weight.device)
            rotations = [whole.prepend(prefix), *windowed]
        if self.rel_pos == 'bias_shared':
            biases = [self.rel_pos_bias(grid, prefix) if self.global_blocks else None]
            for window in windows:
                table = self.window_rel_pos_bias[str(window)] if self.window_rel_pos_bias else self.rel_pos_bias
                biases.append(table((window, window)))
        return dict(zip((0, *windows), map(AttentionPosition, rotations, biases)))

    def run_blocks(
        self,
        tokens: Tensor,
        grid: tuple[int, int],
        start: int = 0,
        stop: int | None = None,
        positions: dict[int, AttentionPosition] | None = None,
        with_cp: bool = False,
        mask: Tensor | QueryMask | None = None,
    ) -> Tensor:
        """Run blocks `start` to `stop` (exclusive; None for all that follow) on the tokens of `embed`.

        `positions` is what the method of that name gave for `grid`, to have it once for several ranges of blocks.
        `with_cp` recomputes the blocks in the backward pass also where the option of that name is off. `mask` says
        which tokens attend to which, see `Attention`; more tokens than `num_prefix_tokens` may precede the patches.

        Raises:
            ValueError: There are such tokens, and a block attends in windows, which leaves them as they are.
        """
        extra = tokens.shape[1] - grid[0] * grid[1] - self.num_prefix_tokens
        windowed = any(block.attn.window_size for block in self.blocks[start:stop])
        if windowed and not torch.jit.is_tracing() and extra > 0:
            raise ValueError(
                f'{extra} tokens such as queries precede the class token in blocks {start} to {stop}, some of which '
                'attend in windows, where nothing attends to these: name such blocks in global_blocks'
            )
        if positions is None:
            positions = self.positions(grid, extra)
        positions = {**positions, 0: positions[0].of_last(tokens.shape[1])}
        recompute = (self.with_cp or with_cp) and self.training
        for block in self.blocks[start:stop]:
            tokens = recomputed(block, tokens, grid, positions[block.attn.window_size], mask, when=recompute)
        return tokens

    def bound_to_places(self) -> list[str]:
        """What of the model needs all patches, in their places, in words."""
        found = {
            'class or register tokens': self.num_prefix_tokens,
            'no absolute positions': self.pos_embed is None,
            'rope': self.rope is not None,
            'windows': self.window_sizes,
            'value_conv': self.blocks[0].attn.value_conv is not None,
            'rel_pos': self.rel_pos is not None,
            'conv_blocks': self.conv_blocks,
        }
        return [what for what, is_there in found.items() if is_there]

    def without_patch_embedding(self) -> PlainViT:
        """The same model, its layers shared, without patch embedding and with a table of positions of its own that is
        frozen; this one stays as it is."""
        other = copy.copy(self)
        other._modules = {**self._modules, 'patch_embed': nn.Identity()}
        other._buffers = dict(self._buffers)
        table = nn.Parameter(self.pos_embed.detach().clone(), requires_grad=False)
        other._parameters = {**self._parameters, 'pos_embed': table}
        return other

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter, for layer-wise learning-rate decay.

        Args:
            param_name: Full name of the parameter.
            prefix: What precedes the names of this module, 'backbone.' in a detector.

        Returns:
            Its depth and the number of depths: 0 for the embedding, i + 1 for block i, and the last, num_layers + 1,
            for all else, convolutional propagation and the final norm included (detectron2
            `modeling/backbone/vit.py:get_vit_lr_decay_rate`).
        """
        num_depths = self.num_layers + 2
        name = param_name[len(prefix) :] if param_name.startswith(prefix) else ''
        parts = name.split('.')
        if parts[0] in ('patch_embed', 'pos_embed', 'sine_conv', 'cls_token', 'register_tokens', 'norm_pre'):
            return 0, num_depths
        if parts[0] == 'blocks' and parts[2] != 'residual':
            return int(parts[1]) + 1, num_depths
        return num_depths - 1, num_depths

    def table_grids(self) -> dict[str, tuple[int, int]]:
        """See `RecordsPositions`."""
        return {} if self.pos_embed is None else {'pos_embed': tuple(self.pos_grid)}

    def position_record(self) -> dict[str, Any]:
        """See `RecordsPositions`."""
        return {'grids': self.table_grids(), 'rope': None if self.rope is None else self.rope.kind}

    @staticmethod
    def fitting_presets(structure: Mapping[str, Any], ignored: Collection[str] = ()) -> dict[str, list[str]]:
        """{family: presets} that have this structure, see `presets.fitting_presets`."""
        return fitting_presets(structure, ignored)

    def train(self, mode: bool = True) -> PlainViT:
        """Switch between training and evaluation; frozen blocks stay in evaluation."""
        super().train(mode)
        for module in self._frozen_modules():
            module.eval()
        return self

    def _add_tokens(
        self, with_cls_token: bool, num_registers: int, pos_embed: str | None, cls_slot: bool | None
    ) -> None:
        """Class token, registers and absolute positions, a table or what computes them."""
        self.num_prefix_tokens = int(with_cls_token) + num_registers
        self.pos_embed_cls_slot = with_cls_token if cls_slot is None else cls_slot
        rows = self.pos_grid[0] * self.pos_grid[1] + int(self.pos_embed_cls_slot)
        counts = {'cls_token': int(with_cls_token), 'register_tokens': num_registers, 'pos_embed': rows}
        for name, count in counts.items():
            there = count and (name != 'pos_embed' or pos_embed == 'absolute')
            self.register_parameter(name, nn.Parameter(torch.zeros(1, count, self.embed_dims)) if there else None)
        self.sine_conv = SineConvPositions(self.embed_dims) if pos_embed == 'sine_conv' else None
        self.sincos = SinCosPositions(self.embed_dims, pos_embed) if pos_embed in SINES else None

    def _idle_modules(self) -> list[nn.Module]:
        """What the forward pass does not need: blocks after the last output, and tables that they alone share."""
        running = self.out_indices[-1] + 1
        windows = {block.attn.window_size for block in self.blocks[:running]}
        tables = [table for size, table in self.window_rel_pos_bias.items() if int(size) not in windows]
        if self.window_rel_pos_bias and self.rel_pos_bias is not None and 0 not in windows:
            tables.append(self.rel_pos_bias)
        return [*self.blocks[running:], *tables]

    def _frozen_modules(self) -> list[nn.Module]:
        blocks = frozen_blocks(self.blocks, self.frozen_stages, self.tuned_blocks)
        if self.frozen_stages < 0:
            return self._idle_modules()
        embedding = (self.patch_embed, self.sine_conv, self.norm_pre)
        modules = [*(part for part in embedding if part is not None), *blocks, *self._idle_modules()]
        if self.frozen_stages == self.num_layers:
            # Random positions of the training would make two passes of a frozen model differ.
            shared = (self.norm, self.rope, self.rel_pos_bias, self.window_rel_pos_bias)
            modules += [module for module in shared if module is not None]
        return modules

    def _tokens(self) -> list[nn.Parameter]:
        return [p for p in (self.cls_token, self.register_tokens, self.pos_embed) if p is not None]

    def _freeze(self) -> None:
        if idle := sum(p.numel() for module in self._idle_modules() for p in module.parameters()):
            last = self.out_indices[-1]
            print_log(
                f'out_indices of PlainViT end at block {last} of 0 to {self.num_layers - 1}: the blocks after it never '
                f'run, their {idle:,} parameters are frozen; num_layers={last + 1} leaves them out',
                logger='current',
                level=logging.WARNING,
            )
        freeze(self._frozen_modules(), self._tokens() if self.frozen_stages >= 0 else ())
