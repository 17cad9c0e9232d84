# Sourced by mpirun, slurm.sh and pbs.sh: starting several processes, and what signals mean to them.
# shellcheck shell=bash disable=SC2034

# Open MPI would bind each rank to one core, or to a few, but a rank computes with several threads.
export PRTE_MCA_hwloc_default_binding_policy="${PRTE_MCA_hwloc_default_binding_policy:-none}"
if [ "$(id -u)" = 0 ]; then  # Open MPI refuses root, who is the only user in most containers
    export OMPI_ALLOW_RUN_AS_ROOT="${OMPI_ALLOW_RUN_AS_ROOT:-1}"
    export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="${OMPI_ALLOW_RUN_AS_ROOT_CONFIRM:-1}"
fi

# distributed WORD...: into `overrides`, with run.distributed=true added; hydra wants all key=value beside each other.
distributed() {
    if [[ ${1:-} == -* ]]; then overrides=("$@" run.distributed=true); else overrides=(run.distributed=true "$@"); fi
}

# run_launcher COMMAND...: run it to its end. `code` is its exit code then, `signals` are those that came to the script.
#
# mpirun and srun kill the ranks when they get SIGTERM, with no time for a checkpoint, but pass SIGUSR1 on: the ranks
# stop at the next step with a checkpoint and exit code 75. So that is what they get, once; a second Ctrl-C they get as
# it is.
run_launcher() {
    local name
    job="" signals=""
    for name in USR1 TERM INT HUP; do
        # shellcheck disable=SC2064  # the name of now
        trap "forward_signal $name" "$name"
    done
    "$@" </dev/null &
    job=$!
    code=0
    while kill -0 "$job" 2>/dev/null; do wait "$job" || true; done  # a signal ends `wait`, too
    wait "$job" || code=$?
    trap - USR1 TERM INT HUP
}

forward_signal() {
    local first="$signals"
    signals+="$1 "
    if [ -z "$job" ]; then return; fi
    if [ -z "$first" ]; then
        echo "$1: stopping at the next step" >&2
        kill -USR1 "$job" 2>/dev/null || true
    elif [ "$1" = INT ]; then
        kill -INT "$job" 2>/dev/null || true
    fi
}
