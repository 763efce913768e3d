#!/usr/bin/env bash
# The tests on the AVX-512 tiers, on a machine that has AVX2 but not AVX-512: their instructions are
# built from AVX2's (avx512/immintrin.h). It tells bits and faults, and nothing about speed.
#
# Arguments go to pytest; without any, all tests run. Takes about twenty minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
export PATH="$work/venv/bin:$PATH" PIP_DISABLE_PIP_VERSION_CHECK=1
unset PYTHONPATH MLPEAK_ISA MLPEAK_BACKEND
pip install --quiet '.[test]' --config-settings=cmake.define.MLPEAK_EMULATE_AVX512=ON
python -m pytest "$@"
