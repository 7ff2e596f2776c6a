#!/bin/sh
# The main job on real input: train a small GPT on the King James text, both ways compared, then let it write.
set -eu
tw=$1
out=${TMPDIR:-/tmp}/tilewright-demo.safetensors
"$tw" train --data data/kjv.txt --layers 4 --dim 128 --heads 4 --context 64 --batch 16 --steps 1500 --lr 0.001 --warm 2 \
    --eval-every 250 --compare --checkpoint "$out"
echo
echo "what it writes:"
"$tw" generate --checkpoint "$out" --prompt "In the beginning " --tokens 400 --temperature 0.7
