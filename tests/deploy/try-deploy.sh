#!/bin/sh
# Run the ```sh blocks of docs/deploy.md, and of Upgrade and Go back in docs/upgrade.md, on a bare Debian with systemd in a
# container, with a local Suno. Check the first split, and that its Idempotency-Key still replays after the upgrade and
# after going back.
# It needs docker, the image of make-base.sh (or another one as BASE), and ports 80, 443 and SUNO_PORT. Run it as root.
# OLD is the commit to install first and to go back to: an older commit with the same ledger.
set -eu
cd "$(dirname "$0")/../.."
BASE=${BASE:-suno-stems-base:bookworm}
OLD=${OLD:-HEAD~4}
SUNO_PORT=${SUNO_PORT:-8097}
machine=suno-stems-deploy-$$
folder=$(mktemp -d)
cleanup() {
    docker kill "$machine" >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap cleanup EXIT

# The repository: v0.1.0 is OLD; v0.2.0 is HEAD with the files of deploy/ from the work tree.
git clone --quiet . "$folder/work"
old=$(git rev-parse "$OLD")
git -C "$folder/work" tag v0.1.0 "$old"
cp deploy/*.* "$folder/work/deploy/"
git -C "$folder/work" add deploy
git -C "$folder/work" -c user.name=try -c user.email=try@localhost commit --quiet --allow-empty -m "Try this"
git -C "$folder/work" tag v0.2.0
git clone --quiet --bare "$folder/work" "$folder/suno-stems.git"
cp -r sandbox "$folder/sandbox"

# One script for each section of the pages, with the placeholders filled in.
python3 - "$folder" <<'END'
import re, sys
from pathlib import Path

page = "".join(Path("docs", name).read_text(encoding="utf-8") for name in ("deploy.md", "upgrade.md"))
values = {
    "REPOSITORY": "/mnt/suno-stems.git",
    "NAME": "stems.example.org",
    "COOKIE": "sandbox-alice",
}
for part, version in (("Install", "v0.1.0"), ("Upgrade", "v0.2.0"), ("Go back", None)):
    text = page.partition(f"\n## {part}\n")[2].partition("\n## ")[0]
    script = "set -eu\n" + "".join(re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    for name, value in {**values, **({"VERSION": version} if version else {})}.items():
        script = re.sub(rf"^{name}=.*$", f"{name}='{value}'", script, flags=re.MULTILINE)
    Path(sys.argv[1], part.lower().replace(" ", "-") + ".sh").write_text(script, encoding="utf-8")
END

# Pass pip's settings into the container. PIP_VOLUMES lists the folders that these settings point to.
set -- --env "PIP_DISABLE_PIP_VERSION_CHECK=1"
for name in PIP_CERT PIP_FIND_LINKS PIP_INDEX_URL PIP_DEFAULT_TIMEOUT SSL_CERT_FILE; do
    eval "value=\${$name:-}"
    [ -z "$value" ] || set -- "$@" --env "$name=$value"
done
for path in ${PIP_VOLUMES:-}; do
    set -- "$@" --volume "$path:$path:ro"
done
docker run --detach --rm --name "$machine" --network host --cap-add SYS_ADMIN --cgroupns=host \
    --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
    --volume /sys/fs/cgroup:/sys/fs/cgroup:rw --tmpfs /run --tmpfs /tmp --volume "$folder:/mnt:ro" "$@" \
    "$BASE" /sbin/init >/dev/null
inside() {
    docker exec "$machine" "$@"
}
until inside systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded'; do sleep 1; done
if [ -f /etc/pip.conf ]; then docker cp /etc/pip.conf "$machine:/etc/pip.conf"; fi
# Use this machine's certificate authorities: a proxy in front of a registry may use its own.
docker cp -L /etc/ssl/certs/ca-certificates.crt "$machine:/usr/local/share/ca-certificates.crt" 2>/dev/null || true
inside sh -c 'mkdir -p /etc/ssl/certs && cp /usr/local/share/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt'

# What differs in the container: the local Suno, on 127.0.0.1 (audio over plain http is fetched only from there). Nested
# containers may not give a user access to systemd's credentials, so they are copied to a folder that the user can read.
for unit in suno-stems suno-stems-jobs; do
    inside mkdir -p "/etc/systemd/system/$unit.service.d"
    docker exec -i "$machine" sh -c "cat > /etc/systemd/system/$unit.service.d/zz-container.conf" <<END
[Service]
PrivateUsers=no
ExecStartPre=+/usr/bin/install -d -m 700 -o suno-stems /run/copied-$unit
ExecStartPre=+/bin/sh -c 'cd /etc/suno-stems && install -m 400 -o suno-stems cookie keys *-secret /run/copied-$unit'
Environment=SUNO_API_URL=http://127.0.0.1:$SUNO_PORT SUNO_AUTH_URL=http://127.0.0.1:$SUNO_PORT
Environment=SUNO_COOKIE=@/run/copied-$unit/cookie API_KEYS=@/run/copied-$unit/keys
Environment=LINK_SECRET=@/run/copied-$unit/link-secret WEBHOOK_SECRET=@/run/copied-$unit/webhook-secret
END
done

part() {
    echo "== $1"
    docker exec --workdir /root "$machine" bash "/mnt/$1.sh"
}
call='curl -sS --fail-with-body --cacert /etc/nginx/suno-stems/fullchain.pem --resolve stems.example.org:443:127.0.0.1'
replay() {
    inside bash -c "$call -H \"Authorization: Bearer \$(head -n 1 /etc/suno-stems/keys)\" -H 'Idempotency-Key: kept' \
        --json '{\"audio_id\": \"a624123d-5b1e-4c0f-9a57-7b6f0e1d2c3b\"}' https://stems.example.org/api/generate_stems"
}
charges() {
    inside curl -sS "http://127.0.0.1:$SUNO_PORT/sandbox/charges" | grep -o '"clips"' | wc -l
}
version() {
    inside git -C /opt/suno-stems describe --tags
}

# Start the local Suno from /mnt before the first split: it needs no packages.
docker exec --detach --workdir /mnt "$machine" python3 -m sandbox --port "$SUNO_PORT" --quiet
part install
[ "$(version)" = v0.1.0 ]
first=$(replay)
paid=$(charges)
[ "$paid" = 2 ]
part upgrade
[ "$(version)" = v0.2.0 ]
[ "$(replay)" = "$first" ]
part go-back
[ "$(version)" = v0.1.0 ]
[ "$(replay)" = "$first" ]
[ "$(charges)" = "$paid" ]
inside systemctl is-active suno-stems suno-stems-jobs nginx
inside stat -c '%A %U %n' /etc/suno-stems /etc/suno-stems/cookie /var/lib/suno-stems /var/lib/suno-stems/ledger.db
echo "Installed, split, upgraded and went back, with one ledger: two splits, two charges."
