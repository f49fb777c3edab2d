"""mmengine's checkpoints under `torch.load(weights_only=True)`, the default since torch 2.6.

The original mmengine does not declare to torch what its checkpoints hold besides weights, so that it cannot resume from
its own files. The onedl line does, but then reads a file that holds anything else by executing it, and so does
`torch.hub` with what it fetches; tools of this project refuse such files.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from mmvitdense.downloads import fetched
from mmvitdense.safe_objects import run_objects, run_objects_allowed

from .import_hooks import Replace, after_import, replaced

MODULE = 'mmengine.runner.checkpoint'


def register() -> None:
    """Let the original mmengine read its checkpoints; the onedl line needs nothing."""
    after_import(MODULE, _allow)


@contextmanager
def weights_only() -> Iterator[None]:
    """Inside, mmengine executes nothing that a checkpoint holds, wherever it comes from."""
    with replaced(MODULE, _refuse):
        yield


def _allow(checkpoint: ModuleType) -> None:
    if not hasattr(checkpoint, '_safe_torch_load'):
        import torch

        torch.serialization.add_safe_globals(list(run_objects()))


def _refuse(checkpoint: ModuleType, replace: Replace) -> None:
    import torch

    def load(file: Any, map_location: Any = None, weights_only: bool | None = None) -> Any:
        with run_objects_allowed():
            return torch.load(file, map_location=map_location, weights_only=weights_only is not False)

    def load_url(url: str, model_dir: str | None = None, map_location: Any = None, **_: Any) -> Any:
        # torch.hub keeps a file under the last part of its address, and takes it for any other that ends alike.
        return load(fetched(url, model_dir), map_location)

    # The original line has no such function: it calls torch.load.
    if hasattr(checkpoint, '_safe_torch_load'):
        replace(checkpoint, '_safe_torch_load', load)
    replace(checkpoint, 'load_url', load_url)
