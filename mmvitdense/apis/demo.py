"""Predictions for images, as pictures and as one JSON file; for videos and cameras, see `demo_video`."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Any

from mmvitdense.visualization.picture_files import write_image

from .coco_results import CocoResults
from .demo_video import gives_frames, run_on_frames
from .errors import InputError
from .files import check_output_file, check_output_folder, check_score_thr, write_json
from .image_files import ImageFiles, image_files
from .image_loading import ImageLoading
from .inference import Inferencer
from .inputs import Inputs, Item
from .named_models import find_model
from .result import Result

INTERRUPTED = 130
"""Exit code after Ctrl-C, as in a shell."""
_OF_ONE_NAME = (errno.ENAMETOOLONG, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.EILSEQ)
_LISTED = 5


def run_demo(
    source: str | Path,
    model: Any,
    weights: str | Path | None = None,
    out_dir: str | Path = 'outputs',
    device: str | None = None,
    score_thr: float = 0.3,
    cfg_options: dict[str, Any] | None = None,
    batch_size: int = 1,
    precision: str = 'float32',
    tiles: int | None = None,
    pictures: bool = True,
    polygons: bool = False,
    coco: str | Path | None = None,
    coco_ids: str | Path | None = None,
    max_frames: int | None = None,
) -> int:
    """Predict for an image, for all images in a folder and its subfolders, or for a video, and write what is seen.

    Writes `<out_dir>/vis/<image>.png` with the drawn predictions, `<out_dir>/labels/<image>.png` with the label map of
    a segmentation, and at the end `<out_dir>/predictions.json`. `<image>` is the path inside the folder with its own
    suffix (`a/b.jpg` becomes `a/b.jpg.png`), so that no two images share a name. Of a video or camera,
    `<out_dir>/<name>.mp4` and `<out_dir>/<name>.jsonl` with one line for each frame.

    Args:
        source: As for `image_files`, an image file, a folder, a pattern of paths or the http(s) address of an image; or
            a video file, the number of a camera, or the address of a stream.
        model, weights, device, cfg_options, batch_size, precision, tiles: As for `Inferencer`.
        out_dir: Where to write.
        score_thr: Detections below it are neither drawn nor written.
        pictures: Whether pictures and videos are written.
        polygons: Whether masks are written as polygons.
        coco: Where to write the detections of images as COCO's results.
        coco_ids: COCO's annotation file that gives the ids of images, by file name, and of classes, by name.
        max_frames: How many frames of a video or camera are looked at.

    Returns:
        0; 1 if some images could not be read, predicted for or written (they are named at the end and under 'skipped',
        and the others are done); 130 after Ctrl-C (`predictions.json` then holds what was done, with 'complete' false).

    Raises:
        InputError: there is nothing to predict for; nothing was written then.
    """
    out_dir = Path(out_dir)
    check_output_folder(out_dir, '--out-dir')
    check_score_thr(score_thr)
    options = {'batch_size': batch_size, 'precision': precision, 'tiles': tiles}
    if gives_frames(source):
        if coco or coco_ids:
            raise InputError('--coco is for images: the frames of a video have no ids in COCO.')
        inferencer = Inferencer(model, weights, device, cfg_options=cfg_options, **options)
        return run_on_frames(inferencer, source, out_dir, score_thr, pictures, polygons, max_frames)
    results = _coco_results(coco, coco_ids)
    with image_files(source, out_dir) as found:
        named = find_model(model, weights, cfg_options)
        if len(found.images) == 1:
            ImageLoading(named.config).read(*found.images.values())
            _count_windows(named.config)
        inferencer = Inferencer(named, device=device, **options)
        run = _Run(inferencer, out_dir, score_thr, dict(found.unreadable), pictures, polygons, results)
        complete = run.predict(found)
    if run.done:
        description = {'config': str(inferencer.cfg.filename), 'checkpoint': named.checkpoint}
        run.write_summary(description, found, complete)
        if results is not None:
            results.write(coco)
    elif complete:
        run.refuse(source, len(found.images))
    run.report(found, complete)
    return INTERRUPTED if not complete else 1 if run.skipped else 0


def _coco_results(path: str | Path | None, ids: str | Path | None) -> CocoResults | None:
    if path is None:
        if ids is not None:
            raise InputError('--coco-ids says which ids --coco FILE.json has: give that too.')
        return None
    check_output_file(path, '--coco')
    return CocoResults(ids)


def _count_windows(cfg: Any) -> None:
    """Let a segmentor of a single image show a bar of its windows."""
    if (cfg.model.get('test_cfg') or {}).get('mode') in ('slide', 'even_slide'):
        cfg.model.test_cfg.setdefault('progress', True)


class _Run:
    """What became of each image."""

    def __init__(
        self,
        inferencer: Inferencer,
        out_dir: Path,
        score_thr: float,
        skipped: dict[str, str],
        pictures: bool,
        polygons: bool,
        results: CocoResults | None,
    ):
        self.inferencer = inferencer
        self.out_dir = out_dir
        self.score_thr = score_thr
        self.done: dict[str, Any] = {}
        self.skipped = skipped
        self._pictures = pictures
        self._polygons = polygons
        self._results = results
        self._failures: list[Exception] = []

    def predict(self, found: ImageFiles) -> bool:
        """Predict for all images; False if the person at the keyboard stopped it."""
        items = [Item(path, name, str(path)) for name, path in found.images.items()]
        several = len(items) > 1  # a single image has no bar, as its windows may
        options = {'progress': several, 'keep_images': self._pictures, 'skip': self._skip}
        if self._results is not None:
            self._results.check(found.images)
        try:
            for result in self.inferencer.stream(Inputs(items, total=len(items)), self.score_thr, **options):
                self._write(result)
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
        written = f'{self.out_dir}/vis, ' if self._pictures else ''
        print(f'{len(self.done)} image(s) done: {written}{self.out_dir}/predictions.json')
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

    def _skip(self, item: Item, error: Exception) -> None:
        if isinstance(error, InputError):
            self.skipped[item.name] = str(error)
            return
        # A model may fail on an image in any way; the other images are none the worse.
        self._failures.append(error)
        lines = str(error).strip().splitlines()
        self.skipped[item.name] = f'the prediction failed ({type(error).__name__}{": " + lines[0] if lines else ""})'

    def _write(self, result: Result) -> None:
        if not self.done:
            # Of another run, which it would describe wrongly from now on.
            (self.out_dir / 'predictions.json').unlink(missing_ok=True)
        content, name = {}, result.name
        labels = f'labels/{name}.png' if result.label_map is not None else None
        try:
            if self._pictures:
                content['picture'] = f'vis/{name}.png'
                write_image(self.out_dir / content['picture'], result.draw(score_thr=self.score_thr))
            if labels is not None:
                write_image(self.out_dir / labels, result.label_map)
        except OSError as error:
            if error.errno not in _OF_ONE_NAME:
                raise InputError(f'{self.out_dir} cannot be written to: {error}.') from error
            self.skipped[name] = f'its picture cannot be written ({error.strerror})'
            return
        content |= result.to_dict(labels, self._polygons)
        content.pop('path', None)
        self.done[name] = content
        if self._results is not None:
            self._results.add(result)


def _in_one_line(text: str) -> str:
    """Text that may hold the name of a file, which may be of any characters, as one line that a screen can show."""
    return ''.join(character if character.isprintable() else repr(character)[1:-1] for character in text)
