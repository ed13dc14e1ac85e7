#!/bin/bash

# Parameters
#SBATCH --array=0-3%4
#SBATCH --cpus-per-task=8
#SBATCH --dependency=afterok:41:42
#SBATCH --error=/runs/cpt/launch/001/logs/%A_%a_0_log.err
#SBATCH --gpus-per-node=1
#SBATCH --job-name=cpt-run
#SBATCH --kill-on-invalid-dep=yes
#SBATCH --mem=64GB
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output=/runs/cpt/launch/001/logs/%A_%a_0_log.out
#SBATCH --requeue
#SBATCH --signal=USR2@120
#SBATCH --time=30

# setup
exit_file=/runs/cpt/launch/001/exit_$SLURM_ARRAY_TASK_ID

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output /runs/cpt/launch/001/logs/%A_%a_%t_log.out --error /runs/cpt/launch/001/logs/%A_%a_%t_log.err --kill-on-bad-exit=1 --cpus-per-task=8 python3 -u -m submitit.core._submit /runs/cpt/launch/001/logs


# teardown
code=$?
case $code in 85|138|140|143)
  if [ "${SLURM_RESTART_COUNT:-0}" -lt 100 ]; then
    scontrol requeue ${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID && exit $code
  fi
esac
echo $code > "$exit_file.part" && mv "$exit_file.part" "$exit_file"
exit $code
