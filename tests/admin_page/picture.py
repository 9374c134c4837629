"""Makes a picture of an admin page under load: picture.py URL FILE [SECONDS [WIDTH [HEIGHT [dark]]]]"""

import base64
import sys
import time

from chromium import Chromium

url, file, *rest = sys.argv[1:]
seconds, width, height = [int(given) for given in rest[:3]] + [30, 1280, 900][len(rest[:3]) :]
with Chromium(width=width, height=height) as browser:
    browser.settings(width, height, dark="dark" in rest, mobile=width < 600)
    browser.open(url)
    # The curves need a while of history.
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        browser.run("new Promise(done => setTimeout(done, 1000))")
    with open(file, "wb") as out:
        out.write(base64.b64decode(browser.picture()))
    for complaint in browser.complaints:
        print(complaint, file=sys.stderr)
    if width < 600:
        print("overflow:", browser.run("document.documentElement.scrollWidth - innerWidth"), file=sys.stderr)
