#!/usr/bin/env bash
# Saves the stems of a playlist, a folder for each song. Needs curl and jq. Without max_credits it only shows the price.
# bash playlist.sh https://suno.com/playlist/<id> [folder [max_credits [word]]]
# The same playlist is the same order: a second run continues it. A word makes it another order.
set -euo pipefail

[ $# -ge 1 ] || { sed -n 2,4p "$0" >&2; exit 1; }
playlist=$1 folder=${2:-.} limit=${3:-} base=${SUNO_STEMS_URL:-http://127.0.0.1:3000} work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '%s\n' "Content-Type: application/json" \
  ${SUNO_STEMS_API_KEY:+"X-API-Key: $SUNO_STEMS_API_KEY"} > "$work/headers" # a file: arguments show in process lists
: > "$work/failed"

pause() { # for Retry-After of the last reply, or 1 second
  sleep "$(awk 'tolower($1) == "retry-after:" { wait = $2 + 0; told = 1 } END { print told ? wait : 1 }' "$work/head")"
}

ask() { # PATH [curl options]: writes "$work/reply", or "$work/complaint"; retries a lost connection, 409 and 503
  local path=$1 retries=5 status
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

complain() { # NAME: go on without it, and say so at the end
  echo "$1: $(cat "$work/complaint")" >> "$work/failed"
}

# clean: a text of others as a part of a path: nothing that leaves the folder or hides, and at most so many bytes.
# file_name: a name that had to be changed gets the id, so that it is no other file's.
words='
def counted($noun): "\(. // "any number of") \($noun)\(if . == 1 then "" else "s" end)";
def clean($longest): gsub("[/\\\\\\p{Cc}]"; "_") | sub("^[. ]+"; "") | .[:$longest]
  | until(utf8bytelength <= $longest; .[:-1]) | if . == "" then "Untitled" else . end;
def folder_name: "\(.title // "" | clean(100)) \(.song_id | clean(64))";
def file_name: (.filename | rtrimstr(".mp3")) as $name | ($name | clean(150)) as $clean
  | if $clean == $name then "\($clean).mp3" else "\($clean) \(.id | clean(64)).mp3" end;'

wanted=$(jq -n --arg playlist "$playlist" '{playlist: $playlist, audio_format: "mp3"}')
ask /api/orders --data "$(jq '. + {quote: true}' <<< "$wanted")" || stop
mv -- "$work/reply" "$work/quote"
jq -r "$words"'"\(.songs | length | counted("song")): \(.credits | counted("credit")) and " +
  "\(.downloads | counted("download")). Left: \(.credits_left | counted("credit")), " +
  "\(.downloads_left | counted("download"))."' "$work/quote"
[ -n "$limit" ] || { echo "Nothing was ordered. Add the most credits that it may spend."; exit 0; }

# One key for what is ordered: a retry, a second run and one after a crash are the same order, and pay for no song twice.
# Songs that are added to the playlist make another order, which takes the stems of the others for free.
order=$(jq -S --argjson limit "$limit" \
  '{songs: [.songs[].song_id], audio_format: "mp3", max_credits: $limit, max_downloads: .downloads}' "$work/quote")
key=$(jq -c '[.songs, .audio_format] + $ARGS.positional' --args "${@:4}" <<< "$order" |
  { sha256sum 2> "$work/unread" || shasum -a 256; } | cut -c 1-64)
ask /api/orders -H "Idempotency-Key: $key" --data "$order" || stop
id=$(jq -r .id "$work/reply")
if [ "$(jq -r .state "$work/reply")" = paused ]; then
  ask "/api/orders/$id/again" --data "{\"max_credits\": $limit}" || stop
fi
while jq -e '.state == "running" or any(.songs[]; .state == "running")' "$work/reply" > "$work/running"; do
  sleep 1
  ask "/api/orders/$id" || stop
done
mv -- "$work/reply" "$work/order"
jq -r "$words"'"Spent: \(.credits | counted("credit")), \(.downloads | counted("download"))."' "$work/order"

save() { # PATH ID BYTES ERROR: download a file, unless it is there
  if [ -n "$4" ]; then
    echo "$4" > "$work/complaint"
    return 1
  fi
  [ ! -f "$1" ] || [ "$(wc -c < "$1")" -ne "$3" ] || return 0
  ask "/api/audio/$2.mp3" && mv -- "$work/reply" "$1" 2> "$work/complaint" && echo "$1"
}

while IFS= read -r request && IFS= read -r song; do
  if ! { ask "/api/requests/$request" && mkdir -p -- "$folder/$song" 2> "$work/complaint"; }; then
    complain "$song"
    continue
  fi
  mv -- "$work/reply" "$work/request"
  while IFS= read -r stem && IFS= read -r bytes && IFS= read -r name && IFS= read -r error; do
    save "$folder/$song/$name" "$stem" "$bytes" "$error" || complain "$song: $name"
  done < <(jq -r "$words"'.audio[] | .id, .bytes, file_name, (.error // "" | gsub("\\p{Cc}"; " "))' "$work/request")
done < <(jq -r "$words"'.songs[] | select(.state == "done") | .request_id, folder_name' "$work/order")

jq -r "$words"'. as $order
  | (.songs[] | select(.state == "failed") | "\(folder_name): \(.error.error)"),
    (.songs[] | select($order.state == "cancelled" and .state != "failed" and .state != "done")
      | "\(folder_name): the order was cancelled before this song."),
    (.error.error? // empty),
    (select(.state != "paused" and any(.songs[]; .state != "done"))
      | "To order what is missing again, add a word after max_credits that you have not used before, such as the " +
        "date. Stems that are there are free.")' "$work/order" >> "$work/failed"
[ ! -s "$work/failed" ] || { cat "$work/failed" >&2; exit 1; }
