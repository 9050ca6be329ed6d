#!/bin/sh
# The curl sample of the token package page, as printed. Only the URL, the credentials and the path are arguments.
#
#   curl-token.sh URL ACCESS_ID SECRET_KEY FILE
set -eu
authorization=$(printf '%s:%s' "$2" "$3" | base64 | tr -d '\n')

curl -X POST \
"$1" \
-H "Authorization: Basic $authorization" \
-F "file=@$4"
