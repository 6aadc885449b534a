#!/usr/bin/env bash
# What the tests start beside Python: a browser, database servers, a server of blobs, Java for Spark, a library that moves clocks.
# Installed from Debian's packages where we may; elsewhere the tests that need them are skipped and say why.
set -uo pipefail

missing=()
needs() { # PACKAGE WHAT-SAYS-THAT-IT-IS-THERE...
    local package=$1
    shift
    for sign in "$@"; do
        if command -v "$sign" >/dev/null || compgen -G "$sign" >/dev/null; then
            return
        fi
    done
    missing+=("$package")
}
needs chromium chromium
needs postgresql initdb '/usr/lib/postgresql/*/bin/initdb'
needs mariadb-server mariadbd /usr/sbin/mariadbd
needs default-jre-headless java
needs libgomp1 '/usr/lib/*/libgomp.so.1' '/usr/lib64/libgomp.so.1'
needs libfaketime '/usr/lib/*/faketime/libfaketimeMT.so.1'
# The server that speaks Azure's protocol comes with npm, where that is there.
if command -v npm >/dev/null && [ ! -d build/azurite/node_modules/azurite ]; then
    npm install --silent --no-fund --no-audit --prefix build/azurite azurite@3.35.0 >/dev/null || echo "Azurite cannot be installed; the tests of Azure will be skipped"
fi
[ "${#missing[@]}" -eq 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null \
    && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "${missing[@]}" >/dev/null; then
    exit 0
fi
echo "not here, and cannot be installed: ${missing[*]}; the tests that need them will be skipped"
