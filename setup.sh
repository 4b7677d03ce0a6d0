#!/bin/sh
# setup.sh installs what microtome needs and leaves alone what is there: the compiler's headers of libvips
# with OpenSlide and of libjpeg-turbo, and ONNX Runtime's library in lib/. "setup.sh test" adds the independent readers that the
# tests compare with, and OpenBLAS. Run by make; safe to run again.
set -eu
cd "$(dirname "$0")"

ort=1.30.0
# SHA-256 of the npm package onnxruntime-node, which carries the library for all systems below.
ort_sha256=6e3390d6b783e7be946fad629292799da28d0b42f84856e50d2c1b0383291e75

die() { echo "setup: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# checksum prints the SHA-256 of a file: coreutils' tool, or macOS's.
checksum() { if have sha256sum; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d ' ' -f 1; }

# install gets what is missing, all at once: the slow part is the package manager's own work.
install() {
	if have apt-get; then
		[ -n "$apt" ] || return 0
		root=
		if [ "$(id -u)" -ne 0 ]; then
			have sudo || die "needs root to install$apt: run as root, or install sudo"
			root=sudo
		fi
		echo "setup: installing$apt" >&2
		$root apt-get update -qq || die "apt-get update failed: check the network and the package sources"
		# shellcheck disable=SC2086 # a list of words, and no word without sudo
		$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $apt >/dev/null ||
			die "apt-get could not install$apt$instead"
	elif have brew; then
		[ -n "$brew" ] || return 0
		# shellcheck disable=SC2086 # a list of words
		brew install --quiet $brew || die "brew could not install$brew$instead"
	elif [ -n "$apt" ]; then
		die "needs apt-get or Homebrew: install$apt by hand, then run make again"
	fi
}

# member is the library's path in the npm package, library ours.
member() {
	case "$(uname -s)/$(uname -m)" in
		Linux/x86_64) echo linux/x64/libonnxruntime.so.1 ;;
		Linux/aarch64) echo linux/arm64/libonnxruntime.so.1 ;;
		Darwin/arm64) echo darwin/arm64/libonnxruntime.1.dylib ;;
		*) die "no packaged ONNX Runtime for $(uname -s) $(uname -m): $by_hand" ;;
	esac
}
by_hand="get ONNX Runtime $ort from its official release and set ONNXRUNTIME_LIB to its library"

# runtime gets ONNX Runtime's library through npm's client.
runtime() {
	have npm || die "npm cannot be had: $by_hand"
	echo "setup: getting ONNX Runtime $ort" >&2
	temp=$(mktemp -d)
	trap 'rm -rf "$temp"' EXIT
	npm pack --silent --pack-destination "$temp" "onnxruntime-node@$ort" >/dev/null || die "npm could not get onnxruntime-node@$ort: $by_hand"
	package=$temp/onnxruntime-node-$ort.tgz
	[ "$(checksum "$package")" = "$ort_sha256" ] || die "onnxruntime-node-$ort.tgz does not have the expected checksum: try again, or $by_hand"
	mkdir -p lib
	tar -xzf "$package" -C "$temp" "package/bin/napi-v6/$member"
	mv "$temp/package/bin/napi-v6/$member" "$library.new"
	mv "$library.new" "$library"
	echo "$ort" >lib/version
}

have go || die "needs Go 1.26 or later: get it from go.dev"
apt='' brew='' instead='' # packages that are missing, by Debian's and by Homebrew's names
if ! have pkg-config || ! pkg-config --exists vips libjpeg; then
	apt=" pkg-config gcc libc6-dev libvips-dev libjpeg-dev" brew=" pkg-config vips jpeg-turbo"
fi
if [ -z "${ONNXRUNTIME_LIB:-}" ]; then
	member=$(member)
	library=lib/$(basename "$member")
	if [ "$(cat lib/version 2>/dev/null)" != "$ort" ] || [ ! -f "$library" ]; then
		get_runtime=yes
		have npm || { apt="$apt npm" brew="$brew node" instead="; without npm, $by_hand"; }
	fi
fi
if [ "${1:-}" = test ]; then # a test skips, and says so, without its reader
	have openslide-write-png || apt="$apt openslide-tools"
	/usr/bin/python3 -c 'import tifffile' 2>/dev/null || apt="$apt python3-tifffile"
	pkg-config --exists openblas 2>/dev/null || { apt="$apt libopenblas-dev" brew="$brew openblas"; }
fi
install
pkg-config --exists vips libjpeg || die "libvips and libjpeg are installed, but pkg-config does not find them: set PKG_CONFIG_PATH"
[ -z "${get_runtime:-}" ] || runtime
