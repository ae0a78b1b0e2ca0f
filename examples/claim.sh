#!/usr/bin/env bash
# A first claim over HTTP with nothing but curl: make a campaign and a round, open it, claim, and claim again.
#
#   FAIRGRAB_KEY=your-operator-key bash examples/claim.sh
#
# FAIRGRAB_URL says where the engine is, else http://127.0.0.1:8080. The idea to take home: a claim is named by its round
# and its user. Whoever does not know whether a claim arrived sends it again, and gets the same grant with the same codes.

set -euo pipefail
url=${FAIRGRAB_URL:-http://127.0.0.1:8080}
key=${FAIRGRAB_KEY:?set it to the operator key that npm start printed}

# api PATH [BODY]: a GET, or a POST of that body. A refusal is an answer too, so it does not end this script.
api() { curl -sS "$url$1" -H "Authorization: Bearer $key" ${2:+-d "$2"}; }
# The first field of that name in the JSON that comes in. A program uses a JSON parser instead.
field() {
  grep -o "\"$1\":\"[^\"]*\"" | head -1 | cut -d'"' -f4 && return
  echo "the engine's answer has no $1: is FAIRGRAB_KEY an operator key of $url?" >&2
  return 1
}

campaign=$(api /v1/campaigns '{
  "name": "Example: claim", "currency": "CNY",
  "pack": [{"template": "40-10", "valid_for_s": 604800,
            "discount": {"type": "amount_off", "amount_off": 1000, "minimum_amount": 4000}}]
}' | field id)
round=$(api "/v1/campaigns/$campaign/rounds" '{"stock": 1}' | field id)
api "/v1/rounds/$round/open" '{}' | field state

echo "ada claims:        $(api "/v1/rounds/$round/claims" '{"user_id": "ada"}')"
echo "ada claims again:  $(api "/v1/rounds/$round/claims" '{"user_id": "ada"}')"
echo "bo comes too late: $(api "/v1/rounds/$round/claims" '{"user_id": "bo"}')"
