#!/bin/bash

# Parameters
#SBATCH --error=/runs/cpt/launch/001/logs/%j_0_log.err
#SBATCH --gpus-per-node=1
#SBATCH --job-name=cpt-run
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output=/runs/cpt/launch/001/logs/%j_0_log.out
#SBATCH --requeue
#SBATCH --signal=USR2@120
#SBATCH --time=30

# setup
exit_file=/runs/cpt/launch/001/exit

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output /runs/cpt/launch/001/logs/%j_%t_log.out --error /runs/cpt/launch/001/logs/%j_%t_log.err --kill-on-bad-exit=1 apptainer exec --nv --bind=/data /images/codec.sif python3 -u -m submitit.core._submit /runs/cpt/launch/001/logs


# teardown
code=$?
case $code in 85|138|140|143)
  if [ "${SLURM_RESTART_COUNT:-0}" -lt 100 ]; then
    scontrol requeue $SLURM_JOB_ID && exit $code
  fi
esac
echo $code > "$exit_file.part" && mv "$exit_file.part" "$exit_file"
exit $code
