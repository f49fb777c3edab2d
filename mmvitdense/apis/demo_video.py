"""Predictions for the frames of a video or a camera, as a video and as lines of JSON, in the memory of a few frames."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from pathlib import Path
from typing import Any

from .errors import InputError
from .image_files import is_video
from .inference import Inferencer
from .inputs import Inputs, find_inputs
from .videos import LIVE, VideoWriter, frame_rate

INTERRUPTED = 130


def gives_frames(source: str | Path) -> bool:
    """Whether a source is a video file or its address, the number of a camera, or a stream."""
    text = str(source)
    scheme, separator, _ = text.partition('://')
    if separator:
        return scheme.lower() in LIVE or is_video(text.partition('?')[0])
    exists = Path(text).exists()
    return (text.isdigit() and not exists) or (is_video(text) and exists and not Path(text).is_dir())


def run_on_frames(
    inferencer: Inferencer,
    source: str | Path,
    out_dir: Path,
    score_thr: float,
    pictures: bool = True,
    polygons: bool = False,
    max_frames: int | None = None,
) -> int:
    """Predict for all frames and write `<out_dir>/<name>.mp4` and `<out_dir>/<name>.jsonl`.

    Args:
        inferencer: With the model.
        source: For which `gives_frames`.
        out_dir: Where to write.
        score_thr: Detections below it are neither drawn nor written.
        pictures: Whether the video is written.
        polygons: Whether masks are written as polygons.
        max_frames: How many frames are looked at; by default all, or until Ctrl-C.

    Returns:
        0, or 130 after Ctrl-C; what was done until then is whole.

    Raises:
        InputError: It is no video, or there is no such camera; nothing was written then.
    """
    if max_frames is not None and max_frames < 1:
        raise InputError(f'--max-frames must be at least 1, got {max_frames}.')
    text = str(source)
    found = find_inputs(int(text) if text.isdigit() else source)
    if max_frames is not None:
        total = max_frames if found.total is None else min(max_frames, found.total)
        found = Inputs(itertools.islice(found.items, max_frames), total=total)
    results = inferencer.stream(found, score_thr, progress=True, keep_images=pictures)
    first = next(results, None)
    if first is None:
        raise InputError(f'{source} has no frames.')
    name = _name(text)
    out_dir.mkdir(parents=True, exist_ok=True)
    rate = frame_rate(text) if Path(text).is_file() else 25.0
    count, complete = 0, True
    with contextlib.ExitStack() as stack:
        lines = stack.enter_context((out_dir / f'{name}.jsonl').open('w', encoding='utf-8'))
        video = stack.enter_context(VideoWriter(out_dir / f'{name}.mp4', rate)) if pictures else None
        try:
            for result in itertools.chain([first], results):
                content: dict[str, Any] = result.to_dict(polygons=polygons)
                content.pop('path')
                lines.write(json.dumps({'frame': content.pop('frame'), **content}) + '\n')
                if video is not None:
                    # A legend would change the width from frame to frame.
                    video.write(result.draw(score_thr=score_thr, legend=False))
                count += 1
        except KeyboardInterrupt:
            complete = False
    written = f'{out_dir}/{name}.mp4, ' if pictures else ''
    print(f'{count} frame(s) done: {written}{out_dir}/{name}.jsonl')
    return 0 if complete else INTERRUPTED


def _name(source: str) -> str:
    """The name of what is written."""
    if source.isdigit():
        return f'camera-{source}'
    name = Path(source.partition('?')[0].rstrip('/')).name
    return re.sub(r'[^\w.-]', '_', name)[-100:].lstrip('.') or 'stream'
