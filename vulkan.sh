#!/bin/sh
# vulkan.sh puts a software Vulkan, Mesa's lavapipe, into lib/vulkan, for the tests of the webgpu device on machines
# without a GPU. Nothing is installed: packages are fetched from where this machine's own apt gets its packages and
# unpacked aside, with whatever they need and the machine lacks. Safe to run again.
set -eu
cd "$(dirname "$0")"

die() { echo "vulkan: $*: the tests of the webgpu device are skipped" >&2; exit 1; }

to=lib/vulkan
[ -f "$to/icd.json" ] && exit 0
command -v apt-get >/dev/null && command -v dpkg >/dev/null || die "a software Vulkan is fetched by apt-get and dpkg, which are not here"

# Debian 12's own lavapipe is too old for ONNX Runtime, which wants that of Mesa 25: its backports have it.
release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
suite=
[ "$release" != bookworm ] || suite=bookworm-backports

rm -rf "$to" "$to.new"
mkdir -p "$to.new/lists/partial" "$to.new/archives/partial"
trap 'rm -rf "$to.new"' EXIT
here=$PWD/$to.new
sources=$here/sources.list
{ cat /etc/apt/sources.list 2>/dev/null || true; } >"$sources"
if [ -n "$suite" ]; then
	mirror=$(apt-get indextargets --format '$(REPO_URI)' "Codename: $release" 'Component: main' 'Created-By: Packages' | head -n 1)
	[ -n "$mirror" ] || die "apt's configuration names no mirror of $release"
	echo "deb $mirror $suite main" >>"$sources"
fi

# aside runs apt-get with lists and an archive of its own.
aside() {
	apt-get -qq -o Debug::NoLocking=1 -o APT::Sandbox::User= -o Dir::Etc::sourcelist="$sources" -o Dir::State::lists="$here/lists" \
		-o Dir::Cache::archives="$here/archives" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= "$@"
}
echo "vulkan: fetching a software Vulkan" >&2
aside update >&2 || die "apt-get update failed"
aside install -y --download-only --no-install-recommends --reinstall "mesa-vulkan-drivers${suite:+/$suite}" libvulkan1 >&2 ||
	die "apt-get could not get mesa-vulkan-drivers and libvulkan1${suite:+ of $suite}"
for package in "$here"/archives/*.deb; do
	dpkg -x "$package" "$here" || die "$package cannot be unpacked"
done
driver=$(find "$here/usr/lib" -name libvulkan_lvp.so | head -n 1)
[ -n "$driver" ] || die "mesa-vulkan-drivers holds no lavapipe"

# The folder is found by the tests, which name it to the loader of libraries, and icd.json to Vulkan's.
mv "$(dirname "$driver")" "$here/libraries"
rm -rf "$here/lists" "$here/archives" "$here/usr" "$here/etc" "$sources"
printf '{"file_format_version": "1.0.0", "ICD": {"library_path": "%s/libraries/libvulkan_lvp.so", "api_version": "1.4.0"}}\n' "$PWD/$to" >"$here/icd.json"
mv "$to.new" "$to"
