"""What a conversion of a checkpoint gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from mmvitdense.apis.library_export import LibraryExport
from mmvitdense.checkpoints.files.file_pages import FilePages
from mmvitdense.checkpoints.files.pieces import converted_in_pieces, thinned
from mmvitdense.checkpoints.files.reading import local_path
from mmvitdense.checkpoints.formats.describe import Description
from mmvitdense.checkpoints.formats.parts.spelling import spelled_options


@dataclass
class Conversion:
    """What a conversion gives.

    Attributes:
        format_name: Format of the file that was read.
        num_read: Tensors in it.
        read: The tensors that are converted.
        make: Makes what is to be written of them, or of a part of them, see `converted_in_pieces`.
        source: The file.
        model: Name of the class that the weights are for.
        description: Arguments of it that compute what the weights were trained with, and which of them are guesses;
            None when the weights do not determine them.
        unused: Names that a model with these options has no place for: heads, decoders, projections.
        families: Families of `PRETRAININGS` that the file may be of.
        whole_model: Whether the file holds a neck and heads of mmdet or mmseg besides.
        export: The model of another library that the weights are written for.
        notes: What could not be determined.
        misfit: Why no model takes the weights, whose names are those of one; None where one does.
        first_format: Format of the file that was converted first, where this one was written by a conversion.
    """

    format_name: str
    num_read: int
    read: dict[str, Tensor]
    make: Callable[[dict[str, Tensor]], dict[str, Tensor]]
    source: str | Path
    model: str = 'PlainViT'
    description: Description | None = None
    unused: list[str] = field(default_factory=list)
    families: tuple[str, ...] = ()
    whole_model: bool = False
    export: LibraryExport | None = None
    notes: list[str] = field(default_factory=list)
    misfit: str | None = None
    first_format: str = ''

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """What is to be written."""
        return self.make(self.read)

    @cached_property
    def plan(self) -> dict[str, Tensor]:
        """The same, large weights on the meta device."""
        return self.make(thinned(self.read))

    def pieces(self) -> Iterator[tuple[str, Tensor]]:
        """Name and weight of what is to be written, made block by block."""
        pages = FilePages(local_path(self.source), self.read.values())
        return converted_in_pieces(self.read, self.make, pages.release)

    @property
    def options(self) -> dict[str, Any] | None:
        """The arguments; None when the weights do not determine them."""
        return None if self.description is None else self.description.options

    @property
    def record(self) -> dict[str, Any]:
        """What the written file says of its conversion, see `conversion_record`."""
        first = self.first_format or self.format_name
        record: dict[str, Any] = {'format': first, 'model': self.model, 'families': list(self.families)}
        guesses = {} if self.description is None else self.description.recorded_guesses()
        if self.export is not None:
            known = self.export.not_in_weights
            guesses = {path: guess for path, guess in guesses.items() if path in known}
            record.update(layout=self.export.library, options=spelled_options(known), guesses=guesses)
        elif self.description is not None:
            record.update(options=spelled_options(self.description.options), guesses=guesses)
        return record

    def __str__(self) -> str:
        lines = [f'format: {self.format_name}', f'tensors: {self.num_read} read, {len(self.plan)} converted']
        if self.description is not None:
            lines.append(f'options: {self.model}({spelled_options(self.description.options)})')
            lines += [f'# a guess: {_as_line(*guess)}' for guess in self.description.recorded_guesses().items()]
        if self.description is not None and self.description.guesses:
            lines.append('# give what is known with --options NAME=VALUE; a file with guesses warns when it is loaded')
        if self.unused:
            shown = ', '.join(self.unused[:8]) + (f' and {len(self.unused) - 8} more' if len(self.unused) > 8 else '')
            lines.append(f'not of the {"ViT" if self.model == "PlainViT" else self.model}: {shown}')
        return '\n'.join([*lines, *self.notes, *([] if self.export is None else self.export.notes)])


def _as_line(path: str, guess: Mapping[str, str]) -> str:
    value = f'={guess["value"]}' if 'value' in guess else ' as by default'
    return f'{path}{value}: {guess["why"]}'
