#!/bin/sh
# fuzz.sh TIME runs every fuzz target of the module for TIME each; go test takes one at a time.
set -eu
cd "$(dirname "$0")"
git grep -n '^func Fuzz' -- '*_test.go' | while IFS=: read -r file _ line; do
	name=${line#func }
	go test -run '^$' -fuzz "^${name%%(*}\$" -fuzztime "$1" "./$(dirname "$file")"
done
