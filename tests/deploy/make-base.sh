#!/bin/sh
# Build the image for tests/deploy/test_containers.py: a bare Debian with systemd, from debootstrap. Run this as root.
# It needs a running container engine, and takes a minute or two.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,python3,python3-venv,curl,ca-certificates \
    bookworm "$folder"
tar -C "$folder" -c . | docker import - suno-stems-base:bookworm
