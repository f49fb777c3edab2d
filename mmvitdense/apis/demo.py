"""Predictions for an image or a folder of images, as pictures and as one JSON file."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from mmvitdense.visualization.picture_files import write_image

from .config import load_config
from .errors import InputError
from .files import check_output_folder, check_score_thr, write_json
from .image_files import ImageFiles, image_files
from .image_loading import ImageLoading
from .inference import Inferencer

INTERRUPTED = 130
"""Exit code after Ctrl-C, as in a shell."""
_OF_ONE_NAME = (errno.ENAMETOOLONG, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.EILSEQ)
_LISTED = 5


def run_demo(
    source: str | Path,
    config: Any,
    checkpoint: str | Path,
    out_dir: str | Path = 'outputs',
    device: str | None = None,
    score_thr: float = 0.3,
    cfg_options: dict[str, Any] | None = None,
) -> int:
    """Predict for an image, or for all images in a folder and its subfolders, and write what is seen.

    Writes `<out_dir>/vis/<image>.png` with the drawn predictions, `<out_dir>/labels/<image>.png` with the label map of
    a segmentation, and at the end `<out_dir>/predictions.json`. `<image>` is the path inside the folder with its own
    suffix (`a/b.jpg` becomes `a/b.jpg.png`), so that no two images share a name.

    Args:
        source: As for `image_files`: an image file, a folder, or the http(s) address of an image.
        config, checkpoint, device, cfg_options: As for `Inferencer`.
        out_dir: Where to write.
        score_thr: Detections below it are neither drawn nor written.

    Returns:
        0; 1 if some images could not be read, predicted for or written (they are named at the end and under 'skipped',
        and the others are done); 130 after Ctrl-C (`predictions.json` then holds what was done, with 'complete' false).

    Raises:
        InputError: there is nothing to predict for; nothing was written then.
    """
    out_dir = Path(out_dir)
    check_output_folder(out_dir, '--out-dir')
    check_score_thr(score_thr)
    with image_files(source, out_dir) as found:
        cfg = load_config(config, cfg_options)
        if len(found.images) == 1:
            ImageLoading(cfg).read(*found.images.values())
            _count_windows(cfg)
        inferencer = Inferencer(cfg, checkpoint, device)
        run = _Run(inferencer, out_dir, score_thr, dict(found.unreadable))
        complete = run.predict(_counted(found.images))
    if run.done:
        description = {'config': str(inferencer.cfg.filename), 'checkpoint': str(checkpoint)}
        run.write_summary(description, found, complete)
    elif complete:
        run.refuse(source, len(found.images))
    run.report(found, complete)
    return INTERRUPTED if not complete else 1 if run.skipped else 0


def _count_windows(cfg: Any) -> None:
    """Let a segmentor of a single image show a bar of its windows."""
    if (cfg.model.get('test_cfg') or {}).get('mode') in ('slide', 'even_slide'):
        cfg.model.test_cfg.setdefault('progress', True)


def _counted(images: Mapping[str, Path]) -> Iterable[tuple[str, Path]]:
    """The images, with a bar; a single one has none, as its windows may."""
    return track(images.items(), description='Images', console=Console(stderr=True), disable=len(images) == 1)


class _Run:
    """What became of each image."""

    def __init__(self, inferencer: Inferencer, out_dir: Path, score_thr: float, skipped: dict[str, str]):
        self.inferencer = inferencer
        self.out_dir = out_dir
        self.score_thr = score_thr
        self.done: dict[str, Any] = {}
        self.skipped = skipped
        self._failures: list[Exception] = []

    def predict(self, images: Iterable[tuple[str, Path]]) -> bool:
        """Predict for all images; False if the person at the keyboard stopped it."""
        try:
            for name, path in images:
                self._predict(name, path)
        except KeyboardInterrupt:
            return False
        return True

    def refuse(self, source: str | Path, number: int) -> None:
        """Raise what says why there is no result at all."""
        if self._failures:
            raise self._failures[0]
        reason = next(iter(self.skipped.values()))
        raise InputError(f'None of the {number} images in {source} can be done: {reason}.')

    def write_summary(self, description: dict[str, str], found: ImageFiles, complete: bool) -> None:
        content = {
            **description,
            'classes': self.inferencer.classes,
            'score_thr': self.score_thr,
            'complete': complete,
            'images': self.done,
            'skipped': self.skipped,
            'not_images': found.others,
        }
        write_json(self.out_dir / 'predictions.json', content, indent=None)

    def report(self, found: ImageFiles, complete: bool) -> None:
        print(f'{len(self.done)} image(s) done: {self.out_dir}/vis, {self.out_dir}/predictions.json')
        if found.others:
            more = ', ...' if len(found.others) > _LISTED else ''
            names = ', '.join(map(_in_one_line, found.others[:_LISTED])) + more
            print(f'{len(found.others)} file(s) not looked at, as they are no images: {names}', file=sys.stderr)
        for name, reason in self.skipped.items():
            print(f'skipped {_in_one_line(name)}: {_in_one_line(reason)}', file=sys.stderr)
        if self.skipped:
            print(f'{len(self.skipped)} of {len(found.images)} image(s) skipped', file=sys.stderr)
        if not complete:
            rest = len(found.images) - len(self.done) - len(self.skipped.keys() - found.unreadable.keys())
            print(f'interrupted: {rest} image(s) not done', file=sys.stderr)

    def _predict(self, name: str, path: Path) -> None:
        try:
            sample = self.inferencer(path, self.score_thr)
            picture = self.inferencer.draw(path, sample, self.score_thr)
            labels = sample.label_map
            files = {'vis': f'vis/{name}.png', 'labels': f'labels/{name}.png'}
            content = {
                'picture': files['vis'],
                **sample.to_dict(files['labels']),
            }
        except InputError as error:
            self.skipped[name] = str(error)
            return
        except Exception as error:  # a model may fail on an image in any way; the other images are none the worse
            self._failures.append(error)
            lines = str(error).strip().splitlines()
            self.skipped[name] = f'the prediction failed ({type(error).__name__}{": " + lines[0] if lines else ""})'
            return
        self._write(name, picture, labels, files, content)

    def _write(self, name: str, picture: Any, labels: Any, files: dict[str, str], content: dict[str, Any]) -> None:
        if not self.done:
            # Of another run, which it would describe wrongly from now on.
            (self.out_dir / 'predictions.json').unlink(missing_ok=True)
        try:
            write_image(self.out_dir / files['vis'], picture)
            if labels is not None:
                write_image(self.out_dir / files['labels'], labels)
        except OSError as error:
            if error.errno not in _OF_ONE_NAME:
                raise InputError(f'{self.out_dir} cannot be written to: {error}.') from error
            self.skipped[name] = f'its picture cannot be written ({error.strerror})'
            return
        self.done[name] = content


def _in_one_line(text: str) -> str:
    """Text that may hold the name of a file, which may be of any characters, as one line that a screen can show."""
    return ''.join(character if character.isprintable() else repr(character)[1:-1] for character in text)
