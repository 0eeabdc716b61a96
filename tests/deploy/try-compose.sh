#!/bin/sh
# Bring deploy/compose.yaml up with a local Suno, split a song through nginx twice with one key, and take all down again.
# It needs docker with its compose plugin, the images of compose.yaml, openssl and curl; port 443 has to be free. As root:
# the secrets belong to the containers' users. BASE names another image to build from.
set -eu
cd "$(dirname "$0")/../.."
folder=$(mktemp -d)
compose() {
    docker compose -p suno-stems-try -f "$folder/deploy/compose.yaml" -f "$folder/local.yaml" "$@"
}
cleanup() {
    compose down -v --rmi local || true
    rm -rf "$folder"
}
trap cleanup EXIT

cp -r app deploy sandbox requirements.txt wsgi.py gunicorn.conf.py "$folder"
cd "$folder"
install -d deploy/secrets
openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=stems.example.com \
    -addext subjectAltName=DNS:stems.example.com -keyout privkey.pem -out fullchain.pem 2>/dev/null
printf sandbox-load-1 > cookie
openssl rand -hex 24 > keys
install -o 10001 -m 400 cookie keys deploy/secrets/
install -o 101 -m 400 fullchain.pem privkey.pem deploy/secrets/
cat > local.yaml <<END
services:
  suno:
    image: suno-stems-try-service
    command: [python, -m, sandbox, --host, 0.0.0.0, --quiet]
    volumes: ["$folder/sandbox:/opt/suno-stems/sandbox:ro"]
    networks: [outside]
  service:
    build: {args: {BASE: "${BASE:-python:3.11-slim-bookworm}"}, network: host}
    environment: {SUNO_API_URL: "http://suno:8090", SUNO_AUTH_URL: "http://suno:8090"}
END
compose build service
compose up -d --wait --wait-timeout 120

split() {
    curl -sS --fail-with-body --noproxy '*' --cacert fullchain.pem --resolve stems.example.com:443:127.0.0.1 \
        -H "Authorization: Bearer $(head -n 1 keys)" -H 'Idempotency-Key: try' --json '{"audio_id": "c3d4e5f6-a7b8-9012-cdef-123456789012"}' \
        https://stems.example.com/api/generate_stems
}
first=$(split)
compose restart redis
[ "$(split)" = "$first" ]
paid=$(compose exec -T suno python3 -c \
    'from urllib.request import urlopen; print(urlopen("http://127.0.0.1:8090/sandbox/charges").read().decode().count("clips"))')
[ "$paid" = 1 ]
echo "Two requests with one key, through nginx, with Redis restarted in between: one charge, one reply."
