#!/bin/sh
# Fetches the ClickHouse engine (libchdb.so, the npm package pinned in
# package-lock.json) into the user's cache, once, and links it into a folder:
#
#   fetch.sh [BIN_DIR]     e.g. fetch.sh bin  →  bin/libchdb.so
#
# npm checks the package against the sha512 in the lock file. Nothing of the
# package is run. Safe to run twice at once, and cheap when all is there.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
bin=${1:-}
say() { printf 'engine: %s\n' "$*" >&2; }

if [ "$(uname -s)/$(uname -m)" != Linux/x86_64 ] || ! getconf GNU_LIBC_VERSION >/dev/null 2>&1; then
	say "there is none for $(uname -s)/$(uname -m) (it needs Linux, x86-64, glibc)."
	say "leadevents dev will not work here; leadevents serve will, with a ClickHouse server (docker compose up)."
	exit 0
fi

version=$(sed -n 's/.*"@chdb\/lib-linux-x64-gnu": *"\([^"]*\)".*/\1/p' "$here/package.json")
[ -n "$version" ] || { say "package.json names no version of @chdb/lib-linux-x64-gnu"; exit 1; }
# The same folder as Go's os.UserCacheDir: the binary looks there too.
cache=${XDG_CACHE_HOME:-${HOME:?HOME is not set, so there is no cache folder}/.cache}/leadevents/engine
target=$cache/$version
library=$target/libchdb.so

# whole: the file is there with the size recorded when it was unpacked. The
# record is written last, into a folder that is then renamed into place.
whole() {
	[ -f "$library" ] && [ -f "$library.json" ] || return 1
	want=$(sed -n 's/.*"bytes": *\([0-9]*\).*/\1/p' "$library.json")
	[ "$(stat -c %s "$library")" = "$want" ]
}

fetch() {
	command -v npm >/dev/null 2>&1 || { say "npm is needed to fetch it: install Node.js (Debian: apt-get install npm)"; exit 1; }
	free=$(df -Pk "$cache" | awk 'NR == 2 { print $4 }')
	# 170 MB packed in npm's cache, 570 MB unpacked.
	[ "$free" -ge 1000000 ] || { say "the disk of $cache has $((free / 1024)) MiB left, about 1000 are needed: free some space or set XDG_CACHE_HOME"; exit 1; }
	rm -rf "$cache"/.fetch.* # of runs that were killed; we hold the lock
	say "fetching ClickHouse $version (170 MB, once) into $target"
	tmp=$(mktemp -d "$cache/.fetch.XXXXXX")
	trap 'rm -rf "$tmp"' EXIT
	trap 'exit 130' INT TERM HUP
	cp "$here/package.json" "$here/package-lock.json" "$tmp/"
	if ! (cd "$tmp" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >"$tmp/npm.log" 2>&1; then
		cat "$tmp/npm.log" >&2
		say "npm could not fetch it: see above (EINTEGRITY: the package is not the pinned one; otherwise the network or the registry)"
		exit 1
	fi
	package=$tmp/node_modules/@chdb/lib-linux-x64-gnu
	[ -f "$package/libchdb.so" ] || { cat "$tmp/npm.log" >&2; say "the package holds no libchdb.so"; exit 1; }
	mkdir "$tmp/out"
	# Only the library: the rest of the package is for Node.
	mv "$package/libchdb.so" "$tmp/out/libchdb.so"
	chmod 0555 "$tmp/out/libchdb.so"
	printf '{"version": "%s", "bytes": %s, "sha256": "%s"}\n' "$version" \
		"$(stat -c %s "$tmp/out/libchdb.so")" "$(sha256sum "$tmp/out/libchdb.so" | cut -d' ' -f1)" >"$tmp/out/libchdb.so.json"
	sync "$tmp/out/libchdb.so" "$tmp/out/libchdb.so.json"
	rm -rf "$target" # a damaged one, or there is none
	mv "$tmp/out" "$target"
	rm -rf "$tmp"
	trap - EXIT INT TERM HUP
}

mkdir -p "$cache"
if ! whole; then
	# One at a time; whoever waited finds it there. The lock ends with its holder.
	exec 9>"$cache/lock"
	flock 9
	whole || fetch
	exec 9>&-
fi

if [ -n "$bin" ]; then
	mkdir -p "$bin"
	[ "$(readlink "$bin/libchdb.so" 2>/dev/null || true)" = "$library" ] || ln -sfn "$library" "$bin/libchdb.so"
fi
