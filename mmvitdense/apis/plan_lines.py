"""The lines of a plan, from what was built."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.hooks import CheckpointHook, EarlyStoppingHook, EMAHook
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from mmvitdense.engine.full_sharding import FullyShardedModel
from mmvitdense.engine.whole_checkpoint import single_wrappers

from .adapt import Expected
from .first_batch import batch_size_of
from .rate_rule import rate_factor

_STATES = {'SGD': 1, 'Adam': 2, 'AdamW': 2, 'NAdam': 2, 'RAdam': 2, 'Lion': 1}
"""Tensors of the size of the weights that an optimizer keeps."""
_FOREVER = 10**9
_WARMUPS = ('LinearLR', 'ConstantLR', 'LinearParamScheduler', 'ConstantParamScheduler')


def model_line(model: nn.Module) -> str:
    """The model, its parameters and how many of them are trained."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    total, trained = sum(size for size, _ in sizes), sum(size for size, learnt in sizes if learnt)
    backbone = getattr(model, 'backbone', None)
    name = type(model).__name__ + (f' on {type(backbone).__name__}' if backbone is not None else '')
    return f'{name}, {_short(total)} parameters' + (f', {_short(trained)} of them trained' if trained < total else '')


def _short(number: int) -> str:
    return f'{number / 1e6:.1f} M' if number >= 1e5 else str(number)


def data_line(loader: DataLoader, beside: DataLoader | None = None) -> str:
    """A data set: its class, images, classes and who loads it, and its folder unless it is that of another."""
    dataset = loader.dataset
    count = f'{len(dataset)} images' if hasattr(dataset, '__len__') else 'images without a number'
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    of = f' of {len(classes)} classes' if classes else ''
    root = getattr(dataset, 'data_root', None)
    root = None if beside is not None and root == getattr(beside.dataset, 'data_root', None) else root
    workers = f'{loader.num_workers} loaders' if loader.num_workers else 'loaded in the main process'
    return f'{type(dataset).__name__}, {count}{of}{f" in {root}" if root else ""}, {workers}'


def batch_line(runner: Runner) -> str:
    """Images of a batch, processes and batches of a step."""
    size, counts = batch_size_of(runner.train_loop.dataloader), _accumulated(runner)
    images = _images_of_step(runner)
    total = f' = {images}' if isinstance(images, int) else ''
    return f'{size} images x {get_world_size()} process(es) x {counts} accumulated{total}'


def _accumulated(runner: Runner) -> int:
    return max(getattr(wrapper, '_accumulative_counts', 1) for wrapper in single_wrappers(runner.optim_wrapper))


def _images_of_step(runner: Runner) -> int | None:
    size = batch_size_of(runner.train_loop.dataloader)
    return size * get_world_size() * _accumulated(runner) if isinstance(size, int) else None


def length_line(runner: Runner) -> str:
    """Iterations and epochs, and how often it validates and saves."""
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
    size = batch_size_of(loop.dataloader)
    if not by_epoch and isinstance(size, int) and hasattr(loop.dataloader.dataset, '__len__'):
        epochs = loop.max_iters * size * get_world_size() / len(loop.dataloader.dataset)
        length += f'; {epochs:.0f} epochs' if epochs >= 10 else f'; {epochs:.2g} epochs'
    return length


def optimizer_line(runner: Runner) -> str:
    """Optimizers, their rates and what scaled these."""
    said = []
    for wrapper in single_wrappers(runner.optim_wrapper):
        rates = [group['lr'] for group in wrapper.param_groups]
        rates = [group.get('initial_lr', rate) for group, rate in zip(wrapper.param_groups, rates)]
        span = f'lr {max(rates):g}' + (f' down to {min(rates):.3g}' if min(rates) < max(rates) else '')
        said.append(f'{type(wrapper.optimizer).__name__}, {span}, {len(rates)} group(s) of parameters')
    return '; '.join(said) + _scaling(runner)


def _scaling(runner: Runner) -> str:
    scaling = runner.cfg.get('auto_scale_lr') or {}
    if not scaling.get('enable'):
        return ''
    images = _images_of_step(runner)
    factor = rate_factor(scaling, images) if isinstance(images, int) else None
    if factor is None:
        return ''
    rule = 'the square root of ' if scaling.get('rule') == 'sqrt' else ''
    return f'; scaled by {factor:.3g}, {rule}{images}/{scaling["base_batch_size"]} images'


def schedule_line(runner: Runner) -> str:
    """Schedules with their begins, milestones and ends."""
    schedules = runner.param_schedulers or []
    if isinstance(schedules, dict):
        schedules = [part for parts in schedules.values() for part in parts]
    schedules = [part for part in schedules if not isinstance(part, str)]
    return (', then '.join(map(_described, schedules)) or 'a constant rate') + _other_length(runner, schedules)


def _other_length(runner: Runner, schedules: list[Any]) -> str:
    """Says where a schedule is not as long as the run, as when the length alone was changed: '' else."""
    loop = runner.train_loop
    by_epoch = not hasattr(loop, 'dataloader_iterator')
    falling = [part for part in schedules if type(part).__name__ not in _WARMUPS and part.end < _FOREVER]
    if not falling or any(part.by_epoch and not by_epoch for part in falling):
        return ''
    last = max(falling, key=lambda part: part.end)
    length = loop.max_epochs if last.by_epoch else loop.max_iters
    if last.end < length:
        return f'; from {last.end} to {length} the rate stays at its last value'
    return f'; the run ends before it, at {length}' if last.end > length else ''


def _described(schedule: Any) -> str:
    unit = 'epochs' if schedule.by_epoch else 'iterations'
    end = f' to {schedule.end}' if schedule.end < _FOREVER else ' on'
    stones = getattr(schedule, 'milestones', None)
    at = f' at {", ".join(map(str, sorted(stones)))}' if stones else f' {schedule.begin}{end}'
    return f'{type(schedule).__name__}{at} {unit}'


def precision_line(runner: Runner, model: nn.Module) -> str:
    """The precision, and whether parts are computed again on the way back."""
    found = set()
    for wrapper in single_wrappers(runner.optim_wrapper):
        kind = type(wrapper).__name__
        if 'Amp' not in kind:
            found.add('float32')
        elif 'Cpu' in kind:
            found.add('mixed, bfloat16 on the CPU')
        else:
            found.add(f'mixed, {getattr(wrapper, "cast_dtype", None) or "float16"}'.replace('torch.', ''))
    again = any(getattr(module, 'with_cp', False) is True for module in model.modules())
    return ', '.join(sorted(found)) + (f'; activations {"are computed again (with_cp)" if again else "are kept"}')


def kept_line(runner: Runner) -> str:
    """Averages, the best checkpoint, and what ends the run early."""
    said = []
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and hook.save_best:
            names = hook.save_best if isinstance(hook.save_best, list) else [hook.save_best]
            said.append(f'the best by {", ".join(names)}')
        elif isinstance(hook, CheckpointHook):
            newest = f'the newest {hook.max_keep_ckpts} checkpoints' if hook.max_keep_ckpts > 0 else 'all checkpoints'
            said.append(f'{newest}, not the best')
        elif isinstance(hook, EMAHook):
            said.append('averaged weights (EMA)')
        elif isinstance(hook, EarlyStoppingHook):
            said.append(f'ends after {hook.patience} validations without a better {hook.monitor}')
    return ', '.join(said) or 'nothing'


def memory_line(runner: Runner, model: nn.Module, expected: Expected | None) -> str:
    """Memory of weights and optimizer, and of a batch where one was tried."""
    weights = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    trained = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    states = max(_STATES.get(type(wrapper.optimizer).__name__, 2) for wrapper in single_wrappers(runner.optim_wrapper))
    processes = get_world_size() if isinstance(runner.model, FullyShardedModel) else 1
    text = f'{_bytes((weights + trained * (1 + states)) // processes)} for weights, gradients and optimizer'
    text += f' (one of {processes} parts)' if processes > 1 else ''
    if expected is not None and expected.measured.memory is not None:
        return f'{_bytes(expected.measured.memory)} expected of {_bytes(expected.budget)}, {text}'
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        text += f'; {_bytes(torch.cuda.max_memory_allocated())} at most in the forward pass that was tried'
    return f'{text}, and the maps of a batch' + (' (not measured)' if runner.only_prepared else '')


def time_line(runner: Runner, expected: Expected | None) -> str:
    """The time that is expected of a run."""
    if expected is None:
        return 'not measured'
    batch = f'{_time(expected.measured.seconds)} a batch, {_time(expected.loading)} to load an image'
    if expected.predicting is not None:
        batch += f', {_time(expected.predicting)} to predict one'
    compiled = ', without the compiler' if runner.cfg.get('compile') else ''
    return f'about {_time(expected.seconds(runner))} for all of it with its validations ({batch}{compiled})'


def _time(seconds: float) -> str:
    for unit, length in (('days', 86400 * 2), ('h', 3600), ('min', 60)):
        if seconds >= (length if unit == 'days' else 1.5 * length):
            return f'{seconds / (86400 if unit == "days" else length):.1f} {unit}'
    return f'{seconds:.1f} s' if seconds >= 1 else f'{seconds * 1000:.0f} ms'


def _bytes(number: float) -> str:
    return f'{number / 2**30:.1f} GiB' if number >= 2**30 else f'{number / 2**20:.0f} MiB'


def device_line() -> str:
    """Where the run computes."""
    from mmengine.device import get_device

    device = get_device()
    if device == 'cuda':
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        return f'{properties.name}, {_bytes(properties.total_memory)}'
    return f'{device}, {torch.get_num_threads()} thread(s)' if device == 'cpu' else device


def start_line(model: nn.Module, started_from: str | None, resumed: bool) -> str:
    """What the weights are at the beginning."""
    if started_from is not None:
        return f'{"the run of" if resumed else "the weights of"} {started_from}'
    for module in model.modules():
        checkpoint = (
            (getattr(module, 'init_cfg', None) or {}) if isinstance(getattr(module, 'init_cfg', None), dict) else {}
        )
        if checkpoint.get('checkpoint'):
            return f'{checkpoint["checkpoint"]} in {type(module).__name__}, random elsewhere'
    return 'random weights'
