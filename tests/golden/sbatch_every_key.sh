#!/bin/bash

# Parameters
#SBATCH --account=speech
#SBATCH --constraint='a100&ib'
#SBATCH --cpus-per-task=6
#SBATCH --error=/runs/cpt/launch/001/logs/%j_0_log.err
#SBATCH --exclude='node[01-02]'
#SBATCH --exclusive
#SBATCH --gpus-per-node=4
#SBATCH --job-name=cpt-run
#SBATCH --mem=120GB
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --open-mode=append
#SBATCH --output=/runs/cpt/launch/001/logs/%j_0_log.out
#SBATCH --partition=gpu
#SBATCH --qos=high
#SBATCH --requeue
#SBATCH --reservation=night
#SBATCH --signal=USR2@600
#SBATCH --time=3600

# setup
exit_file=/runs/cpt/launch/001/exit
export HF_HOME=/data/hf
export NOTE='it'"'"'s one word'
export NUM=3
set -e
trap 'echo $? > "$exit_file"' EXIT
module load cuda/12.8
ulimit -n 65536
trap - EXIT
set +e

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output /runs/cpt/launch/001/logs/%j_%t_log.out --error /runs/cpt/launch/001/logs/%j_%t_log.err --kill-on-bad-exit=1 --cpus-per-task=6 '--container-image=/images/codec s2st.sqsh' --container-mounts=/data:/data,/scratch:/work python3.11 -u -m submitit.core._submit /runs/cpt/launch/001/logs


# teardown
code=$?
case $code in 85|138|140|143)
  if [ "${SLURM_RESTART_COUNT:-0}" -lt 5 ]; then
    scontrol requeue $SLURM_JOB_ID && exit $code
  fi
esac
echo $code > "$exit_file.part" && mv "$exit_file.part" "$exit_file"
exit $code
