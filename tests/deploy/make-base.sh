#!/bin/sh
# Make the image that tests/deploy/test_containers.py starts: a bare Debian with systemd, by debootstrap, as root.
# A container engine has to run. It takes a minute or two, once.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,python3,python3-venv,curl,ca-certificates \
    bookworm "$folder"
tar -C "$folder" -c . | docker import - suno-stems-base:bookworm
