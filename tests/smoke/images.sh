#!/bin/sh
# Print the base images that the smoke suite runs on, one NAME=image a line: pulled where a registry can be reached,
# else stand-ins built from Debian packages (needs root, debootstrap and a Debian mirror).
#
# SMOKE_PYTHON_IMAGE, SMOKE_REDIS_IMAGE and SMOKE_RABBITMQ_IMAGE in the environment are taken as they are.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
suite=${SMOKE_DEBIAN_SUITE:-bookworm}
mirror=${SMOKE_DEBIAN_MIRROR:-}
debian=bridge-smoke/debian:$suite

exists() {
    docker image inspect "$1" >/dev/null 2>&1
}

# A Debian with the certificates that this machine trusts: behind a proxy of its own, pip needs them too.
build_debian() {
    exists "$debian" && return
    [ "$(id -u)" = 0 ] || { echo "images.sh: building stand-in images needs root." >&2; exit 1; }
    command -v debootstrap >/dev/null || { echo "images.sh: no image can be pulled, and there is no debootstrap." >&2; exit 1; }
    root=$(mktemp -d)
    trap 'rm -rf "$root"' EXIT
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" ${mirror:+"$mirror"} >&2
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
    tar -C "$root" -c . | docker import --change 'ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt' - "$debian" >&2
}

# $1: stage of stand-ins.Dockerfile
build_stand_in() {
    build_debian
    DOCKER_BUILDKIT=0 docker build --quiet --build-arg "DEBIAN_IMAGE=$debian" --target "$1" --tag "bridge-smoke/$1" \
        --file "$here/stand-ins.Dockerfile" "$here" >&2
    echo "bridge-smoke/$1"
}

# $1: stage of the stand-in, $2: image that is pulled if possible, $3: image that was asked for
image() {
    if [ -n "$3" ]; then
        echo "$3"
    elif exists "$2" || timeout "${SMOKE_PULL_TIMEOUT_S:-120}" docker pull --quiet "$2" >/dev/null 2>&1; then
        echo "$2"
    else
        build_stand_in "$1"
    fi
}

python=$(image python python:3.12-slim "${SMOKE_PYTHON_IMAGE:-}")
redis=$(image redis redis:7 "${SMOKE_REDIS_IMAGE:-}")
rabbitmq=$(image rabbitmq rabbitmq:4 "${SMOKE_RABBITMQ_IMAGE:-}")
echo "python=$python"
echo "redis=$redis"
echo "rabbitmq=$rabbitmq"
