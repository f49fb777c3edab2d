"""One model of the zoo: a config, and what is published for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

ACCESS = {
    'free': 'fetched by its address',
    'gated': 'the publisher gives it to those who ask and accept a licence',
    'click-through': 'on a page where a browser has to be used',
    'dead': 'the published address no longer answers',
}


class Result(NamedTuple):
    """A published result: {name of a metric: value in percent} for a task on a data set."""

    task: str
    dataset: str
    metrics: dict[str, float]


@dataclass(frozen=True)
class ZooEntry:
    """What a metafile says of a config.

    Attributes:
        name: Name of the model, that of the config without '.py'.
        config: Path of the config below the folder 'configs'.
        family: Name of the collection that it belongs to.
        weights: Address of the published file; None where there is none that can be fetched.
        access: One of `ACCESS` where something is published, else None.
        page: Where the file is to be had by hand, and what has to be done there; '' where it can be fetched.
        md5, sha256: First digits of the check sum, where one is published and not in the name of the file.
        source: Address of the official config or code that the weights are of.
        trunk: What the file lacks of its ViT: 'missing' or 'added', see `Format.trunk`; None for a whole file.
        results: What is published for these weights.
        metadata: Parameters, FLOPs, image size, training data, as the metafile has them.
        licence: Licence of the weights.
        notes: What else is to be known.
    """

    name: str
    config: str
    family: str = ''
    weights: str | None = None
    access: str | None = None
    page: str = ''
    md5: str | None = None
    sha256: str | None = None
    source: str | None = None
    trunk: str | None = None
    results: tuple[Result, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    licence: str | None = None
    notes: str = ''

    @property
    def address(self) -> str | None:
        """The address with the check sum after it, as `downloads.fetched` takes it."""
        if self.weights is None:
            return None
        known = [f'{kind}={digits}' for kind in ('md5', 'sha256') if (digits := getattr(self, kind))]
        return f'{self.weights}#{known[0]}' if known else self.weights
