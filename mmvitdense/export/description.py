"""What an exported file says of itself, so that it can be run without its config."""

from __future__ import annotations

import dataclasses
import json

from .errors import ExportError

KEY = 'mmvitdense'
"""Name under which a file holds its description."""


@dataclasses.dataclass(frozen=True)
class Description:
    """What has to be known beside the graph.

    Attributes:
        task: See `Wrapped`.
        inputs, outputs: Names, in order.
        height, width: Of the images; of those it was traced with where `any_size`.
        batch: How many images a call takes; 0 for any number.
        any_size: Whether images of other sizes fit.
        multiple: What the sides of an image are multiples of where `any_size`.
        channels: Order of the channels that are read, 'BGR' or 'RGB'.
        padding: Value of each channel beside an image before normalisation, which stands for 0 after it.
        classes: Names of the classes.
        mask_thr: Probability from which on a pixel is of a mask.
        test_cfg: How results are made of outputs: windows of a segmentor, thresholds of segments.
        precision: 'float32' or 'int8'.
        made_by: Versions.
    """

    task: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    height: int
    width: int
    batch: int = 1
    any_size: bool = False
    multiple: int = 1
    channels: str = 'BGR'
    padding: tuple[float, ...] = (0.0, 0.0, 0.0)
    classes: tuple[str, ...] = ()
    mask_thr: float = 0.5
    test_cfg: dict = dataclasses.field(default_factory=dict)
    precision: str = 'float32'
    made_by: dict[str, str] = dataclasses.field(default_factory=dict)

    def to_json(self) -> str:
        """As text."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str | None, name: str) -> Description:
        """From the text in the file `name`.

        Raises:
            ExportError: there is none, or it is of another version.
        """
        if not text:
            raise ExportError(f'{name} was not written by `mmvitdense export`: it has no description of {KEY} in it.')
        try:
            content = json.loads(text)
            content = {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
            return cls(**content)
        except (ValueError, TypeError) as error:
            raise ExportError(
                f'{name} was written by another version of mmvitdense ({error}): export it anew.'
            ) from error
