"""`mmvitdense report` of a training: the checkpoint is evaluated, other trainings stand beside it."""

import re

from mmvitdense import commands


def test_a_detector_beside_a_segmentor(workshop, detector, segmentor, monkeypatch, tmp_path):
    monkeypatch.chdir(workshop.folder)
    page = tmp_path / 'report.html'
    assert commands.main(['report', str(detector), '--compare', str(segmentor), '--out', str(page)]) == 0
    text = page.read_text()
    assert 'iter_8.pth' in text
    assert re.search(r'<td class=text>coco/bbox_mAP</td><td>[0-9.]+</td>', text)
    assert 'Worst images' in text
    assert {'losses.png', 'compared_loss.png', 'confusion_boxes.png'} <= {
        path.name for path in tmp_path.glob('report/*')
    }
    plan = re.search(r'<td class=text>model</td><td class=text>(.*?)</td>', text)
    assert plan[1].startswith('MaskRCNN on')


def test_a_segmentor(workshop, segmentor, monkeypatch, tmp_path):
    monkeypatch.chdir(workshop.folder)
    page = tmp_path / 'report.html'
    assert commands.main(['report', str(segmentor), '--checkpoint', 'last', '--out', str(page)]) == 0
    text = page.read_text()
    (mean,) = re.findall(r'<td class=text>mIoU</td><td>([0-9.]+)</td></tr><tr><td class=text>mAcc', text)[-1:]
    # The table of the pixels has the mean that mmseg computes.
    assert f'<td class=text>mean</td><td>{float(mean):.1f}</td>' in text
