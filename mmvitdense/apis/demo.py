"""Predictions for an image or a folder of images, as pictures and as one JSON file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from .errors import InputError
from .files import write_image, write_json
from .inference import ImageInferencer, read_image

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.ppm', '.jp2')


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
    a segmentation, and `<out_dir>/predictions.json`. `<image>` is the path inside the folder with its own suffix
    (`a/b.jpg` becomes `a/b.jpg.png`), so that no two images share a name.

    Args:
        source: An image file or a folder.
        config, checkpoint, device, cfg_options: As for `ImageInferencer`.
        out_dir: Where to write.
        score_thr: Detections below it are neither drawn nor written.

    Returns:
        0, or 1 if some files were no images; they are named at the end, and the others are done.

    Raises:
        InputError: there is nothing to predict for; nothing was written then.
    """
    source, out_dir = Path(source), Path(out_dir)
    images = list_images(source, out_dir)
    if len(images) == 1:
        read_image(images[0])
    inferencer = ImageInferencer(config, checkpoint, device, cfg_options)
    root = source if source.is_dir() else source.parent
    done, skipped = {}, {}
    for path in _with_progress(images):
        name = path.relative_to(root).as_posix()
        try:
            done[name] = _predict(inferencer, path, name, out_dir, score_thr)
        except InputError as error:
            skipped[name] = str(error)
    if not done:
        raise InputError(f'None of the {len(images)} files in {source} is an image: {next(iter(skipped.values()))}.')
    write_json(
        out_dir / 'predictions.json',
        {
            'config': str(inferencer.cfg.filename),
            'checkpoint': str(checkpoint),
            'classes': inferencer.classes,
            'score_thr': score_thr,
            'images': done,
            'skipped': skipped,
        },
        indent=None,
    )
    _report(done, skipped, out_dir)
    return 1 if skipped else 0


def list_images(source: Path, out_dir: Path) -> list[Path]:
    """The images of a folder and its subfolders in order of name, without those that an earlier demo wrote there.

    Raises:
        InputError: there is nothing at `source`, or no image in it.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise InputError(f'{source} does not exist; expected an image or a folder of images.')
    written = [(out_dir / folder).resolve() for folder in ('vis', 'labels')]
    images = [
        path
        for path in sorted(source.rglob('*'))
        if path.suffix.lower() in IMAGE_SUFFIXES
        and path.is_file()
        and not any(folder in path.resolve().parents for folder in written)
    ]
    if not images:
        raise InputError(f'{source} has no images in it; expected files that end with {", ".join(IMAGE_SUFFIXES)}.')
    return images


def _predict(inferencer: ImageInferencer, path: Path, name: str, out_dir: Path, score_thr: float) -> dict[str, Any]:
    image = read_image(path)
    sample = inferencer(path)
    picture, label_file = f'vis/{name}.png', f'labels/{name}.png'
    labels = inferencer.label_map(sample)
    if labels is not None:
        write_image(out_dir / label_file, labels)
    write_image(out_dir / picture, inferencer.draw(image, sample, score_thr))
    return {'picture': picture, **inferencer.to_json(sample, score_thr, label_file)}


def _with_progress(images: Sequence[Path]) -> Any:
    return track(images, description='Images', console=Console(stderr=True))


def _report(done: dict[str, Any], skipped: dict[str, str], out_dir: Path) -> None:
    print(f'{len(done)} image(s) done: {out_dir}/vis, {out_dir}/predictions.json')
    for name, reason in skipped.items():
        print(f'skipped {name}: {reason}', file=sys.stderr)
    if skipped:
        print(f'{len(skipped)} file(s) skipped', file=sys.stderr)
