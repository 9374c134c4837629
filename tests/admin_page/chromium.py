"""Headless Chromium, driven over its DevTools protocol by pipe. Only the standard library."""

import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

PATIENCE = 30

FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync --disable-dev-shm-usage --no-proxy-server --hide-scrollbars
--remote-debugging-pipe""".split()


class Chromium:
    """A browser with one page. What goes wrong in the page is collected in `complaints`."""

    def __init__(self, program="chromium", width=1280, height=900):
        self.profile = tempfile.mkdtemp(prefix="nuncio-chromium-")
        # The browser reads commands from descriptor 3 and writes answers to 4.
        pairs = [os.pipe(), os.pipe()]
        theirs = [fcntl.fcntl(pairs[0][0], fcntl.F_DUPFD, 10), fcntl.fcntl(pairs[1][1], fcntl.F_DUPFD, 10)]
        self.write, self.read = pairs[0][1], pairs[1][0]
        command = [program, *FLAGS, f"--user-data-dir={self.profile}", f"--window-size={width},{height}"]
        self.process = subprocess.Popen(
            command + ["about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(3, 4),
            preexec_fn=lambda: (os.dup2(theirs[0], 3), os.dup2(theirs[1], 4)),
        )
        for fd in (*theirs, pairs[0][0], pairs[1][1]):
            os.close(fd)
        self.buffer, self.last, self.session = b"", 0, None
        self.answers, self.complaints, self.fixtures, self.dialogs = {}, [], {}, []
        self.loaded, self.answer_dialogs = False, True
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Ending it in order also ends its children, which write to the profile.
        self.session = None
        try:
            self.send("Browser.close")
            self.process.wait(PATIENCE)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        os.close(self.write)
        os.close(self.read)
        shutil.rmtree(self.profile, ignore_errors=True)

    def send(self, method, **parameters):
        self.last += 1
        message = {"id": self.last, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.write, data) :]
        return self.last

    def call(self, method, **parameters):
        """Sends a command and waits for its answer."""
        number = self.send(method, **parameters)
        self.turn_until(lambda: number in self.answers, method)
        answer = self.answers.pop(number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def turn_until(self, done, what):
        end = time.monotonic() + PATIENCE
        while not done():
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.read], [], [], left)[0]:
                raise TimeoutError(f"waited for {what}; complaints: {self.complaints}")
            block = os.read(self.read, 1 << 16)
            if not block:
                raise EOFError(f"the browser ended while waiting for {what}")
            *messages, self.buffer = (self.buffer + block).split(b"\0")
            for message in messages:
                self.on_message(json.loads(message))

    def on_message(self, message):
        if "id" in message:
            self.answers[message["id"]] = message
            return
        method, event = message["method"], message.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = event["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and event["type"] in ("error", "warning", "assert"):
            self.complaints.append(" ".join(str(part.get("value", part)) for part in event["args"]))
        elif method == "Log.entryAdded" and event["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{event['entry']['text']} {event['entry'].get('url', '')}")
        elif method == "Page.loadEventFired":
            self.loaded = True
        elif method == "Page.javascriptDialogOpening":
            self.dialogs.append(event["message"])
            self.send("Page.handleJavaScriptDialog", accept=self.answer_dialogs)
        elif method == "Fetch.requestPaused":
            self.on_request(event["requestId"], event["request"])

    def on_request(self, number, request):
        path = "/" + request["url"].split("/", 3)[3]
        found = self.fixtures.get((request["method"], path.split("?")[0]))
        if found is None:
            self.send("Fetch.continueRequest", requestId=number)
            return
        status, body = found(path) if callable(found) else found
        self.send("Fetch.fulfillRequest", requestId=number, responseCode=status, body=body)

    def open(self, url):
        self.loaded = False
        self.call("Page.navigate", url=url)
        self.turn_until(lambda: self.loaded, url)

    def run(self, expression):
        """The value of an expression in the page; a promise is awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, condition):
        """Waits until an expression is true, looking again whenever the page changes; gives its value."""
        return self.run(
            f"""new Promise((done, fail) => {{
                const look = () => {{ const value = ({condition}); if (value) {{ observer.disconnect(); done(value); }} }};
                const observer = new MutationObserver(look);
                observer.observe(document, {{ subtree: true, childList: true, characterData: true, attributes: true }});
                setTimeout(() => fail(new Error("never: " + {json.dumps(condition)} + "\\n" + document.body.innerText)), {PATIENCE * 900});
                look();
            }})"""
        )

    def key(self, key, code, virtual, text=None):
        """Presses a key."""
        about = {"key": key, "code": code, "windowsVirtualKeyCode": virtual}
        self.call("Input.dispatchKeyEvent", type="keyDown", **about, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def click(self, expression):
        """Clicks with the mouse in the middle of the element that an expression gives."""
        x, y = self.run(
            f"""(() => {{ const node = {expression}; node.scrollIntoView({{ block: "center" }});
                const box = node.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()"""
        )
        self.run(
            """void (window.clicked = new Promise(done =>
                document.addEventListener("click", () => done(true), { once: true, capture: true })))"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        # The mouse has a way of its own: what is asked next must not come before it. A confirmation that the click opens is
        # answered while this waits.
        self.run("window.clicked")

    def settings(self, width, height, dark=False, mobile=False):
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self):
        """What is seen, as base64 of a PNG."""
        return self.call("Page.captureScreenshot", format="png")["data"]
