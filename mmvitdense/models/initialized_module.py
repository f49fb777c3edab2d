"""The base of this project's models: mmengine's, with weights that are drawn apart from construction."""

from __future__ import annotations

from mmengine.model import BaseModule

from mmvitdense.layers import SelfInitialized
from mmvitdense.registry import WEIGHT_INITIALIZERS


class InitializedModule(SelfInitialized, BaseModule):
    """A module of mmengine that draws its weights at construction or, where it is built on the meta device or with an
    `init_cfg` that loads a file, in `init_weights`.

    A large model is built on the meta device, given memory in shards or as a whole, and initialised::

        with torch.device('meta'):
            model = PlainViT('huge')
        model.to_empty(device='cuda')
        model.init_weights()
    """

    @property
    def awaits_file(self) -> bool:
        """Whether `init_cfg` starts with an initializer that draws what its file lacks."""
        configs = self.init_cfg if isinstance(self.init_cfg, list | tuple) else [self.init_cfg]
        kind = configs[0].get('type') if configs and configs[0] else None
        kind = WEIGHT_INITIALIZERS.get(kind) if isinstance(kind, str) else kind
        return not self.is_init and getattr(kind, 'draws_the_rest', False)

    def init_weights(self) -> None:
        """Draw what is not drawn yet, then initialise by `init_cfg` as mmengine does.

        Raises:
            RuntimeError: The model is on the meta device.
        """
        if self.undrawn and not self.awaits_file:
            self.draw_weights()
        super().init_weights()
