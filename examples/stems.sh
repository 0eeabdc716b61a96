#!/usr/bin/env bash
# Saves the stems of a song, given its link. Needs curl, and jq: the JSON has names in any alphabet.
# bash stems.sh https://suno.com/song/<id> [folder]
set -euo pipefail

[ $# -ge 1 ] || { sed -n 2,3p "$0" >&2; exit 1; }
link=$1 folder=${2:-.} base=${SUNO_STEMS_URL:-http://127.0.0.1:3000} work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '%s\n' "Content-Type: application/json" \
  ${SUNO_STEMS_API_KEY:+"X-API-Key: $SUNO_STEMS_API_KEY"} > "$work/headers" # a file: arguments show in process lists

pause() { # for Retry-After of the last reply, or 1 second
  sleep "$(awk 'tolower($1) == "retry-after:" { wait = $2 + 0; told = 1 } END { print told ? wait : 1 }' "$work/head")"
}

ask() { # PATH [curl options]: sets $status, writes "$work/reply" or "$work/complaint"; retries a lost connection, 409, 503
  local path=$1 retries=5
  shift
  while true; do
    : > "$work/head"
    status=$(curl -sS --max-time 150 -H @"$work/headers" -D "$work/head" -o "$work/reply" -w '%{http_code}' \
      "$@" "$base$path" 2> "$work/complaint") || status=lost
    case $status in
      2??) return ;;
      lost | 409 | 503) ((retries-- > 0)) || break ;;
      *) break ;;
    esac
    pause
  done
  [ "$status" = lost ] || jq -er '.error // empty' "$work/reply" > "$work/complaint" 2> "$work/unread" ||
    echo "$base answered $status." > "$work/complaint"
  return 1
}

stop() {
  cat "$work/complaint" >&2
  exit 1
}

# One key for song, kind and day: a retry, a second run and one after a crash are paid for once.
id=${link%%\?*} id=${id%/} id=${id##*/}
key=$id-two-$(date -u +%F)
ask /api/generate_stems -H "Idempotency-Key: $key" \
  --data "$(jq -n --arg link "$link" '{audio_id: $link, wait_audio: true, audio_format: "mp3", reuse_existing: true}')" || stop

stems=$(jq '{ids: map(.id), format: "mp3"}' "$work/reply")
ask /api/audio --data "$stems" || stop
while [ "$status" = 202 ]; do
  pause
  ask /api/audio --data "$stems" || stop
done

mkdir -p -- "$folder"
save() { # ID PATH ERROR
  if [ -n "$3" ]; then
    echo "$3" > "$work/complaint"
    return 1
  fi
  ask "/api/audio/$1.mp3" && mv -- "$work/reply" "$2" 2> "$work/complaint" && echo "$2"
}

failed=0
while IFS= read -r id && IFS= read -r name && IFS= read -r error; do
  save "$id" "$folder/$name" "$error" || { echo "$name: $(cat "$work/complaint")" >&2; failed=1; }
done < <(jq -r 'def clean: gsub("[/\\\\\\p{Cc}]"; "_") | sub("^[. ]+"; "") | if . == "" then "Untitled" else . end;
  .[] | .id, (.filename | clean), (.error // "" | gsub("\\p{Cc}"; " "))' "$work/reply")
exit $failed
