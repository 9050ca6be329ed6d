"""The Python sample of the token package page, as printed.

Only the URL, the credentials and the path are arguments. Its peculiarity: a second form field, `fileName`, stands
before the file.

    python-token.py URL ACCESS_ID SECRET_KEY FILE
"""

import base64
import os
import sys

import requests

url = sys.argv[1]
credentials = base64.b64encode((sys.argv[2] + ":" + sys.argv[3]).encode()).decode()

files = {'file':open(sys.argv[4], 'rb')}
upload_data={"fileName": os.path.abspath(sys.argv[4])}

headers = {
    'Authorization': "Basic " + credentials,
    }

response = requests.request("POST", url, data=upload_data, headers=headers, files=files, verify=False)
print(response.text.encode('utf-8'))
