#!/usr/bin/env bash
# Airshower under PBS, submitted again after each time limit until it is done. On a login node:
#
#   scripts/pbs.sh -A project -l select=2 -l walltime=04:00:00 mode=train network=uresnet run.id=first
#
# Outside of a job this submits itself. Options of one letter at the beginning, each with its value, go to qsub and win
# over the lines below: change those for your site (project, queue, file systems).
#
#   AIRSHOWER_LAUNCHER         the site's mpiexec with its options (default: mpiexec, as MPICH and PALS have it)
#   AIRSHOWER_RANKS_PER_NODE   one for each GPU (default: 4)
#   AIRSHOWER_STOP_BEFORE      seconds before the time limit; a step, validation and a checkpoint fit in (default: 180)
#   AIRSHOWER_RESTARTS         how often the job may be submitted again (default: 100)
#PBS -N airshower
#PBS -l select=1
#PBS -l place=scatter
#PBS -l walltime=01:00:00
#PBS -j oe
# shellcheck source-path=SCRIPTDIR
set -euo pipefail
# PBS runs a copy of this file, which can't know its place: it is handed on
export AIRSHOWER_ROOT="${AIRSHOWER_ROOT:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}"
source "$AIRSHOWER_ROOT/scripts/environment.sh"
source "$AIRSHOWER_ROOT/scripts/launch.sh"
install_environment ""

split_words() {  # split_words WORD...: into `options` for qsub and `overrides` for airshower
    options=()
    while [[ ${1:-} == -? ]]; do
        options+=("$1" "${2?"$1: has no value"}")
        shift 2
    done
    distributed "$@"
}

submit() {  # submit WORD...: the job, with what AIRSHOWER_... variables there are
    split_words "$@"
    # the words as letters and digits: qsub -v splits at commas
    AIRSHOWER_WORDS="$(printf '%s\0' "$@" | base64 | tr -d '\n')"
    export AIRSHOWER_WORDS
    local IFS=,
    qsub ${options[@]+"${options[@]}"} -v "${!AIRSHOWER_*}" "$AIRSHOWER_ROOT/scripts/pbs.sh"
}

if [ -z "${PBS_JOBID:-}" ]; then
    submit "$@"
    exit
fi

words=("$@")  # in an interactive job
if [ -n "${AIRSHOWER_WORDS:-}" ]; then mapfile -d '' -t words < <(base64 -d <<<"$AIRSHOWER_WORDS"); fi
split_words ${words[@]+"${words[@]}"}
cd "$PBS_O_WORKDIR"

# PBS has no signal before the limit, so that `timeout` gives it; 0 is none
walltime="$(qstat -f "$PBS_JOBID" | sed -n 's/^ *Resource_List.walltime = //p')"
seconds=0
if [ -n "$walltime" ]; then
    IFS=: read -r hour minute second <<<"$walltime"
    seconds=$((10#$hour * 3600 + 10#$minute * 60 + 10#$second - ${AIRSHOWER_STOP_BEFORE:-180}))
    [ "$seconds" -gt 0 ] || { echo "walltime=$walltime: is not longer than AIRSHOWER_STOP_BEFORE" >&2; exit 2; }
else
    echo "qstat does not say the walltime of $PBS_JOBID: it will not be stopped before" >&2
fi

per_node="${AIRSHOWER_RANKS_PER_NODE:-4}"
nodes="$(sort -u "$PBS_NODEFILE" | wc -l)"
read -ra launcher <<<"${AIRSHOWER_LAUNCHER:-mpiexec}"
run_launcher timeout --foreground --preserve-status --signal=USR1 "$seconds" \
    "${launcher[@]}" -n $((nodes * per_node)) --ppn "$per_node" \
    "$python" "$root/bin/exec.py" "${overrides[@]}"

# submitted again only where the limit was the reason: a job that was ended by hand stays ended
restarts="${AIRSHOWER_RESTARTED:-0}"
if [ "$code" = 75 ] && [ "$seconds" -gt 0 ] && [ "$SECONDS" -ge "$seconds" ] && [ -z "$signals" ]; then
    if [ "$restarts" -lt "${AIRSHOWER_RESTARTS:-100}" ]; then
        export AIRSHOWER_RESTARTED=$((restarts + 1))
        echo "time limit: submitting again (restart $AIRSHOWER_RESTARTED)"
        submit ${words[@]+"${words[@]}"}
    else
        echo "time limit, after $restarts restarts (AIRSHOWER_RESTARTS); the same command goes on"
    fi
fi
exit "$code"
