"""What a model of another library has to say of itself so that weights can be written for it.

A target is one file in `targets` or a folder below it with a `Target` under the name `TARGET`. It is the way back
of one of `formats`: what it writes, `detect` recognises as one of `read_by`, and `convert` gives the weights
again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

Weights = dict[str, Tensor]
Options = Mapping[str, Any]

ANY = object()
"""Every value of an option."""


class Where:
    """The values of an option that fulfil a condition."""

    def __init__(self, condition: Callable[[Any], bool]):
        self._condition = condition

    def __contains__(self, value: Any) -> bool:
        return self._condition(value)


class Code(str):
    """An argument that is no literal: the text of Python that gives it."""

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True, eq=False)
class Target:
    """A model of another library.

    Options are all those of `PlainViT`, as `models.backbones.resolved_options` gives them.

    Attributes:
        name: The class of the model.
        library: 'timm', 'transformers', 'detectron2' or 'mmpretrain'; 'official' for the repository that published the
            pre-training.
        about: What it is, the docstring of its file.
        expresses: {option: values that the model can have, or `ANY`}. An option that is not there can have the
            default of `PlainViT` alone, so that what nobody thought of is refused. Sizes need not be named.
        entry: The name by which `timm.create_model` builds it.
        arguments: Arguments of the model, given the options and the weights.
        write: The weights under its names, given those of `PlainViT` and the options. Tensors may be on the meta
            device, but for biases, gains and other small ones.
        read_by: Names of the formats that read what is written.
        pos_resize: The rule by which it resizes its table of positions at another size, as the option has it; `ANY`
            where that is an argument, None where it takes images of one size.
        refuses: Why these weights or options cannot be written although each option can, a part of a sentence; None
            where they can.
        first: Whether it is the plain ViT of its library, which is named where several models are as near.
        carries: Starts of names of weights around the ViT that the model has too, under the names that they have.
        notes: What its user has to know, a sentence each, given the options.
        container: The key under which a file of torch.save has the weights; '' for none.
        opens: The code that opens it: a text with '{arguments}', '{path}', and '{loaded}' for the content of the file.
    """

    name: str
    library: str
    about: str
    expresses: Mapping[str, Any]
    arguments: Callable[[Options, Weights], dict[str, Any]]
    write: Callable[[Weights, Options], Weights]
    read_by: tuple[str, ...]
    pos_resize: Any = None
    refuses: Callable[[Weights, Options], str | None] = lambda weights, options: None
    entry: str = ''
    first: bool = False
    carries: tuple[str, ...] = ()
    notes: Callable[[Options], list[str]] = lambda options: []
    container: str = 'state_dict'
    opens: str = ''

    def opening(self, path: str, arguments: Mapping[str, Any]) -> str:
        """The code that opens a file with its weights, given the arguments of the model."""
        named = ', '.join(f'{name}={value!r}' for name, value in arguments.items())
        reads = 'safetensors.torch.load_file' if path.endswith('.safetensors') else 'torch.load'
        parts = {
            '{arguments}': named,
            '{path}': repr(path),
            '{entry}': repr(self.entry),
            '{loaded}': f'{reads}({path!r})',
        }
        code = self.opens
        for name, text in parts.items():
            code = code.replace(name, text)
        return code

    def inexpressible(self, options: Options, defaults: Options) -> list[str]:
        """Options that the model cannot have."""
        return [name for name, value in options.items() if not self._has(name, value, defaults[name])]

    def _has(self, name: str, value: Any, default: Any) -> bool:
        allowed = self.expresses.get(name, (default,))
        return allowed is ANY or value in allowed

    def resizes_otherwise(self, options: Options) -> bool:
        """Whether positions at another size are not those of `PlainViT`."""
        return (
            options['pos_embed'] == 'absolute'
            and self.pos_resize is not ANY
            and self.pos_resize != options['pos_resize']
        )
