#!/bin/sh
# figures.sh SLIDE... measures bin/microtome on slides: throughput of everything but the network, per
# processor second, and the peak of memory, with what --memory allowed. Give a small and a large slide to
# see that memory does not grow, e.g. of 20,000 and 100,000 pixels; the mask goes into a folder that is
# removed. MEMORY (1GiB), MODEL (passthrough) and OPTIONS (such as --compression none) are taken from the
# environment.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for slide in "$@"; do
	# shellcheck disable=SC2086 # OPTIONS is a list of words
	/usr/bin/time -f '%U %S %e %M' -o "$out/time" "$here/bin/microtome" segment "$slide" -o "$out" --force \
		--model "${MODEL:-passthrough}" --memory "${MEMORY:-1GiB}" ${OPTIONS:-} --json >"$out/json" 2>"$out/log" || { cat "$out/log" >&2; exit 1; }
	pixels=$(sed 's/.*"expected":\([0-9]*\).*/\1/' "$out/json")
	bytes=$(sed 's/.*"mask.tif":{"bytes":\([0-9]*\).*/\1/' "$out/json")
	infer=$(sed 's/.*"stage":"infer","seconds":\([0-9.]*\).*/\1/' "$out/json")
	awk -v slide="$slide" -v px="$pixels" -v bytes="$bytes" -v infer="$infer" '{
		printf "%s: %.0f Mpx in %.1f s (%.1f Mpx/s), %.1f processor seconds (%.1f Mpx each, %.1f without the network), peak %.0f MiB, mask %.2f GiB\n",
			slide, px/1e6, $3, px/1e6/$3, $1+$2, px/1e6/($1+$2), px/1e6/($1+$2-infer), $4/1024, bytes/2^30 }' "$out/time"
done
