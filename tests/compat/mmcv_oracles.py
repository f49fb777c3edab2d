"""Definitions of the ops as plain loops over numbers, independent of torch and torchvision."""

import math

import numpy as np


def iou(a, b, offset=0):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + offset)
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + offset)
    area_a = (a[2] - a[0] + offset) * (a[3] - a[1] + offset)
    area_b = (b[2] - b[0] + offset) * (b[3] - b[1] + offset)
    return width * height / (area_a + area_b - width * height)


def bilinear_zero(feature, y, x):
    """Value of `feature` (H, W) at pixel coordinates, zero outside the map."""
    height, width = feature.shape
    value = 0.0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < height and 0 <= column < width:
                value += feature[row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return value


def bilinear_zero_slopes(feature, y, x):
    """Derivatives of `bilinear_zero` by y and by x, at a whole number those of the pixel after it; none outside the
    open range in which a point counts. Between pixels the value is linear, so that a difference is exact."""
    height, width = feature.shape
    if not (-1 < y < height and -1 < x < width):
        return 0.0, 0.0
    row, column = math.floor(y), math.floor(x)
    return (
        bilinear_zero(feature, row + 1, x) - bilinear_zero(feature, row, x),
        bilinear_zero(feature, y, column + 1) - bilinear_zero(feature, y, column),
    )


def bilinear_border(feature, y, x):
    """RoIAlign's rule: the border's value up to one pixel outside, zero beyond."""
    height, width = feature.shape
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    return bilinear_zero(feature, min(max(y, 0), height - 1), min(max(x, 0), width - 1))


def roi_samples(roi, size, spatial_scale, sampling_ratio, aligned):
    """Per bin (row, column): the list of sampling points (y, x) of a region (x1, y1, x2, y2)."""
    x1, y1, x2, y2 = (coordinate * spatial_scale - (0.5 if aligned else 0) for coordinate in roi)
    height, width = (y2 - y1, x2 - x1) if aligned else (max(y2 - y1, 1), max(x2 - x1, 1))
    bin_height, bin_width = height / size[0], width / size[1]
    rows = sampling_ratio or math.ceil(bin_height)
    columns = sampling_ratio or math.ceil(bin_width)
    return [
        [
            [
                (y1 + (i + (p + 0.5) / rows) * bin_height, x1 + (j + (q + 0.5) / columns) * bin_width)
                for p in range(rows)
                for q in range(columns)
            ]
            for j in range(size[1])
        ]
        for i in range(size[0])
    ]


def roi_align(features, rois, size, spatial_scale, sampling_ratio, reduce, aligned):
    output = np.zeros((len(rois), features.shape[1], *size))
    for n, (image, *roi) in enumerate(rois):
        samples = roi_samples(roi, size, spatial_scale, sampling_ratio, aligned)
        for c, feature in enumerate(features[int(image)]):
            for i in range(size[0]):
                for j in range(size[1]):
                    values = [bilinear_border(feature, y, x) for y, x in samples[i][j]]
                    output[n, c, i, j] = reduce(values) if values else 0
    return output


def deform_conv(features, offset, weight, bias, stride, padding, dilation, groups, deform_groups, mask=None):
    """All arguments numpy; stride, padding and dilation are pairs. Output, and gradient of its sum by the offsets."""
    batch, channels, height, width = features.shape
    outputs, per_group, kernel_h, kernel_w = weight.shape
    out_h = (height + 2 * padding[0] - dilation[0] * (kernel_h - 1) - 1) // stride[0] + 1
    out_w = (width + 2 * padding[1] - dilation[1] * (kernel_w - 1) - 1) // stride[1] + 1
    offset = offset.reshape(batch, deform_groups, kernel_h, kernel_w, 2, out_h, out_w)
    mask = np.ones((batch, deform_groups, kernel_h, kernel_w, out_h, out_w)) if mask is None else mask
    mask = mask.reshape(batch, deform_groups, kernel_h, kernel_w, out_h, out_w)
    result, gradient = np.zeros((batch, outputs, out_h, out_w)), np.zeros_like(offset)
    for b, o, y, x in np.ndindex(*result.shape):
        total = 0.0 if bias is None else bias[o]
        first = (o // (outputs // groups)) * per_group
        for c, i, j in np.ndindex(per_group, kernel_h, kernel_w):
            group = (first + c) // (channels // deform_groups)
            at_y = y * stride[0] - padding[0] + i * dilation[0] + offset[b, group, i, j, 0, y, x]
            at_x = x * stride[1] - padding[1] + j * dilation[1] + offset[b, group, i, j, 1, y, x]
            scale = weight[o, c, i, j] * mask[b, group, i, j, y, x]
            total += scale * bilinear_zero(features[b, first + c], at_y, at_x)
            slopes = bilinear_zero_slopes(features[b, first + c], at_y, at_x)
            gradient[b, group, i, j, :, y, x] += scale * np.array(slopes)
        result[b, o, y, x] = total
    return result, gradient.reshape(batch, -1, out_h, out_w)


def ms_deform_attn(value, shapes, locations, weights):
    batch, _, heads, channels = value.shape
    queries, points = locations.shape[1], locations.shape[4]
    result = np.zeros((batch, queries, heads, channels))
    start = 0
    for level, (height, width) in enumerate(shapes):
        maps = value[:, start : start + height * width].reshape(batch, height, width, heads, channels)
        start += height * width
        for b, q, m, p in np.ndindex(batch, queries, heads, points):
            x, y = locations[b, q, m, level, p]
            for d in range(channels):
                sample = bilinear_zero(maps[b, :, :, m, d], y * height - 0.5, x * width - 0.5)
                result[b, q, m, d] += weights[b, q, m, level, p] * sample
    return result.reshape(batch, queries, heads * channels)
