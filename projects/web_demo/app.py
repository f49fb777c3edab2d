"""A page that shows what models see: choose a model, drop a picture or take one, move the threshold, download.

Nothing is fetched from elsewhere while the page runs, and pictures go to this program alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmvitdense.apis.arguments import add_debug
from mmvitdense.apis.errors import InputError, run_tool

LOWEST = 0.05
"""Detections below this score are never kept."""
QUICKSTART = (
    ('ViTDet (quick start)', 'quickstart/vitdet-tiny_mask-rcnn_shapes.py', 'vitdet-tiny_mask-rcnn_shapes'),
    ('UPerNet (quick start)', 'quickstart/vit-tiny_upernet_shapes.py', 'vit-tiny_upernet_shapes'),
)
_FOLDER = Path('work_dirs/quickstart')
_PICTURE = 'seen.png'
_DATA = 'seen.json'


@dataclass
class Models:
    """Models by the names that the page shows, built when they are first asked for.

    Attributes:
        known: {name: (what `Inferencer` takes, its weights or None)}.
        device: As for `Inferencer`.
        kept: How many are kept in memory, the ones used last.
    """

    known: dict[str, tuple[str, str | None]]
    device: str | None = None
    kept: int = 2
    _built: OrderedDict[str, Any] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, name: str) -> Any:
        """The inferencer of a name."""
        from mmvitdense.apis import Inferencer

        with self._lock:
            if name not in self._built:
                model, weights = self.known[name]
                self._built[name] = Inferencer(model, weights, self.device)
            self._built.move_to_end(name)
            while len(self._built) > self.kept:
                self._built.popitem(last=False)
            return self._built[name]


def quickstart_models(folder: Path = _FOLDER) -> dict[str, tuple[str, str | None]]:
    """The models that tools/quickstart.sh trained, as far as they are there."""
    found = {}
    for title, config, name in QUICKSTART:
        note = folder / name / 'last_checkpoint'
        if note.is_file():
            found[title] = (f'mmvitdense::{config}', note.read_text().strip())
    return found


def named_models(given: list[list[str]]) -> dict[str, tuple[str, str | None]]:
    """Models of the command line, each MODEL or MODEL WEIGHTS, by their names.

    Raises:
        InputError: There are more than two parts.
    """
    found: dict[str, tuple[str, str | None]] = {}
    for parts in given:
        if len(parts) > 2:
            raise InputError(f'--model {" ".join(parts)}: expected a model, and its weights where they are elsewhere.')
        model, weights = parts[0], parts[1] if len(parts) == 2 else None
        name = Path(model).stem
        while name in found:
            name += "'"
        found[name] = (model, weights)
    return found


def predict(models: Models, name: str, image: Any, threshold: float) -> tuple[Any, ...]:
    """Predict for an RGB picture: the result to keep, and what `show` gives for it."""
    import gradio as gr

    from mmvitdense.checkpoints import CheckpointError
    from mmvitdense.datasets.checks import DataError
    from mmvitdense.downloads import DownloadError

    if image is None:
        raise gr.Error('There is no picture: drop one, or take one.', print_exception=False)
    try:
        result = models.get(name)(image[..., ::-1], score_thr=LOWEST, keep_images=True)
    except (CheckpointError, DataError, DownloadError, InputError) as error:
        raise gr.Error(str(error), print_exception=False) from error
    return (result, *show(result, threshold))


def show(result: Any, threshold: float) -> tuple[Any, ...]:
    """The picture (RGB), a table of what is there, and the files to download; nothing is predicted."""
    if result is None:
        return None, [], []
    seen = result.filter(threshold)
    picture = seen.draw(score_thr=0.0)
    return picture[..., ::-1], _table(seen), _files(seen, picture)


def _table(result: Any) -> list[list[str]]:
    if result.segment_map is not None:
        whole = result.height * result.width
        return [[segment['name'], f'{segment["area"] / whole:.1%}'] for segment in result.segments]
    if result.label_map is not None:
        parts = sorted(result.to_dict(label_map='')['classes'].items(), key=lambda part: -part[1])
        return [[name, f'{share:.1%}'] for name, share in parts]
    return [[name, f'{score:.2f}'] for name, score in zip(result.names, result.scores.tolist())]


def _files(result: Any, picture: Any) -> list[str]:
    from mmvitdense.visualization.picture_files import write_image

    folder = Path(tempfile.mkdtemp(prefix='mmvitdense-page-'))
    write_image(folder / _PICTURE, picture)
    (folder / _DATA).write_text(json.dumps(result.to_dict()))
    return [str(folder / _PICTURE), str(folder / _DATA)]


def build_page(models: Models, threshold: float = 0.3) -> Any:
    """The page, to be launched."""
    import gradio as gr

    names = list(models.known)
    with gr.Blocks(title='mmvitdense', analytics_enabled=False) as page:
        gr.Markdown('# mmvitdense\nBoxes, masks and maps from plain Vision Transformers.')
        kept = gr.State(None)
        with gr.Row():
            with gr.Column():
                model = gr.Dropdown(names, value=names[0], label='Model', elem_id='model')
                image = gr.Image(sources=['upload', 'webcam', 'clipboard'], label='Picture', elem_id='picture')
                slider = gr.Slider(LOWEST, 1.0, threshold, step=0.01, label='Lowest score', elem_id='threshold')
                button = gr.Button('Show', variant='primary', elem_id='show')
            with gr.Column():
                # A label or buttons on the picture would cover its legend; downloads are below.
                seen = gr.Image(elem_id='seen', show_label=False, buttons=[], interactive=False, format='png')
                table = gr.Dataframe(headers=['what', 'score or share'], label='Found', elem_id='found')
                files = gr.File(label='Download', elem_id='files', file_count='multiple')
        outputs = [seen, table, files]

        def run(name: str, picture: Any, score: float) -> tuple[Any, ...]:
            return predict(models, name, picture, score)

        gr.on([button.click, image.upload, model.change], run, [model, image, slider], [kept, *outputs])
        slider.change(show, [kept, slider], outputs, trigger_mode='always_last')
        image.clear(lambda: (None, None, [], []), None, [kept, *outputs])
    return page


def main() -> int:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--model',
        nargs='+',
        action='append',
        default=[],
        metavar='PART',
        help='MODEL or MODEL WEIGHTS, as for `mmvitdense predict`, once for each; by default what tools/quickstart.sh '
        'trained',
    )
    parser.add_argument('--host', default='127.0.0.1', help='whom to serve; 0.0.0.0 for all who can reach this machine')
    parser.add_argument('--port', type=int, default=7860)
    parser.add_argument('--device', help='cpu, cuda:0, ... (default: a GPU if there is one)')
    add_debug(parser)
    arguments = parser.parse_args()
    return run_tool(lambda: serve(arguments), arguments.debug)


def serve(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise InputError('The page needs gradio: pip install gradio.') from error
    known = named_models(arguments.model) or quickstart_models()
    if not known:
        raise InputError(
            f'There are no models in {_FOLDER}: run `bash tools/quickstart.sh`, or name one: --model MODEL WEIGHTS.'
        )
    models = Models(known, arguments.device)
    models.get(next(iter(known)))  # a mistake shows here, not on the page
    page = build_page(models)
    try:
        page.launch(server_name=arguments.host, server_port=arguments.port, share=False, quiet=False, pwa=False)
    except OSError as error:
        raise InputError(f'The page cannot be served on {arguments.host}:{arguments.port}: {error}') from error
    return 0


if __name__ == '__main__':
    sys.exit(main())
