"""Mask2Former's pixel decoder with an encoder that stops early, image by image (ECO-M2F, arXiv 2404.15244)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.layers.msdeformattn_pixel_decoder import MSDeformAttnPixelDecoder
from mmdet.models.layers.transformer.mask2former_layers import Mask2FormerTransformerEncoder
from torch import Tensor

from mmvitdense.models.mask_transformers.early_exit import StopsEarly
from mmvitdense.registry import MODELS


@MODELS.register_module()
class EarlyExitEncoder(StopsEarly, Mask2FormerTransformerEncoder):
    """mmdet's encoder of the pixel decoder, which may stop after fewer layers. Its weights are those of mmdet's, and
    `gate.head`.

    Layers that are not run get gradients of zero, so that processes agree on what is used. Options beside mmdet's are
    those of `StopsEarly`.
    """

    def forward(self, query: Tensor, **kwargs) -> Tensor:
        """Run the layers that each image needs.

        Args:
            query: B x N x C, tokens of all maps, the coarsest first.
            **kwargs: What mmdet's encoder takes.

        Returns:
            B x N x C.
        """
        depths = self._depths_of(query, kwargs['key_padding_mask'], kwargs['spatial_shapes'])
        self.last_depths = depths
        self.gate.count(depths)
        out = self._run(query, depths, kwargs)
        if self.training:
            # In every iteration all weights take part: DistributedDataParallel waits for the gradient of each.
            idle = [p for layer in self.layers[max(depths) :] for p in layer.parameters() if p.requires_grad]
            out = out + 0 * sum(p.sum() for p in idle)
        return out

    def _depths_of(self, query: Tensor, padding: Tensor | None, shapes: Tensor) -> list[int]:
        policy = self.train_exit if self.training else self.exit
        if policy == 'gate':
            if torch.jit.is_tracing() or torch.compiler.is_exporting():
                raise RuntimeError(
                    "exit='gate' chooses the layers by the image, which a traced or exported model cannot: give "
                    'exit a depth or full'
                )
            coarse = int(shapes[0].prod())
            return self.gate.choose(self.gate(query[:, :coarse], None if padding is None else padding[:, :coarse]))
        depth = self.gate.draw() if policy == 'random' else self.num_layers if policy == 'full' else policy
        return [depth] * len(query)

    def _run(self, query: Tensor, depths: Sequence[int], kwargs: dict) -> Tensor:
        """Run each image to its depth; those that are done leave the batch."""
        by_image = ('query_pos', 'key_padding_mask', 'valid_ratios', 'reference_points')
        rows, finished = list(range(len(query))), {}
        for number, layer in enumerate(self.layers, start=1):
            query = layer(query=query, **kwargs)
            going = [place for place, row in enumerate(rows) if depths[row] > number]
            if len(going) == len(rows):
                continue
            if not going and not finished:
                return query
            finished.update((row, query[place]) for place, row in enumerate(rows) if depths[row] <= number)
            if not going:
                break
            chosen = torch.tensor(going, device=query.device)
            query = query[chosen]
            kwargs = {k: v[chosen] if k in by_image and v is not None else v for k, v in kwargs.items()}
            rows = [rows[place] for place in going]
        return torch.stack([finished[row] for row in range(len(depths))])

    def flops(self, spatial_shapes: Sequence[tuple[int, int]]) -> dict[int, int]:
        """Multiplications of the encoder at each depth from `min_depth` on, for one image.

        Args:
            spatial_shapes: Height and width of each map that it is given.

        Returns:
            {depth: multiplications}: the matrix products and the weighted sum of samples, without interpolation.
        """
        attention, ffn = self.layers[0].self_attn, self.layers[0].ffn
        dims = attention.embed_dims
        samples = attention.num_levels * attention.num_points
        tokens = sum(height * width for height, width in spatial_shapes)
        linear = 2 * dims * dims + 3 * dims * attention.num_heads * samples + 2 * dims * ffn.feedforward_channels
        return {depth: depth * tokens * (linear + samples * dims) for depth in self.gate.depths}


@MODELS.register_module()
class EarlyExitPixelDecoder(MSDeformAttnPixelDecoder):
    """mmdet's pixel decoder around `EarlyExitEncoder`.

    Args:
        encoder: Options of `EarlyExitEncoder`.
        **kwargs: For mmdet's pixel decoder.
    """

    def __init__(self, *args, encoder: dict, **kwargs):
        # mmdet's constructor builds its own encoder whatever it is given; the shortest is thrown away.
        own = {'num_layers': 1, 'layer_cfg': encoder['layer_cfg']}
        super().__init__(*args, encoder=type(encoder)(own), **kwargs)
        self.encoder = EarlyExitEncoder(**encoder)

    def exit_logits(self, feats: Sequence[Tensor]) -> Tensor:
        """What the gate gives, with nothing else computed.

        Args:
            feats: Maps of the backbone, B x C x h x w each, the coarsest last.

        Returns:
            B x number of depths.
        """
        return self.encoder.gate(self.input_convs[0](feats[-1]).flatten(2).transpose(1, 2))
