#!/bin/sh
# Start deploy/compose.yaml with a local Suno, split a song through nginx twice with one key, fetch its stems as a ZIP
# file, and remove everything again.
# It needs docker with its compose plugin, the images of compose.yaml, openssl, curl, and port 443. Run it as root,
# because the secrets belong to the containers' users. BASE sets another image to build from.
set -eu
cd "$(dirname "$0")/../.."
folder=$(mktemp -d)
compose() {
    docker compose -p suno-stems-try --profile jobs -f "$folder/deploy/compose.yaml" -f "$folder/local.yaml" "$@"
}
cleanup() {
    compose down -v --rmi local || true
    rm -rf "$folder"
}
trap cleanup EXIT

cp -r app deploy sandbox requirements.txt pyproject.toml openapi.yaml wsgi.py gunicorn.conf.py "$folder"
cd "$folder"
install -d deploy/secrets
openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=stems.example.com \
    -addext subjectAltName=DNS:stems.example.com -keyout privkey.pem -out fullchain.pem 2>/dev/null
printf sandbox-load-1 > cookie
openssl rand -hex 24 > keys
printf 'whsec_%s' "$(openssl rand -base64 32)" > webhook-secret
install -o 10001 -m 400 cookie keys webhook-secret deploy/secrets/
install -o 101 -m 400 fullchain.pem privkey.pem deploy/secrets/
cat > local.yaml <<END
services:
  suno:
    image: suno-stems-try-service
    command: [python, -m, sandbox, --host, 0.0.0.0, --quiet]
    volumes: ["$folder/sandbox:/opt/suno-stems/sandbox:ro"]
    networks: [outside, ledger]
  service:
    build: {args: {BASE: "${BASE:-python:3.11-slim-bookworm}"}, network: host}
    environment: {SUNO_API_URL: "http://suno:8090", SUNO_AUTH_URL: "http://suno:8090"}
  jobs:
    image: suno-stems-try-service
    environment: {SUNO_API_URL: "http://127.0.0.1:8090", SUNO_AUTH_URL: "http://127.0.0.1:8090"}
    # The service fetches audio over plain http only from 127.0.0.1.
    network_mode: "service:suno"
    networks: !reset []
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
call() {
    curl -sS --noproxy '*' --cacert fullchain.pem --resolve stems.example.com:443:127.0.0.1 \
        -H "Authorization: Bearer $(head -n 1 keys)" "$@"
}
audio='{"audio_id": "c3d4e5f6-a7b8-9012-cdef-123456789012", "format": "wav"}'
until call -o files.json -w '%{http_code}' --json "$audio" https://stems.example.com/api/audio | grep -q 200; do sleep 1; done
grep -q '"kept"' files.json && ! grep -q '"failed"' files.json || { cat files.json; compose logs jobs; exit 1; }
call --fail-with-body -OJ \
    'https://stems.example.com/api/stems.zip?audio_id=c3d4e5f6-a7b8-9012-cdef-123456789012&format=wav'
python3 -m zipfile -t *.zip && python3 -m zipfile -l *.zip
echo "Two requests with one key through nginx, with a Redis restart in between: one charge, one reply. The ZIP has the stems."
