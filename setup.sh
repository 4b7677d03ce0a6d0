#!/bin/sh
# setup.sh installs what microtome needs and leaves alone what is there: the compiler's headers of libvips
# with OpenSlide, and ONNX Runtime's library in lib/. "setup.sh test" adds the independent readers that the
# tests compare with. Run by make; safe to run again.
set -eu
cd "$(dirname "$0")"

ort=1.30.0
# SHA-256 of the npm package onnxruntime-node, which carries the library for all systems below.
ort_sha256=6e3390d6b783e7be946fad629292799da28d0b42f84856e50d2c1b0383291e75

die() { echo "setup: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# checksum prints the SHA-256 of a file: coreutils' tool, or macOS's.
checksum() { if have sha256sum; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d ' ' -f 1; }

# install gets packages: Debian's names, or Homebrew's.
install() {
	if have apt-get; then
		root=
		if [ "$(id -u)" -ne 0 ]; then
			have sudo || die "needs root to install $*: run as root, or install sudo"
			root=sudo
		fi
		echo "setup: installing $*" >&2
		# shellcheck disable=SC2086 # no word without sudo
		$root apt-get update -qq || die "apt-get update failed: check the network and the package sources"
		$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null ||
			die "apt-get could not install $*"
	elif have brew; then
		brew install --quiet "$@" || die "brew could not install $*"
	else
		die "needs apt-get or Homebrew to install $*: install them by hand, then run make again"
	fi
}

packages() { # libvips, built with OpenSlide
	have pkg-config && pkg-config --exists vips && return
	if have apt-get; then install pkg-config gcc libc6-dev libvips-dev; else install pkg-config vips; fi
	pkg-config --exists vips || die "libvips is installed, but pkg-config does not find it: set PKG_CONFIG_PATH"
}

readers() { # the tests' independent readers; a test skips, and says so, without them
	have apt-get || return 0
	have vips && have openslide-show-properties && /usr/bin/python3 -c 'import tifffile' 2>/dev/null && return
	install libvips-tools openslide-tools python3-tifffile
}

runtime() { # ONNX Runtime's library, through npm's client
	[ -z "${ONNXRUNTIME_LIB:-}" ] || return 0
	case "$(uname -s)/$(uname -m)" in
		Linux/x86_64) member=linux/x64/libonnxruntime.so.1 ;;
		Linux/aarch64) member=linux/arm64/libonnxruntime.so.1 ;;
		Darwin/arm64) member=darwin/arm64/libonnxruntime.1.dylib ;;
		*) die "no packaged ONNX Runtime for $(uname -s) $(uname -m): get $ort from its official release and set ONNXRUNTIME_LIB to its library" ;;
	esac
	library=lib/$(basename "$member")
	[ "$(cat lib/version 2>/dev/null)" != "$ort" ] || [ ! -f "$library" ] || return 0
	by_hand="get onnxruntime $ort from its official release and set ONNXRUNTIME_LIB to its library"
	have npm || (if have apt-get; then install npm; else install node; fi) || die "npm cannot be installed: $by_hand"
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
packages
runtime
[ "${1:-}" != test ] || readers
