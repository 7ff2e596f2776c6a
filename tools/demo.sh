#!/bin/sh
# The main job on real input: train a small GPT on the King James text, both ways compared, then let it write.
set -eu
tw=$1
out=${TMPDIR:-/tmp}/tilewright-demo.safetensors
echo "Training a small GPT, letter by letter, on the King James text: first the same steps in two ways, then for real."
echo
"$tw" train --data data/kjv.txt --layers 4 --dim 128 --heads 4 --context 64 --batch 16 --steps 1500 --lr 0.001 --warm 2 \
    --eval-every 250 --compare --checkpoint "$out"
echo
echo "What it writes, a letter at a time, after those steps (it has never seen a dictionary):"
echo
"$tw" generate --checkpoint "$out" --prompt "In the beginning " --tokens 400 --temperature 0.7 | fold -s -w 100
echo
echo "Next: $tw explain --data data/kjv.txt shows every kernel; $tw generate --checkpoint $out writes more."
