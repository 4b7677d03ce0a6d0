#!/bin/sh
# ablations.sh DATA OUT trains small networks, base 8, with one part of the method left out at a time, three seeds each, and
# prints a table of their scores on the validation images. DATA is the folder of the training images. What is done already in OUT is kept.
set -eu
[ $# -eq 2 ] || { echo "usage: $0 DATA OUT" >&2; exit 2; }
data=$1 out=$2 here=$(dirname "$0")
steps=${STEPS:-1000}
mkdir -p "$out"

# run NAME SEED FLAG... trains one network.
run() {
	name=$1 seed=$2
	shift 2
	dir=$out/$name-$seed
	if [ ! -f "$dir.json" ]; then
		rm -rf "$dir"
		"${MICROTOME:-bin/microtome}" train "$data" -o "$dir" --recipe nuclei --index "$here/index.json" --classes nucleus --base 8 \
			--steps "$steps" --every "$steps" --seed "$seed" --json "$@" >"$dir.new"
		mv "$dir.new" "$dir.json"
	fi
	printf '%s\t%s\t%s\n' "$name" "$seed" "$(cat "$dir.json")" >>"$out/all.tsv"
}

: >"$out/all.tsv"
for seed in 1 2 3; do
	run all "$seed"
	run "w0 = 0" "$seed" --w0 0
	run "no elastic deformation" "$seed" --elastic 0
	run "no colour augmentation" "$seed" --grey 1 --eosin 0 --brightness 0 --contrast 0 --gamma 0
	run "no eosin between nuclei" "$seed" --eosin 0
done


awk -F '\t' '
function number(key) { match($3, "\"" key "\":[0-9.e+-]+"); return substr($3, RSTART + length(key) + 3, RLENGTH - length(key) - 3) }
{
	sub(/.*"validation":/, "", $3)
	if (!($1 in n)) order[++rows] = $1
	n[$1]++
	for (i = 1; i <= 5; i++) { v = number(keys[i]); sum[$1, i] += v; square[$1, i] += v * v }
}
BEGIN { split("f1_50 f1 merges splits iou", keys, " "); print "| | F1 at 0.5 | mean F1 | merges | splits | pixel IoU |"; print "|---|---|---|---|---|---|" }
END {
	for (r = 1; r <= rows; r++) {
		name = order[r]
		line = "| " name " |"
		for (i = 1; i <= 5; i++) {
			mean = sum[name, i] / n[name]
			spread = n[name] > 1 ? (square[name, i] - n[name] * mean * mean) / (n[name] - 1) : 0
			line = line sprintf(i == 3 || i == 4 ? " %.0f ± %.0f |" : " %.3f ± %.3f |", mean, sqrt(spread > 0 ? spread : 0))
		}
		print line
	}
}' "$out/all.tsv"
