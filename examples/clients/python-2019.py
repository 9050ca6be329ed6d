"""The Python sample of the 2019 edition of the upload page, as printed: a body built by hand.

Only the URL, the credentials, the path and the file name are arguments. Its peculiarities: a comma before `boundary`,
and two more line ends behind the content of the file. It opens the file as text, so that on Python 3 it carries .txt
and .csv; archives went through it on Python 2.

    python-2019.py URL ACCESS_ID SECRET_KEY FILE [FILE_NAME]
"""

import base64
import os
import sys

import requests

url = sys.argv[1]
credentials = base64.b64encode((sys.argv[2] + ":" + sys.argv[3]).encode()).decode()
address = sys.argv[4]
name = sys.argv[5] if len(sys.argv) > 5 else os.path.basename(address)

boundary='----WebKitFormBoundary7MA4YWxkTrZu0gW'
data=[]
data.append('--%s' % boundary)
data.append('Content-Disposition: form-data; name="file"; filename="%s"\r\n' % name)
fr=open(address)
content=fr.read()
data.append(content)
fr.close()

data.append('\r\n')
data.append('--%s--\r\n' % boundary)
httpBody = '\r\n'.join(data)

headers = {
'content-type': "multipart/form-data,boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
    'Authorization': "Basic " + credentials,
    }
response = requests.request("POST", url, data=httpBody, headers=headers, verify=False)
print(response.text.encode('utf-8'))
