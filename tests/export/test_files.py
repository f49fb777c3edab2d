"""Files for other runtimes: what they give, how they are proved, and how a wrong one is found out."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from mmvitdense.apis.export_images import fit_pipeline, open_images
from mmvitdense.apis.export_model import ExportOptions, ModelExport
from mmvitdense.apis.export_proof import Limits, prove
from mmvitdense.export.divergence import first_divergence
from mmvitdense.export.errors import ExportError
from mmvitdense.export.runtimes import open_file
from mmvitdense.export.serving import EagerSession, arrays
from mmvitdense.export.writing import to_onnx
from mmvitdense.models.mask_transformers.pem_pixel_decoder import DeformableStep
from tests.export.small import SIDE, small_config, small_model

ROOT = Path(__file__).parents[2]
onnx = pytest.importorskip('onnx', reason='onnx is not installed, which exported files need')
pytest.importorskip('onnxscript', reason='onnxscript is not installed, which writing ONNX files needs')
pytest.importorskip('onnxruntime', reason='onnxruntime is not installed, which running ONNX files needs')

pytestmark = pytest.mark.usefixtures('onnx_operators')


def _export(name, folder, **options):
    cfg, model = small_model(name)
    weights = folder / f'{name}.pth'
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, weights)
    return ModelExport(cfg, weights, ExportOptions(size=(SIDE, SIDE), **options))


def _inputs(session, shapes, seed=1):
    generator = torch.Generator().manual_seed(seed)
    images = [torch.rand((3, *shape), generator=generator) * 255 for shape in shapes]
    return arrays(images, [(0.5, 0.25)] * len(images), session.description, (SIDE, SIDE))


def _assert_same(eager, session, inputs):
    expected, found = eager(inputs), session(inputs)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert value.shape == found[name].shape
        if value.dtype.kind == 'f':
            assert np.abs(value - found[name]).max() <= 1e-4 * np.abs(value).max(), name
        else:
            assert np.array_equal(value, found[name]), name


def test_mask_rcnn_is_proved_and_a_planted_constant_is_named(tmp_path, shapes_root):
    export = _export('mask_rcnn', tmp_path)
    path = tmp_path / 'model.onnx'
    assert export.write(path) == [path]
    assert {'NonMaxSuppression', 'RoiAlign'} <= {node.op_type for node in onnx.load(path).graph.node}
    fit_pipeline(export.cfg, export.description)
    with open_images(export.cfg, shapes_root / 'images' / 'validation', 2) as images:
        right = prove(export, open_file(path), images, Limits())
        assert not right.failures
        assert right.images == 2
        assert right.detections.found > 10
        assert right.detections.box < 1e-2
        assert set(right.metrics) == {'bbox_mAP', 'segm_mAP'}
        bad, name = _planted(path, tmp_path / 'bad.onnx')
        wrong = prove(export, open_file(bad), images, Limits())
    assert wrong.failures
    found = first_divergence(bad, export.onnx_program, wrong.inputs, 1e-3)
    assert found.place == 'detector.backbone.blocks.0.mlp.fc1'
    assert 'MatMul' in found.operators
    assert len(found.constants) == 1
    assert name in found.constants[0]
    assert '1 of 1024 numbers' in found.constants[0]
    assert first_divergence(path, export.onnx_program, right.inputs, 1e-3) is None
    image = next((shapes_root / 'images' / 'validation').iterdir())
    assert len(_run_of_the_docs(path, image)['labels']) == 1


def _scopes(node):
    return next((entry.value for entry in node.metadata_props if entry.key.endswith('name_scopes')), '')


def _run_of_the_docs(path, image):
    """The names of the example of docs/export.md after it."""
    (source,) = re.findall(r'```python\n(.*?)```', (ROOT / 'docs' / 'export.md').read_text(), re.DOTALL)
    names = {}
    exec(source.replace('mask-rcnn.onnx', str(path)).replace('street.jpg', str(image)), names)
    return names


def _planted(source, target):
    """A copy of a file with one number of a weight changed."""
    model = onnx.load(source)
    (node,) = (node for node in model.graph.node if node.op_type == 'MatMul' and ".0.mlp.fc1'" in _scopes(node))
    (value,) = (value for value in model.graph.initializer if value.name == node.input[1])
    changed = onnx.numpy_helper.to_array(value).copy()
    changed[3, 5] += 10
    value.CopyFrom(onnx.numpy_helper.from_array(changed, value.name))
    onnx.save(model, target)
    return target, node.input[1]


def test_dino_has_deformable_attention_as_grid_sample(tmp_path):
    export = _export('dino', tmp_path)
    path = tmp_path / 'model.onnx'
    export.write(path)
    graph = onnx.load(path).graph
    assert 'GridSample' in {node.op_type for node in graph.node}
    assert {node.domain for node in graph.node} <= {'', 'pkg.onnxscript.torch_lib', 'ai.onnx'}
    session = open_file(path)
    eager = EagerSession(export.wrapped, export.description)
    for shape in ((50, 64), (33, 40)):
        _assert_same(eager, session, _inputs(session, [shape]))


def test_the_command_proves_a_segmentor_on_its_test_set(tmp_path, shapes_root, capsys):
    from mmvitdense.commands import main

    _, model = small_model('upernet')
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, tmp_path / 'weights.pth')
    config = tmp_path / 'upernet.py'
    small_config(
        'upernet',
        data_root=f'{shapes_root}/',
        **{
            'test_dataloader.dataset.data_root': f'{shapes_root}/',
            'model.test_cfg': {'mode': 'slide', 'crop_size': (SIDE, SIDE), 'stride': (40, 40)},
        },
    ).dump(config)
    out, report = tmp_path / 'model.onnx', tmp_path / 'report.json'
    command = ['export', str(config), str(tmp_path / 'weights.pth'), '--out', str(out), '--report', str(report)]
    assert main([*command, '--num-images', '2', '--speed', '1', '--opset', '20']) == 0
    found = json.loads(report.read_text())
    assert found['passed']
    assert found['images'] == 2
    first, second = found['metrics']['mIoU']
    assert 0 < first < 1
    assert abs(first - second) < 1e-3
    assert found['labels']['pixels'] == 2 * 96 * 128
    assert set(found['seconds']) == {'pytorch', 'onnxruntime'}
    assert 'The file is right.' in capsys.readouterr().out
    _int8(out, tmp_path / 'int8.onnx')


def _int8(path, target):
    """The file in 8 bits is near, and not equal."""
    from mmvitdense.export.quantization import quantize

    session = open_file(path)
    inputs = [_inputs(session, [(SIDE, SIDE)], seed) for seed in range(4)]
    quantize(path, target, inputs)
    quantized = open_file(target)
    assert quantized.description.precision == 'int8'
    assert 'QuantizeLinear' in {node.op_type for node in onnx.load(target).graph.node}
    right, found = session(inputs[0])['scores'], quantized(inputs[0])['scores']
    assert 0 < np.sqrt(((right - found) ** 2).mean()) < 0.1 * right.std()


def test_deformable_convolutions_are_refused():
    """In one sentence: onnxruntime loads no file with them."""
    program = torch.export.export(DeformableStep(4, {'type': 'BN'}).eval(), (torch.randn(1, 4, 6, 6),))
    with pytest.raises(ExportError, match='deformable convolutions, as of PEM, .*: export a model without'):
        to_onnx(program, None)


def test_other_formats_and_options(tmp_path):
    export = _export('retinanet', tmp_path, format='torch')
    path = tmp_path / 'model.pt2'
    export.write(path)
    session = open_file(path)
    _assert_same(EagerSession(export.wrapped, export.description), session, _inputs(session, [(50, 64)]))
