"""What a published layout of weights has to say of itself.

A format is one file in `formats` or a folder below it with a `Format` under the name `FORMAT`, which is all that
`detect` looks for: another one needs no edit elsewhere. Whatever the pre-training computed stands in
`mmvitdense.pretrainings`; a format says which of its families a file may be of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .parts.families import guesses_of_families
from .parts.implied_options import implied_options

Weights = dict[str, Tensor]
Pixels = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Record:
    """What a converted file, or config.json of another library, says of its model.

    Attributes:
        options: Arguments of the model.
        guesses: {path of an option: why it was a guess}; all others were known.
        whole: Whether they are all options; else those alone that no weight shows, which holds in any layout.
    """

    options: Mapping[str, Any]
    guesses: Mapping[str, str]
    whole: bool

    def with_given(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Its options, over which those that a user gives win; of a ViT inside, also by their names alone."""
        found, vit = {**self.options}, self.options.get('vit')
        for name, value in given.items():
            if isinstance(vit, Mapping) and name == 'vit':
                found['vit'] = {**found['vit'], **value}
            elif isinstance(vit, Mapping) and name in vit and name not in self.options:
                found['vit'] = {**found['vit'], name: value}
            else:
                found[name] = value
        return found


@dataclass(frozen=True, eq=False)
class Format:
    """A layout of weights. What its functions get is the file as it was read.

    Attributes:
        name: How it is called in messages.
        about: What it is, the docstring of its file.
        matches: Whether a file has this layout. Of all formats exactly one may match.
        convert: The weights under the names of `PlainViT`, or of `model`; under 'backbone.' with the names of mmdet
            or mmseg beside where the file holds more than a backbone.
        model: The class of `mmvitdense.models` that the weights are for.
        part: What of a detector or segmentor `model` is: 'backbone' or 'neck'.
        families: Families of `PRETRAININGS` that the file may be of, the likeliest first; () for others. Where they
            agree on an option it is known, else that of the first is a guess.
        implied: Options that this layout implies besides, over those of the families: {option: value}.
        cannot_tell: {path of an option: why it is a guess}, given the file and the options.
        own_options: Arguments of `model`, given the file and what the user knows, in the place of what families,
            names and shapes imply; for what is more than a plain ViT.
        tells_options: Whether options can be read off files of this layout at all.
        trunk: What a file lacks of its ViT: 'missing' where it has only what stands on one, 'added' where the weights
            of its ViT are differences to published ones; None for a whole file.
        notes: What the weights compute otherwise than the published model, in sentences.
        pixels: Mean and standard deviation of the pixels, RGB in 0..255, that the file itself has; None for those of
            its family.
        generation: Which of several generations of a model a file is of, in words; '' where there is one.
        tells_heads: Whether a file determines the number of heads.
        ordered_by_heads: Whether `convert` takes `num_heads`, by which channels change places.
        pos_grid: Rows and columns of the tables of the whole image, where the layout knows them.
        config: Options that no weight shows and the library's config.json beside the file says, {option: value}, given
            converted weights and what config.json holds; None for layouts without one.
        record: What the file, or config.json beside it, says of its model.
    """

    name: str
    about: str
    matches: Callable[[Weights], bool]
    convert: Callable[..., Weights]
    model: str = 'PlainViT'
    part: str = 'backbone'
    families: Callable[[Weights], tuple[str, ...]] = lambda state_dict: ()
    implied: Callable[[Weights], dict[str, Any]] = lambda state_dict: {}
    cannot_tell: Callable[[Weights, dict[str, Any]], dict[str, str]] = lambda state_dict, options: {}
    own_options: Callable[..., dict[str, Any]] | None = None
    tells_options: bool = True
    trunk: Callable[[Weights], str | None] = lambda state_dict: None
    notes: Callable[[Weights], tuple[str, ...]] = lambda state_dict: ()
    pixels: Callable[[Weights], Pixels | None] = lambda state_dict: None
    generation: Callable[[Weights], str] = lambda state_dict: ''
    tells_heads: Callable[[Weights], bool] = lambda state_dict: False
    ordered_by_heads: bool = False
    pos_grid: Callable[[Weights], tuple[int, int]] | None = None
    config: Callable[[Weights, Mapping[str, Any]], dict[str, Any]] | None = None
    record: Record | None = None

    def converted(self, state_dict: Weights, num_heads: int | None = None) -> Weights:
        """Convert; `num_heads` is what the user or the model knows, of use where channels are ordered by heads.

        Such a format knows the heads of published widths and of files that record them.
        """
        if self.ordered_by_heads and num_heads is not None:
            return self.convert(state_dict, num_heads=num_heads)
        return self.convert(state_dict)

    def options(self, state_dict: Weights, **given: Any) -> dict[str, Any]:
        """Arguments of `model` that compute what the weights were trained with; `given` ones win.

        Raises:
            CheckpointError: One cannot be determined, and has to be given.
        """
        if self.record is not None:
            given = self.record.with_given(given)
            if self.record.whole:
                return given
        if self.own_options is not None:
            return self.own_options(state_dict, **given)
        weights = self.converted(state_dict, given.get('num_heads'))
        return implied_options(weights, given, self.families(state_dict), **self.implied(state_dict))

    def guesses(self, state_dict: Weights, options: dict[str, Any]) -> dict[str, str]:
        """{path of an option, such as 'vit.window_size': why it is a guess}, of `options` of this format."""
        if self.record is not None and self.record.whole:
            return dict(self.record.guesses)
        of_families = {}
        if families := self.families(state_dict):
            weights = self.converted(state_dict, options.get('num_heads'))
            of_families = guesses_of_families(families, weights, self.implied(state_dict))
        found = {**of_families, **self.cannot_tell(state_dict, options)}
        if self.record is not None:
            found = {path: why for path, why in found.items() if path.removeprefix('vit.') not in self.record.options}
            found.update(self.record.guesses)
        return found
