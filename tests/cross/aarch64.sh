#!/usr/bin/env bash
# Compares the bits of the AArch64 tiers, run under emulation, with those of this machine's.
#
# Needs a cross compiler and qemu's user emulation: on Debian, `apt-get install
# g++-aarch64-linux-gnu qemu-user`. Takes about two minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The flags of CMakeLists.txt that decide bits, and each tier's own.
flags=(-std=c++17 -O2 -fno-math-errno -fno-trapping-math -ffp-contract=off -w -Icpp -Icpp/include)
avx2=(-mavx2 -mfma)
avx512=("${avx2[@]}" -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512)

# build COMPILER NAME TIER...: one program with the given tiers, compiled by two jobs at a time
build() {
  local compiler=$1 name=$2 defines=() tier source
  shift 2
  for tier in "$@"; do
    local -n own=$tier 2>/dev/null || true
    defines+=("-DMLPEAK_HAS_${tier^^}=1")
    for source in cpp/kernels/*.cpp; do
      echo "$compiler ${flags[*]} ${own[*]-} -fno-exceptions -fno-rtti -DMLPEAK_TIER=$tier" \
        "-DMLPEAK_TIER_${tier^^}=1 -c $source -o $work/$name.$tier.$(basename "$source").o"
    done | xargs -P 2 -I{} sh -c '{}'
  done
  "$compiler" "${flags[@]}" "${defines[@]}" tests/cross/hash_kernels.cpp cpp/simd/cpu.cpp \
    cpp/ops/*.cpp cpp/runtime/*.cpp "$work/$name".*.o -static -o "$work/$name"
}

scalar=() neon=()
build g++ here scalar avx2 avx512
build aarch64-linux-gnu-g++ there scalar neon

"$work/here" > "$work/here.txt"
qemu-aarch64 "$work/there" > "$work/there.txt"
lines=$(sort -u "$work/here.txt" | wc -l)
if sort -u "$work/here.txt" | diff - <(sort -u "$work/there.txt"); then
  echo "equal bits: $lines results on every tier of both machines"
else
  echo "the tiers differ" >&2
  exit 1
fi
