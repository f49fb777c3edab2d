"""Non-maximum suppression of lines (Zheng et al. 2022, CLRNet): the function of `mmcv._ext` behind `mmcv.ops.line_nms`.

A line is a row of 5 + P numbers: of the first five, the third is the height at which it starts, 0..1 over P rows that
divide the image evenly, and the fifth is its length in rows; the last P are its x at each row.

The kernel of onedl-mmcv, for CUDA alone, compares line number i instead of the i-th best one where lines do not come
sorted by score; here scores decide. Of equal scores the line that comes first wins.
"""

import torch
from torch import Tensor

from .precision import widen

_START, _LENGTH, _FIRST_X = 2, 4, 5


def line_nms_forward(boxes: Tensor, scores: Tensor, overlap: float, top_k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Keep the best line, drop all that are nearer to it than `overlap` on average over the rows they share, repeat.

    Args:
        boxes: N x (5 + P).
        scores: N.
        overlap: Distance in the unit of x.
        top_k: Number of lines after which it ends.

    Returns:
        The indices of the kept lines, best first, with zeros behind them (N,); their number (); and for every line,
        counted from 1, which kept one it is or is near to, the last of these, or 0 (N,). All are int64.
    """
    (lines,) = widen(boxes)
    order = scores.argsort(stable=True, descending=True)
    start = (lines[:, _START] * (lines.size(1) - _FIRST_X - 1) + 0.5).long()
    end = (start + lines[:, _LENGTH].long() - 1).clamp(max=lines.size(1) - _FIRST_X - 1)
    keep, owner = torch.zeros_like(order), torch.zeros_like(order)
    left = torch.ones_like(order, dtype=torch.bool)
    count = 0
    for rank, line in enumerate(order.tolist()):
        if count == top_k:
            break
        if not left[line]:
            continue
        later = order[rank + 1 :]
        near = later[_is_near(lines, start, end, line, later, overlap)]
        left[near] = False
        keep[count] = line
        count += 1
        owner[line] = owner[near] = count
    return keep, order.new_tensor(count), owner


def _is_near(lines: Tensor, start: Tensor, end: Tensor, line: int, others: Tensor, overlap: float) -> Tensor:
    first = torch.maximum(start[line], start[others])
    last = torch.minimum(end[line], end[others])
    row = torch.arange(lines.size(1) - _FIRST_X, device=lines.device)
    shared = (row >= first[:, None]) & (row <= last[:, None])
    distance = ((lines[others, _FIRST_X:] - lines[line, _FIRST_X:]).abs() * shared).sum(dim=1)
    return (first >= 0) & (last >= first) & (distance < overlap * (last - first + 1))
