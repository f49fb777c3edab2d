"""The lines of a config that use a file of weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmvitdense.checkpoints.formats.parts.spelling import spelled
from mmvitdense.pretrainings import PRESETS

if TYPE_CHECKING:
    from .diagnosis import Diagnosis


def config_lines(found: Diagnosis, address: str, whole_model: bool, part: str = 'backbone') -> str:
    """Python that a config may contain.

    Args:
        found: What is known of the file.
        address: What an `init_cfg` names.
        whole_model: Whether the file holds a neck and heads besides.
        part: What of a whole model its class is, see `Format.part`; of a neck there are no lines.
    """
    if found.lacks == 'missing':
        return (
            f"# Join it with its ViT first: mmvitdense convert {address} WHOLE.pth --trunk VIT\nload_from = 'WHOLE.pth'"
        )
    lines = [f'# All weights of a model that is built as theirs:\nload_from = {address!r}'] if whole_model else []
    if part != 'backbone':
        return '\n'.join(lines)
    if whole_model:
        lines.append('# Or its backbone alone:')
    options: dict[str, Any] = {'type': f'mmvitdense.{found.model}'}
    if found.presets:
        options['preset'] = found.presets[0]
        options.update(_own_grid(found))
        if len(found.presets) > 1:
            lines.append(f'# As likely: {", ".join(found.presets[1:])}')
    elif found.options is not None:
        options.update(found.options)
    else:
        lines.append(
            '# The weights do not determine the options: give those of the config that they were trained with.'
        )
    lines.append('backbone = dict(')
    lines += [f'    {name}={spelled(value)},' for name, value in options.items()]
    lines += [f"    init_cfg=dict(type='ViTPretrained', checkpoint={address!r}),", ')']
    if found.facts:
        lines += _pixel_lines(next(iter(found.facts.values())))
    return '\n'.join(lines)


def _pixel_lines(fact: dict[str, Any]) -> list[str]:
    """What the `data_preprocessor` has, and for images of other than three channels what loads them."""
    order = '' if len(fact['mean']) == 1 else ', bgr_to_rgb=True'
    lines = [
        f'data_preprocessor = dict(mean={fact["mean"]}, std={fact["std"]}{order})  '
        '# with the type and the padding of the task'
    ]
    if bands := fact.get('bands'):
        lines += [
            f'# In the place of LoadImageFromFile, for the bands {", ".join(bands["names"])}:',
            "load_bands = dict(type='mmvitdense.LoadBands')",
            f"stretch_bands = dict(type='mmvitdense.StretchBands', mean={bands['mean']}, std={bands['std']})",
        ]
    return lines


def _own_grid(found: Diagnosis) -> dict[str, Any]:
    """The size of the images of its table of positions, where it is not that of the preset: nothing is resized then."""
    image = next((position['image'] for position in found.positions if position.get('image')), None)
    known = PRESETS[found.presets[0]]['pretrain_img_size']
    if image is None or image == [known, known]:
        return {}
    return {'pretrain_img_size': image[0] if image[0] == image[1] else tuple(image)}
