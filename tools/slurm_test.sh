#!/usr/bin/env bash
# bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of tools/test.py]
# GPUS (8 by default), GPUS_PER_NODE (8, or GPUS where that is less), CPUS_PER_TASK (5); SRUN_ARGS: more options of srun.
set -euo pipefail
[ $# -ge 4 ] || { echo "usage: $0 PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of tools/test.py]" >&2; exit 2; }
partition=$1 job=$2 config=$3 checkpoint=$4
shift 4
. "$(dirname "$0")/slurm.sh"
on_slurm "$(dirname "$0")/test.py" "$config" "$checkpoint" --launcher slurm "$@"
