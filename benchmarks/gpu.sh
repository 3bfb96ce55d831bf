#!/bin/sh
# Everything that only a machine with an NVIDIA GPU can show, in at most nine minutes:
#
#     make setup && sh benchmarks/gpu.sh [--out gpu-results]
#
# Leaves results.json and page.html in the folder, and gains.json, the measured table by which the
# depthwise kernels are chosen. benchmarks/gpu.py tells more; `--device cpu --quick` tries the script.
cd "$(dirname "$0")/.." || exit 1
python=.venv/bin/python
[ -x "$python" ] || python=python3
PYTHONPATH="src:$(pwd)${PYTHONPATH:+:$PYTHONPATH}" exec "$python" benchmarks/gpu.py "$@"
