#!/usr/bin/env bash
# bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [arguments of tools/train.py]
# GPUS (8 by default), GPUS_PER_NODE (8, or GPUS where that is less), CPUS_PER_TASK (5); SRUN_ARGS: more options of srun.
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: $0 PARTITION JOB_NAME CONFIG [arguments of tools/train.py]" >&2; exit 2; }
partition=$1 job=$2 config=$3
shift 3
. "$(dirname "$0")/slurm.sh"
on_slurm "$(dirname "$0")/train.py" "$config" "$@" --launcher slurm
