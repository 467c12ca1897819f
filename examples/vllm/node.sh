#!/bin/sh
# vLLM over several machines, run on each of them; the first, of rank 0, answers requests.
#
#   HEAD=10.0.0.1 NODES=2 RANK=0 GPUS=8 sh node.sh        on 10.0.0.1
#   HEAD=10.0.0.1 NODES=2 RANK=1 GPUS=8 sh node.sh        on the other
#
# GPUS is the number on each machine. They share every layer (tensor parallel); machines take layers in turn (pipeline
# parallel), which needs little of the network between them. Every machine needs the same vLLM and the same weights.
# What goes between the machines is not encrypted and not checked: keep it on a network of its own.
#
# Then, from anywhere: python ask.py http://10.0.0.1:8000
#
# Every Liquid model so far fits on one machine, most on one GPU; several copies behind a balancer then answer more
# people than one copy over several machines. Run with two processes of one machine, on a CPU; not with GPUs.
set -eu
MODEL=${MODEL:-LiquidAI/LFM2.5-8B-A1B}
: "${HEAD:?the address of the first machine}" "${NODES:?how many machines}" "${RANK:?which of them this is, from 0}"

set -- vllm serve "$MODEL" \
    --tensor-parallel-size "${GPUS:-1}" --pipeline-parallel-size "$NODES" \
    --nnodes "$NODES" --node-rank "$RANK" --master-addr "$HEAD" \
    --max-model-len "${CONTEXT:-32768}" --enable-auto-tool-choice --tool-call-parser lfm2 \
    --enable-prompt-tokens-details
[ "$RANK" -eq 0 ] || set -- "$@" --headless
exec "$@"
