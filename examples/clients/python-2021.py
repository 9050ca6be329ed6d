"""The Python sample of the 2021 edition of the upload page, as printed (its lost indentation put back).

Only the URL, the credentials and the path are arguments. Its peculiarities: it uses the copies of requests and urllib3
that pip carries, and the whole path goes out as the file name.

    python-2021.py URL ACCESS_ID SECRET_KEY FILE
"""

import sys

import base64
from pip._vendor import requests
from pip._vendor.urllib3 import encode_multipart_formdata

def upload(url, filePath, accessId, secret, data={}, header={}):
    openFile = open(filePath, 'rb')
    data['file'] = (openFile.name, openFile.read())
    encode_data = encode_multipart_formdata(data)
    data = encode_data[0]
    header['Content-Type'] = encode_data[1]
    authInfo = accessId + ":" + secret

    header['Authorization'] = "Basic " + str(base64.b64encode(bytes(authInfo, encoding="utf8")),encoding="utf8")

    r = requests.post(url, headers=header, data=data)
    print(r.json())

upload(sys.argv[1], sys.argv[4], sys.argv[2], sys.argv[3])
