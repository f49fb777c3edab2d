# Sourced by slurm_train.sh and slurm_test.sh, which set partition and job: one task of srun for each GPU.
on_slurm() {
    local gpus=${GPUS:-8}
    for number in "$gpus" "${GPUS_PER_NODE:-1}" "${CPUS_PER_TASK:-5}"; do
        [[ $number =~ ^[1-9][0-9]*$ ]] || {
            echo "GPUS, GPUS_PER_NODE and CPUS_PER_TASK must be numbers above 0, got '$number'." >&2
            exit 2
        }
    done
    local per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
    # The words of SRUN_ARGS are options of their own.
    # shellcheck disable=SC2086
    exec srun -p "$partition" --job-name="$job" --gres="gpu:$per_node" --ntasks="$gpus" \
        --ntasks-per-node="$per_node" --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 \
        ${SRUN_ARGS:-} python -u "$@"
}
