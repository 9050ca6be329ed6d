#!/bin/sh
# The curl sample of the 2019 edition of the upload page, as printed. Only the URL, the credentials and the path are
# arguments. The forced content-type header is its peculiarity: curl adds its own boundary behind the one given here.
#
#   curl-2019.sh URL ACCESS_ID SECRET_KEY FILE
set -eu
authorization=$(printf '%s:%s' "$2" "$3" | base64 | tr -d '\n')

curl -X POST \
"$1" \
-H "Authorization: basic $authorization" \
-H 'content-type: multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW' \
-F "file=@$4"
