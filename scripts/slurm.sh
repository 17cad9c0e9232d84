#!/usr/bin/env bash
# Airshower under Slurm, started again after each time limit until it is done. At the top of the checkout:
#
#   sbatch --nodes=2 --time=04:00:00 scripts/slurm.sh mode=train network=uresnet run.id=first run.iterations=100000
#
# Options given to sbatch win over the lines below: copy this file and change them for your site (account, partition).
#
#   AIRSHOWER_LAUNCHER   instead of `srun --wait=60`; .venv/bin/mpirun needs no MPI of the site's
#   AIRSHOWER_RESTARTS   how often the job may be started again (default: 100)
#   AIRSHOWER_ROOT       the checkout, if sbatch is called in another folder
#   SLURM_MPI_TYPE       how srun connects the ranks, if the site has not set it (srun --mpi=list); mostly pmix
#SBATCH --job-name=airshower
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=4      # one rank for each GPU
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
# On CPUs, instead of the three lines above (or --gpus-per-node=0 to sbatch): one rank for each socket
##SBATCH --ntasks-per-node=2
##SBATCH --cpus-per-task=32
#SBATCH --time=01:00:00
#SBATCH --signal=B:USR1@180      # before the limit, to this script; a step, validation and a checkpoint fit in between
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
# shellcheck source-path=SCRIPTDIR
set -euo pipefail
# Slurm runs a copy of this file, so it can't know its place
scripts="${AIRSHOWER_ROOT:-$SLURM_SUBMIT_DIR}/scripts"
source "$scripts/environment.sh"
source "$scripts/launch.sh"
install_environment ""

# srun does not take the cores of a task over from sbatch. It waits 60 seconds for ranks whose fellow has ended; to kill
# them at once (--kill-on-bad-exit) would cut off those that end a moment later with the same exit code.
srun="srun --wait=60 ${SLURM_CPUS_PER_TASK:+--cpus-per-task=$SLURM_CPUS_PER_TASK}"
read -ra launcher <<<"${AIRSHOWER_LAUNCHER:-$srun}"
distributed "$@"
run_launcher "${launcher[@]}" "$python" "$root/bin/exec.py" "${overrides[@]}"

# started again only where the limit was the reason: a job that scancel has ended stays ended
restarts="${SLURM_RESTART_COUNT:-0}"
if [ "$code" = 75 ] && [[ $signals == *USR1* ]] && [[ $signals != *TERM* ]]; then
    if [ "$restarts" -lt "${AIRSHOWER_RESTARTS:-100}" ]; then
        echo "time limit: job $SLURM_JOB_ID is queued again (restart $((restarts + 1)))"
        scontrol requeue "$SLURM_JOB_ID"
    else
        echo "time limit, after $restarts restarts (AIRSHOWER_RESTARTS); the same command goes on"
    fi
fi
exit "$code"
