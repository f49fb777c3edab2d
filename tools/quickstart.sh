#!/usr/bin/env bash
# From nothing to pictures on two CPU cores: installs, makes the built-in data, trains a small ViTDet and a small plain-ViT
# segmentor, evaluates both on held-out images and draws what they see. Everything lands in work_dirs/quickstart.
set -euo pipefail
begin=$(date +%s)
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh" onedl

out=work_dirs/quickstart
detector=vitdet-tiny_mask-rcnn_shapes
segmentor=vit-tiny_upernet_shapes
mkdir -p "$out"
python tools/make_shapes.py --root data/shapes --training 500 --validation 100 --size 128 --seed 0 --overwrite

run() { # NAME: train and evaluate configs/quickstart/NAME.py
  python tools/train.py "configs/quickstart/$1.py" --work-dir "$out/$1"
  python tools/test.py "configs/quickstart/$1.py" "$(cat "$out/$1/last_checkpoint")" \
    --work-dir "$out/$1" --show-dir "$out/$1/pictures" --json "$out/$1/metrics.json"
}

# One thread each: two small trainings side by side use two cores better than one after the other.
export OMP_NUM_THREADS=1
echo "Training $segmentor beside $detector; its log is $out/$segmentor.log"
run "$segmentor" > "$out/$segmentor.log" 2>&1 &
job=$!
trap 'kill $job 2> /dev/null || true' EXIT
run "$detector"
wait $job || { tail -n 30 "$out/$segmentor.log" >&2; echo "training of the segmentor failed" >&2; exit 1; }
trap - EXIT

python - "$out" "$detector" "$segmentor" "$begin" <<'PY'
import json, sys, time
out, detector, segmentor, begin = sys.argv[1:]
detection, segmentation = (json.load(open(f'{out}/{name}/metrics.json')) for name in (detector, segmentor))
summary = {
    'box_AP50': round(detection['coco/bbox_mAP_50'], 4),
    'mask_AP50': round(detection['coco/segm_mAP_50'], 4),
    'mIoU': round(segmentation['mIoU'] / 100, 4),
    'seconds': round(time.time() - int(begin)),
}
with open(f'{out}/summary.json', 'w') as file:
    json.dump(summary, file, indent=2)
print('\nOn 100 held-out images: ' + ', '.join(f'{name} {value}' for name, value in summary.items()))
PY
echo "Pictures: $out/$detector/pictures and $out/$segmentor/pictures. Figures: $out/summary.json"
