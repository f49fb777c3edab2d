"""Archives of Flax, read and converted, against timm's models; see `test_pretraining_formats`."""

import numpy as np
import pytest
import torch

from mmvitdense.checkpoints import CheckpointError, read_checkpoint
from tests.fidelity.pretraining import SIZES, SMOOTH, compare, timm_vit


class TestFlax:
    """Arrays in the shapes of Flax; timm's own loader of such files fills the oracle."""

    @staticmethod
    def arrays(style, siglip=False):
        generator = np.random.default_rng(0)
        shapes = {'embedding/kernel': (8, 8, 3, 192), 'embedding/bias': (192,)}
        if not siglip:
            shapes['cls'] = (1, 1, 192)
        name = 'Transformer/posembed_input/pos_embedding' if style == 'augreg' else 'pos_embedding'
        shapes[name] = (1, 16 if siglip else 17, 192)
        attention, second, mlp = ('_1', '_2', '_3') if style == 'augreg' else ('_0', '_1', '_0')
        block = {f'LayerNorm{number}/{kind}': (192,) for number in ('_0', second) for kind in ('scale', 'bias')}
        for part in ('query', 'key', 'value'):
            block[f'MultiHeadDotProductAttention{attention}/{part}/kernel'] = (192, 3, 64)
            block[f'MultiHeadDotProductAttention{attention}/{part}/bias'] = (3, 64)
        block[f'MultiHeadDotProductAttention{attention}/out/kernel'] = (3, 64, 192)
        block[f'MultiHeadDotProductAttention{attention}/out/bias'] = (192,)
        for number, (inner, outer) in enumerate([(192, 768), (768, 192)]):
            block[f'MlpBlock{mlp}/Dense_{number}/kernel'] = (inner, outer)
            block[f'MlpBlock{mlp}/Dense_{number}/bias'] = (outer,)
        for name, shape in block.items():
            if style == 'scanned':
                shapes[f'Transformer/encoderblock/{name}'] = (2, *shape)
            else:
                shapes.update({f'Transformer/encoderblock_{i}/{name}': shape for i in range(2)})
        shapes.update({f'Transformer/encoder_norm/{kind}': (192,) for kind in ('scale', 'bias')})
        prefix = '' if style == 'augreg' else 'params/'
        return {
            f'{prefix}{name}': (name.endswith('scale') + 0.2 * generator.standard_normal(shape)).astype(np.float32)
            for name, shape in shapes.items()
        }

    @pytest.mark.parametrize('style', ['augreg', 'big_vision', 'scanned'])
    def test_file(self, tmp_path, style):
        arrays = self.arrays(style)
        if style == 'augreg':
            arrays['head/kernel'] = np.zeros((192, 5), np.float32)
        np.savez(tmp_path / 'vit.npz', **arrays)
        oracle = timm_vit(act_layer='gelu_tanh')
        oracle.load_pretrained(str(tmp_path / 'vit.npz'))
        weights = read_checkpoint(tmp_path / 'vit.npz')
        left_over = ['head/kernel'] if style == 'augreg' else []
        for size in SIZES:
            model = compare(oracle.forward_features, weights, 'Flax ViT', size, left_over, **SMOOTH)
        assert model.num_heads == 3
        assert model.blocks[0].mlp.act_name == 'gelu_tanh'

    def test_without_class_token(self, tmp_path):
        np.savez(tmp_path / 'vit.npz', **self.arrays('big_vision', siglip=True))
        oracle = timm_vit(class_token=False, global_pool='avg', fc_norm=False, act_layer='gelu_tanh')
        oracle.load_pretrained(str(tmp_path / 'vit.npz'))
        compare(oracle.forward_features, read_checkpoint(tmp_path / 'vit.npz'), 'Flax ViT', (40, 56), **SMOOTH)

    def without_class_token(self, tmp_path, table):
        """timm's model, filled by its own loader with `table` as positions, and the arrays."""
        arrays = {**self.arrays('big_vision', siglip=True), 'params/pos_embedding': table}
        np.savez(tmp_path / 'oracle.npz', **arrays)
        size = (len(table[0]), 64)  # eight columns of patches of 8 pixels
        oracle = timm_vit(class_token=False, global_pool='avg', fc_norm=False, act_layer='gelu_tanh', img_size=size)
        oracle.load_pretrained(str(tmp_path / 'oracle.npz'))
        return oracle, arrays

    def test_positions_that_are_computed(self, tmp_path):
        """The plain ViTs of big_vision have no table: that of each grid is what `posemb_sincos_2d` gives."""
        omega = 1e4 ** -(np.arange(48) / 47)
        y, x = (grid.ravel()[:, None] * omega for grid in np.mgrid[:5, :8])
        table = np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)], axis=1)[None].astype(np.float32)
        oracle, arrays = self.without_class_token(tmp_path, table)
        del arrays['params/pos_embedding']
        np.savez(tmp_path / 'vit.npz', **arrays)
        model = compare(oracle.forward_features, read_checkpoint(tmp_path / 'vit.npz'), 'Flax ViT', (40, 64))
        assert model.sincos.kind == 'sincos_bv'

    def test_naflex(self, tmp_path):
        """Patches in rows, and a table of rows and columns."""
        oracle, arrays = self.without_class_token(tmp_path, np.random.default_rng(1).standard_normal((1, 64, 192)))
        kernel = arrays['params/embedding/kernel'].reshape(192, 192)
        table = arrays['params/pos_embedding'].astype(np.float32).reshape(8, 8, 192)
        np.savez(tmp_path / 'vit.npz', **{**arrays, 'params/embedding/kernel': kernel, 'params/pos_embedding': table})
        weights = read_checkpoint(tmp_path / 'vit.npz')
        model = compare(oracle.forward_features, weights, 'Flax ViT', (64, 64))
        assert model.pos_resize == {'mode': 'bilinear', 'antialias': True}

    def test_bfloat16(self, tmp_path):
        """numpy keeps its two bytes without knowing what they mean."""
        numbers = torch.randn(3, 4).bfloat16()
        np.savez(tmp_path / 'a.npz', a=numbers.view(torch.int16).numpy().view('V2'))
        assert torch.equal(read_checkpoint(tmp_path / 'a.npz')['a'], numbers)

    def test_objects_are_refused(self, tmp_path):
        np.savez(tmp_path / 'a.npz', a=np.array([{}], dtype=object))
        with pytest.raises(CheckpointError, match=r'a\.npz holds pickled objects'):
            read_checkpoint(tmp_path / 'a.npz')
