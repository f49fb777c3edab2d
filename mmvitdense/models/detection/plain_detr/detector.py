"""The detector of Plain-DETR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.detectors import DetectionTransformer
from mmdet.models.layers import SinePositionalEncoding
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from torch import Tensor, nn

from mmvitdense.registry import MODELS

from .boxes import sine_code
from .geometry import MapGeometry, geometry_of
from .proposals import MultiStrideProposals
from .transformer import PlainDecoder, PlainEncoder


@MODELS.register_module()
class PlainDETR(DetectionTransformer):
    """Detection on one map of a plain ViT by global attention, after Plain-DETR (arXiv 2308.01904) as DINOv3 has it.

    The map (`WindowedTaps`, then a projection as `neck`) passes an encoder. Its output gives proposals at several
    strides, of which those with the highest logit of class 0 become the boxes of queries, whose contents are learned
    (mixed selection); the decoder refines the boxes in pixels (`dinov3/eval/detection` of facebookresearch/dinov3
    with `reparam`, `two_stage`, `mixed_selection` and `look_forward_twice`). In training there are more
    queries, several of which are matched to each object, and which the others do not see.

    The padding of a batch is hidden from the encoder and nearly so from the decoder; the ViT sees it.

    Args:
        encoder: Options of `PlainEncoder`: as those of mmdet's `DetrTransformerEncoder`.
        decoder: Options of `PlainDecoder`; `layer_cfg` are those of `PlainDecoderLayer`.
        proposals: Options of `MultiStrideProposals` but for its width.
        bbox_head: A `PlainDETRHead`.
        positional_encoding: Options of mmdet's `SinePositionalEncoding`; by default as released, middles of tokens in
            parts of the image.
        num_queries: Queries that are matched one to one, and with which the model predicts.
        num_one2many: Further queries in training.
        stride: Side of a token of the map in pixels, the patch of the ViT.
        kwargs: As for mmdet's `DetectionTransformer`.

    Raises:
        ValueError: A map does not have this stride, or it gives fewer proposals than there are queries.
    """

    def __init__(
        self,
        *args: Any,
        encoder: dict,
        decoder: dict,
        bbox_head: dict,
        proposals: dict | None = None,
        positional_encoding: dict | None = None,
        num_queries: int = 300,
        num_one2many: int = 1500,
        stride: int = 16,
        **kwargs: Any,
    ) -> None:
        self.proposals, self.num_one2many, self.stride = dict(proposals or {}), num_one2many, stride
        # One pair of branches for each layer, the last for the proposals.
        branches = {'num_pred_layer': decoder['num_layers'] + 1, 'share_pred_layer': False, 'as_two_stage': True}
        super().__init__(
            *args,
            encoder=encoder,
            decoder=decoder,
            bbox_head=ConfigDict({**bbox_head, **branches}),
            positional_encoding=positional_encoding,
            num_queries=num_queries,
            **kwargs,
        )

    def _init_layers(self) -> None:
        self.encoder, self.decoder = PlainEncoder(**self.encoder), PlainDecoder(**self.decoder)
        width = self.embed_dims = self.encoder.embed_dims
        self.positional_encoding = SinePositionalEncoding(
            **{'num_feats': width // 2, 'normalize': True, 'offset': -0.5, **(self.positional_encoding or {})}
        )
        self.proposals = MultiStrideProposals(width, **self.proposals)
        self.level_embed = nn.Parameter(torch.empty(1, width))
        self.query_embedding = nn.Embedding(self.num_queries + self.num_one2many, width)
        self.pos_trans_fc, self.pos_trans_norm = nn.Linear(2 * width, 2 * width), nn.LayerNorm(2 * width)

    def init_weights(self) -> None:
        """As published."""
        super().init_weights()
        nn.init.xavier_uniform_(self.pos_trans_fc.weight)
        nn.init.normal_(self.level_embed)

    def pre_transformer(
        self, img_feats: Sequence[Tensor], batch_data_samples: Sequence[DetDataSample]
    ) -> tuple[dict, dict]:
        """What the encoder takes, and what the decoder takes of it, of the map of the neck, B x C x h x w."""
        (features,) = img_feats
        geometry = geometry_of(features, batch_data_samples, self.stride)
        padding = geometry.padding
        if padding is None:
            padding = features.new_zeros((len(features), *geometry.grid), dtype=torch.bool)
        positions = self.positional_encoding(padding).to(features).flatten(2).transpose(1, 2) + self.level_embed
        tokens = features.flatten(2).transpose(1, 2)
        return {'tokens': tokens, 'positions': positions, 'geometry': geometry}, {
            'memory_pos': positions,
            'geometry': geometry,
        }

    def forward_encoder(self, tokens: Tensor, positions: Tensor, geometry: MapGeometry) -> dict[str, Any]:
        """The output of the encoder, B x N x C, under 'memory'."""
        return {'memory': self.encoder(tokens, positions, geometry.padding_of_tokens), 'geometry': geometry}

    def pre_decoder(self, memory: Tensor, geometry: MapGeometry) -> tuple[dict, dict]:
        """Queries from proposals, and what the head needs of these."""
        count = self.num_queries + (self.num_one2many if self.training else 0)
        outputs = self.bbox_head.propose(*self.proposals(memory, geometry), geometry.limits)
        if outputs.scores.shape[1] < count:
            raise ValueError(
                f'PlainDETR chooses {count} queries and the maps of these images give {outputs.scores.shape[1]} '
                'proposals; expected at least as many: lower num_queries or num_one2many, or give larger images.'
            )
        best = outputs.scores[..., 0].topk(count, dim=1).indices
        references = outputs.boxes.detach().gather(1, best[..., None].expand(-1, -1, 4))
        code = sine_code(references, self.embed_dims // 2).to(memory)
        # The other half is for models whose contents come from the boxes too.
        positions = self.pos_trans_norm(self.pos_trans_fc(code)).chunk(2, dim=-1)[0]
        queries = self.query_embedding.weight[:count].expand(len(memory), -1, -1)
        of_decoder = {'query': queries, 'query_pos': positions, 'references': references, 'memory': memory}
        of_head = {'proposals': outputs, 'num_one2one': self.num_queries} if self.training else {}
        return of_decoder, {**of_head, 'limits': geometry.limits}

    def forward_decoder(self, query: Tensor, **inputs: Any) -> dict[str, Any]:
        """What the head takes, see `PlainDecoder`."""
        groups = (self.num_queries, self.num_one2many) if query.shape[1] > self.num_queries else (self.num_queries,)
        states, references, deltas = self.decoder(
            query, groups=groups, reg_branches=self.bbox_head.reg_branches, **inputs
        )
        return {'hidden_states': states, 'references': references, 'deltas': deltas}
