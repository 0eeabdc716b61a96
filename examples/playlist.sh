#!/usr/bin/env bash
# Saves the stems of a playlist, a folder for each song. Needs curl and jq. Without max_credits it only shows the price.
# bash playlist.sh https://suno.com/playlist/<id> [folder [max_credits]]
set -euo pipefail

[ $# -ge 1 ] || { sed -n 2,3p "$0" >&2; exit 1; }
playlist=$1 folder=${2:-.} limit=${3:-} base=${SUNO_STEMS_URL:-http://127.0.0.1:3000} work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '%s\n' "Content-Type: application/json" \
  ${SUNO_STEMS_API_KEY:+"X-API-Key: $SUNO_STEMS_API_KEY"} > "$work/headers" # a file: arguments show in process lists

pause() { # for Retry-After of the last reply, or 1 second
  sleep "$(awk 'tolower($1) == "retry-after:" { wait = $2 + 0; told = 1 } END { print told ? wait : 1 }' "$work/head")"
}

ask() { # PATH [curl options]: writes "$work/reply"; retries a lost connection, 409 and 503
  local path=$1 retries=5 status
  shift
  while true; do
    : > "$work/head"
    status=$(curl -sS --max-time 150 -H @"$work/headers" -D "$work/head" -o "$work/reply" -w '%{http_code}' \
      "$@" "$base$path") || status=lost
    case $status in
      2??) return ;;
      lost | 409 | 503) ((retries-- > 0)) || break ;;
      *) break ;;
    esac
    pause
  done
  [ "$status" = lost ] || jq -er '.error // empty' "$work/reply" >&2 2> "$work/complaint" || echo "$base answered $status." >&2
  exit 1
}

wanted=$(jq -n --arg playlist "$playlist" '{playlist: $playlist, audio_format: "mp3"}')
ask /api/orders --data "$(jq '. + {quote: true}' <<< "$wanted")"
mv -- "$work/reply" "$work/quote"
jq -r '"\(.songs | length) songs: \(.credits) credits and \(.downloads) downloads. Left: \(.credits_left) credits, " +
  "\(.downloads_left // "any number of") downloads."' "$work/quote"
[ -n "$limit" ] || { echo "Nothing was ordered. Add the most credits that it may spend."; exit 0; }

# One key for what is ordered: a retry, a second run and one after a crash are the same order, and pay for no song twice.
# Songs that are added to the playlist make another order, which takes the stems of the others for free.
order=$(jq -S --argjson limit "$limit" \
  '{songs: [.songs[].song_id], audio_format: "mp3", max_credits: $limit, max_downloads: .downloads}' "$work/quote")
key=$(jq -c '[.songs, .audio_format]' <<< "$order" | { sha256sum 2> "$work/complaint" || shasum -a 256; } | cut -c 1-64)
ask /api/orders -H "Idempotency-Key: $key" --data "$order"
id=$(jq -r .id "$work/reply")
if [ "$(jq -r .state "$work/reply")" = paused ]; then
  ask "/api/orders/$id/again" --data "{\"max_credits\": $limit}"
fi
while jq -e '.state == "running" or any(.songs[]; .state == "running")' "$work/reply" > "$work/running"; do
  sleep 1
  ask "/api/orders/$id"
done
mv -- "$work/reply" "$work/order"
jq -r '"Spent: \(.credits) credits, \(.downloads) downloads."' "$work/order"

failed=0
while IFS= read -r request && IFS= read -r song; do
  ask "/api/requests/$request"
  mv -- "$work/reply" "$work/request"
  mkdir -p -- "$folder/$song"
  while IFS= read -r stem && IFS= read -r bytes && IFS= read -r name && IFS= read -r error; do
    path=$folder/$song/$name
    if [ -n "$error" ]; then
      echo "$song: $name: $error" >&2
      failed=1
    elif [ ! -f "$path" ] || [ "$(wc -c < "$path")" -ne "$bytes" ]; then
      ask "/api/audio/$stem.mp3"
      mv -- "$work/reply" "$path"
      echo "$path"
    fi
  done < <(jq -r '.audio[] | .id, .bytes, (.filename | gsub("[/\\\\]"; "_")), .error // ""' "$work/request")
done < <(jq -r '.songs[] | select(.state == "done") |
  .request_id, ((.title // "Untitled" | gsub("[/\\\\]"; "_")) + " " + .song_id)' "$work/order")

jq -r '(.songs[] | select(.state == "failed") | "\(.title // .song_id): \(.error.error)"), (.error.error? // empty)' \
  "$work/order" > "$work/complaints"
[ ! -s "$work/complaints" ] || { cat "$work/complaints" >&2; failed=1; }
exit $failed
