"""A zoo of small models: entries of the real one with their addresses, configs made small, files made on the spot."""

from __future__ import annotations

import functools
import hashlib
import http.server
import threading
from pathlib import Path
from typing import Any

import yaml
from mmengine.config import Config
from torch import nn

from mmvitdense import project_files
from mmvitdense.apis.build import build_model
from mmvitdense.apis.sync_bn import sync_bn_to_bn
from mmvitdense.checkpoints.zoo import ZooEntry, zoo_entries
from mmvitdense.checkpoints.zoo.metafiles import read_metafile
from mmvitdense.download_mirrors import MIRRORS
from tests.fidelity.agreement import redraw

REPOSITORY = Path(__file__).parents[2]


class SmallZoo:
    """A folder in the place of the package's, and a server in the place of all hosts.

    Args:
        folder: Where to make it.
        patch: Puts the environment back.
    """

    def __init__(self, folder: Path, patch: Any):
        self.entries = {entry.name: entry for entry in zoo_entries()}
        self.folder, self.served = folder / 'project', folder / 'served'
        self.served.mkdir(parents=True)
        self._models: dict[str, list] = {}
        handler = functools.partial(_Quiet, directory=str(self.served))
        self._server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
        threading.Thread(target=self._server.serve_forever, kwargs={'poll_interval': 0.02}, daemon=True).start()
        patch.setattr(project_files, 'PACKAGE', self.folder / 'mmvitdense')
        patch.setenv('TORCH_HOME', str(folder / 'torch'))
        patch.setenv('no_proxy', '127.0.0.1')
        patch.setenv(MIRRORS, f'https://=http://127.0.0.1:{self._server.server_port}/')

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, name: str, config: Config, md5_of: Path | None = None) -> nn.Module:
        """Give a config of the zoo another content; returns its model with random weights, without cells of running
        statistics that random weights would not have."""
        entry = self.entries[name]
        path = self.folder / 'configs' / entry.config
        path.parent.mkdir(parents=True, exist_ok=True)
        config.dump(path)
        (model,) = (
            model
            for model in read_metafile(REPOSITORY / 'configs' / path.parent.name / 'metafile.yml')['Models']
            if model['Name'] == name
        )
        self._models.setdefault(path.parent.name, []).append(model)
        self._write()
        config = Config.fromfile(path)
        sync_bn_to_bn(config)
        return redraw(build_model(config)).eval()

    def serve(self, address: str, content: bytes) -> None:
        """Answer with `content` at the place of an address."""
        path = self.served / address.removeprefix('https://')
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def publish(self, name: str, content: bytes) -> ZooEntry:
        """Serve the published file of an entry, under the check sum that its name needs."""
        model = next(m for models in self._models.values() for m in models if m['Name'] == name)
        if digits := (model.get('Converted From') or {}).get('MD5'):
            real = hashlib.md5(content).hexdigest()[: len(digits)]
            model['Weights'] = model['Weights'].replace(digits, real)
            model['Converted From']['MD5'] = real
            self._write()
        self.serve(model['Weights'], content)
        return self.entries[name]

    def _write(self) -> None:
        for family, models in self._models.items():
            (self.folder / 'configs' / family / 'metafile.yml').write_text(yaml.safe_dump({'Models': models}))
        names = [f'configs/{family}/metafile.yml' for family in self._models]
        (self.folder / 'model-index.yml').write_text(yaml.safe_dump({'Import': names}))
        from mmvitdense.checkpoints.zoo import metafiles

        metafiles._entries.cache_clear()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass
