"""Models of the Hugging Face Hub, through `huggingface_hub`, which is optional."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

from mmvitdense.apis.errors import InputError
from mmvitdense.checkpoints.files.hub_folder import CONFIG, INDEX
from mmvitdense.downloads import DownloadError
from mmvitdense.whole_files import write_text_whole

from .card import with_address
from .layout import CARD, PROGRAM, read_description
from .weights import check_weights

_ID = re.compile(r'[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*')
_FILES = re.compile(r'\.(py|json|ya?ml|pth|pt|pkl|safetensors)$')
_WANTED = [CONFIG, CARD, INDEX, '*.safetensors']
"""What is fetched: data alone. `config.py` is for people and stays where it is."""
_OTHER_WEIGHTS = ['*.pth', '*.pt', '*.bin', '*.bin.index*.json', '*.npz', '*.pkl']
"""Weights that are no safetensors."""


def is_hub_id(name: str | Path) -> bool:
    """Whether a text has the form of a model's name on the Hub, OWNER/NAME, and names no file or folder here."""
    text = str(name)
    return isinstance(name, str) and bool(_ID.fullmatch(text)) and not _FILES.search(text) and not Path(text).exists()


def fetch_from_hub(name: str, revision: str | None = None) -> Path:
    """The folder of a model of the Hub in the Hub's own cache, fetched where it is not there yet.

    Raises:
        InputError: huggingface_hub is not installed.
        DownloadError: There is no such model or revision, it is not open to you, or there is no network.
    """
    folder = _snapshot(name, revision, _WANTED)
    if not (folder / CONFIG).is_file():
        raise DownloadError(f'{name} on the Hugging Face Hub has no {CONFIG}: it is no model of mmvitdense.')
    return folder


def fetch_weights_from_hub(name: str, revision: str | None = None) -> Path:
    """The folder with the weights of any model of the Hub, as safetensors or, where there are none, as other files.

    Raises:
        InputError: huggingface_hub is not installed.
        DownloadError: As `fetch_from_hub`, or there are no files of weights.
    """
    for patterns in ([INDEX, '*.safetensors'], _OTHER_WEIGHTS):
        folder = _snapshot(name, revision, patterns)
        if any(path.match(pattern) for path in folder.glob('*') for pattern in patterns):
            return folder
    raise DownloadError(f'{name} on the Hugging Face Hub has no file of weights ({", ".join(_OTHER_WEIGHTS)}).')


def _snapshot(name: str, revision: str | None, patterns: list[str]) -> Path:
    hub = _library()
    try:
        return Path(hub.snapshot_download(name, revision=revision, allow_patterns=patterns))
    except Exception as error:  # its exceptions are of several libraries, which change with its version
        raise DownloadError(_why(name, revision, error)) from error


def push_to_hub(
    folder: str | Path,
    name: str,
    private: bool | None = None,
    revision: str | None = None,
    message: str | None = None,
    token: str | None = None,
) -> str:
    """Upload a folder that `save_pretrained` wrote; the repository is made where there is none.

    Args:
        folder: The folder. Its files are checked first, and others in it stay here.
        name: OWNER/NAME. The snippet of the uploaded card names it.
        private: Whether a new repository is; None leaves that to the Hub.
        revision: The branch; by default the main one.
        message: Of the commit.
        token: By default the one that `hf auth login` keeps.

    Returns:
        The address of the commit, or of the model.

    Raises:
        InputError: The name is none, huggingface_hub is not installed, or the folder is not whole.
        DownloadError: The Hub refuses it, or there is no network.
    """
    if not _ID.fullmatch(name):
        raise InputError(f'{name!r} is no name of a model on the Hugging Face Hub; expected OWNER/NAME.')
    hub, folder = _library(), Path(folder)
    weights = read_description(folder)['weights']
    check_weights(folder, weights)
    card = folder / CARD
    if card.is_file():
        write_text_whole(card, with_address(card.read_text(encoding='utf-8'), name))
    api = hub.HfApi(token=token)
    try:
        api.create_repo(name, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(name, branch=revision, exist_ok=True)
        done = api.upload_folder(
            repo_id=name,
            folder_path=str(folder),
            revision=revision,
            commit_message=message or f'{folder.name}, published by mmvitdense',
            allow_patterns=[CONFIG, CARD, PROGRAM, *weights['files']],
        )
    except Exception as error:  # as above
        raise DownloadError(_why(name, revision, error)) from error
    return getattr(done, 'commit_url', None) or f'https://huggingface.co/{name}'


def _library() -> ModuleType:
    try:
        import huggingface_hub
    except ImportError as error:
        raise InputError('Run `pip install huggingface_hub` for models of the Hugging Face Hub.') from error
    return huggingface_hub


def _why(name: str, revision: str | None, error: Exception) -> str:
    kind, said = type(error).__name__, ' '.join(str(error).split())[:300]
    which = f'{name} (revision {revision})' if revision else name
    advice = {
        'GatedRepoError': 'ask for access on its page, then run `hf auth login`',
        'RepositoryNotFoundError': 'check the name; for a private one run `hf auth login`',
        'RevisionNotFoundError': 'give a branch, tag or commit that is there',
        'LocalEntryNotFoundError': 'check the network; what was fetched before is found without one',
    }.get(kind, 'check the name, the network and `hf auth login`')
    return f'The Hugging Face Hub does not serve {which}: {advice} ({kind}: {said}).'
