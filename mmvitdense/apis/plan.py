"""What a run is about to do, in one screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from mmvitdense.engine.whole_checkpoint import bare_model, single_wrappers

_STATES = {'SGD': 1, 'Adam': 2, 'AdamW': 2, 'NAdam': 2, 'RAdam': 2, 'Lion': 1}
"""Tensors of the size of the weights that an optimizer keeps."""


def training_plan(runner: Runner, started_from: str | None, resumed: bool) -> str:
    """Say what a training is about to do.

    Args:
        runner: The runner, all parts of which are built.
        started_from: A checkpoint, if the run starts from one.
        resumed: Whether it goes on with the run of that checkpoint.
    """
    model = bare_model(runner.model)
    lines = {'model': _model(model), 'training data': _data(runner.train_loop.dataloader)}
    if runner._val_loop is not None:
        lines['validation data'] = _data(runner.val_loop.dataloader)
    lines |= {
        'batch': _batch(runner),
        'schedule': _schedule(runner),
        'optimizer': _optimizers(runner),
        'precision': _precision(runner),
        'memory': _memory(runner, model),
        'device': _device(),
        'starts from': _start(model, started_from, resumed),
        'writes to': f'{runner.work_dir} (details: {_log_file(runner)})',
    }
    return _listed('Training', lines, runner)


def test_plan(runner: Runner, checkpoint: str | Path, outputs: dict[str, Any]) -> str:
    """Say what an evaluation is about to do.

    Args:
        runner: The runner.
        checkpoint: The weights that are evaluated.
        outputs: {option: where it writes, or None}.
    """
    loader = runner.test_loop.dataloader
    model = bare_model(runner.model)
    lines = {
        'model': _model(model),
        'weights': str(checkpoint),
        'test data': _data(loader),
        'batch': f'{loader.batch_size} images x {get_world_size()} process(es)',
        'metrics': ', '.join(type(metric).__name__ for metric in runner.test_evaluator.metrics),
        'device': _device(),
        **{name: str(path) for name, path in outputs.items() if path is not None},
        'writes to': f'{runner.work_dir} (details: {_log_file(runner)})',
    }
    return _listed('Test', lines, runner)


def _listed(title: str, lines: dict[str, str], runner: Runner) -> str:
    if (seconds := getattr(runner, 'seconds_of_preparation', None)) is not None:
        all_tried = runner.batch_tried or not runner.trains
        tried = 'and tried ' if all_tried else '(but no batch was tried, as there are several processes) '
        lines['checked'] = f'all of this was built {tried}in {seconds:.1f} s before anything was written'
    width = max(map(len, lines))
    return f'{title}\n' + '\n'.join(f'  {name:{width}}  {text}' for name, text in lines.items())


def _model(model: nn.Module) -> str:
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    total, trained = sum(size for size, _ in sizes), sum(size for size, learnt in sizes if learnt)
    backbone = getattr(model, 'backbone', None)
    name = type(model).__name__ + (f' on {type(backbone).__name__}' if backbone is not None else '')
    return f'{name}, {_short(total)} parameters' + (f', {_short(trained)} of them trained' if trained < total else '')


def _short(number: int) -> str:
    return f'{number / 1e6:.1f} M' if number >= 1e5 else str(number)


def _data(loader: DataLoader) -> str:
    dataset = loader.dataset
    count = f'{len(dataset)} images' if hasattr(dataset, '__len__') else 'images without a number'
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    of = f' of {len(classes)} classes' if classes else ''
    root = getattr(dataset, 'data_root', None)
    workers = f'{loader.num_workers} loader processes' if loader.num_workers else 'loaded in the main process'
    return f'{type(dataset).__name__}, {count}{of}{f" in {root}" if root else ""}, {workers}'


def _batch(runner: Runner) -> str:
    loader = runner.train_loop.dataloader
    size = loader.batch_size or getattr(loader.batch_sampler, 'batch_size', None)
    counts = max(getattr(wrapper, '_accumulative_counts', 1) for wrapper in single_wrappers(runner.optim_wrapper))
    total = f' = {size * get_world_size() * counts}' if isinstance(size, int) else ''
    return f'{size} images x {get_world_size()} process(es) x {counts} accumulated{total}'


def _schedule(runner: Runner) -> str:
    loop = runner.train_loop
    by_epoch = not hasattr(loop, 'dataloader_iterator')
    unit = 'epochs' if by_epoch else 'iterations'
    length = (
        f'{loop.max_epochs} epochs of {len(loop.dataloader)} iterations' if by_epoch else f'{loop.max_iters} iterations'
    )
    if runner._val_loop is not None:
        length += f', validation every {loop.val_interval} {unit}'
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook):
            length += f', checkpoint every {hook.interval} {"epochs" if hook.by_epoch else "iterations"}'
    return length


def _optimizers(runner: Runner) -> str:
    said = []
    for wrapper in single_wrappers(runner.optim_wrapper):
        rates = [group['lr'] for group in wrapper.param_groups]
        rates = [group.get('initial_lr', rate) for group, rate in zip(wrapper.param_groups, rates)]
        span = f'lr {max(rates):g}' + (f' down to {min(rates):g}' if min(rates) < max(rates) else '')
        said.append(f'{type(wrapper.optimizer).__name__}, {span}, {len(rates)} group(s) of parameters')
    schedulers = runner.param_schedulers or []
    names = [type(part).__name__ for part in schedulers if not isinstance(part, str)]
    return '; '.join(said) + (f'; {", ".join(names)}' if names else '')


def _precision(runner: Runner) -> str:
    found = set()
    for wrapper in single_wrappers(runner.optim_wrapper):
        kind = type(wrapper).__name__
        if 'Amp' not in kind:
            found.add('float32')
        elif 'Cpu' in kind:
            found.add('mixed, bfloat16 on the CPU')
        else:
            found.add(f'mixed, {getattr(wrapper, "cast_dtype", None) or "float16"}'.replace('torch.', ''))
    return ', '.join(sorted(found))


def _memory(runner: Runner, model: nn.Module) -> str:
    weights = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    trained = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    states = max(_STATES.get(type(wrapper.optimizer).__name__, 2) for wrapper in single_wrappers(runner.optim_wrapper))
    text = f'{_bytes(weights + trained * (1 + states))} for weights, gradients and optimizer'
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        text += f'; {_bytes(torch.cuda.max_memory_allocated())} at most in the forward pass that was tried'
    return text + ', and the maps of a batch'


def _bytes(number: float) -> str:
    return f'{number / 2**30:.1f} GiB' if number >= 2**30 else f'{number / 2**20:.0f} MiB'


def _device() -> str:
    from mmengine.device import get_device

    device = get_device()
    if device == 'cuda':
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        return f'{properties.name}, {_bytes(properties.total_memory)}'
    return f'{device}, {torch.get_num_threads()} thread(s)' if device == 'cpu' else device


def _start(model: nn.Module, started_from: str | None, resumed: bool) -> str:
    if started_from is not None:
        return f'{"the run of" if resumed else "the weights of"} {started_from}'
    for module in model.modules():
        checkpoint = (
            (getattr(module, 'init_cfg', None) or {}) if isinstance(getattr(module, 'init_cfg', None), dict) else {}
        )
        if checkpoint.get('checkpoint'):
            return f'{checkpoint["checkpoint"]} in {type(module).__name__}, random elsewhere'
    return 'random weights'


def _log_file(runner: Runner) -> str:
    return str(Path(runner.logger.log_file).relative_to(runner.work_dir)) if runner.logger.log_file else 'none'
