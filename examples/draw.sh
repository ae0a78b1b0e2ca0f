#!/usr/bin/env bash
# A draw that nobody has to believe: three people enter, the engine draws, and an outsider repeats the draw from its files.
#
#   FAIRGRAB_KEY=your-operator-key bash examples/draw.sh
#
# FAIRGRAB_URL says where the engine is, else http://127.0.0.1:8080. The idea to take home: a person keeps the receipt that
# their entry was answered with. Receipt and published files prove whether they were in the draw and what they got.

set -euo pipefail
cd "$(dirname "$0")/.."
export FAIRGRAB_URL=${FAIRGRAB_URL:-http://127.0.0.1:8080}
export FAIRGRAB_KEY=${FAIRGRAB_KEY:?set it to the operator key that npm start printed}

fairgrab() { node_modules/.bin/node engine/cli.ts "$@"; }
api() { curl -sS "$FAIRGRAB_URL$1" -H "Authorization: Bearer $FAIRGRAB_KEY" ${2:+-d "$2"}; }
field() {
  grep -o "\"$1\":\"[^\"]*\"" | head -1 | cut -d'"' -f4 && return
  echo "the engine's answer has no $1: is FAIRGRAB_KEY an operator key of $url?" >&2
  return 1
}

proof=$(mktemp -d)
trap 'rm -rf "$proof"' EXIT

campaign=$(api /v1/campaigns '{
  "name": "Example: draw", "currency": "CNY",
  "pack": [{"template": "40-10", "valid_for_s": 604800,
            "discount": {"type": "amount_off", "amount_off": 1000, "minimum_amount": 4000}}]
}' | field id)
# One window of two seconds: whoever enters in it has the same chance, first or last, once or a hundred times.
round=$(api "/v1/campaigns/$campaign/rounds" '{
  "stock": 1, "opens_at": "2020-01-01T00:00:00Z", "allocation": {"mode": "window", "window_ms": 2000}
}' | field id)

for person in ada bo cy; do
  api "/v1/rounds/$round/claims" '{"user_id": "'$person'"}' >"$proof/$person.json"
  echo "$person: $(field outcome <"$proof/$person.json")"
done

# The newest window with a result; until there is one the round answers that its draw is open.
until api "/v1/rounds/$round/draw" | grep -q '"state":"drawn"'; do sleep 0.2; done

# From here on nothing is asked of the engine but the published files; keep them, and verify wherever you like.
fairgrab draw export "$round" "$proof/files"
fairgrab draw verify "$proof/files"
for person in ada bo cy; do
  echo "the receipt of $person:"
  fairgrab draw check --receipt "$proof/$person.json" --user $person "$proof/files" | tail -1
done
