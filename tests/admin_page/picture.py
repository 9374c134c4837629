"""Makes a picture of the admin page of a proxy under load, as it stands in docs/images:

    cargo build && python3 tests/admin_page/picture.py docs/images/admin.png
"""

import argparse
import base64
import http.client
import http.server
import math
import pathlib
import random
import subprocess
import tempfile
import threading
import time

from chromium import Chromium

CONFIG = """
node: {id: edge-7, cluster: shop}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
static_resources:
  listeners: [%s]
  clusters: [%s]
"""
LISTENER = """{name: %s, stat_prefix: %s, address: {socket_address: {address: 127.0.0.1, port_value: 0}},
    filter_chains: [{filters: [{name: envoy.filters.network.http_connection_manager, typed_config: {
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager,
      stat_prefix: %s, route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [
        {match: {prefix: /api}, route: {cluster: api}}, {match: {prefix: /cart}, route: {cluster: cart}},
        {match: {prefix: /}, route: {cluster: web}}]}]},
      http_filters: [{name: envoy.filters.http.router, typed_config: {
        "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}}]}]}"""
HOST = "{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}"
CLUSTER = "{name: %s, type: STATIC, load_assignment: {cluster_name: %s, endpoints: [{lb_endpoints: [%s]}]}}"


class Upstream(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):
        time.sleep(random.lognormvariate(-5.3, 0.9))
        status = random.choices([200, 404, 503], [965, 30, 5])[0]
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def upstream():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def client(addresses):
    """One user after the other, more of them at some times than at others."""
    while True:
        connection = http.client.HTTPConnection(random.choices(addresses, [4, 1])[0])
        for _ in range(random.randint(5, 60)):
            time.sleep(random.expovariate(4 + 2.5 * math.sin(time.time() / 8)))
            connection.request("GET", random.choice(["/", "/", "/api", "/api", "/cart"]))
            connection.getresponse().read()
        connection.close()


def proxy(program, folder):
    clusters = {"web": 3, "api": 2, "cart": 1}
    config = pathlib.Path(folder) / "picture.yaml"
    listeners = [LISTENER % (name, name, name) for name in ("public", "internal")]
    hosts = lambda count: ", ".join(HOST % upstream() for _ in range(count))
    all_clusters = [CLUSTER % (name, name, hosts(count)) for name, count in clusters.items()]
    config.write_text(CONFIG % (", ".join(listeners), ", ".join(all_clusters)))
    command = [program, "-c", str(config), "--concurrency", "2"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    addresses, admin = [], None
    for line in process.stderr:
        if "] listener '" in line:
            addresses.append(line.split("' at ")[1].strip())
        elif "] admin interface at " in line:
            admin = line.split("] admin interface at ")[1].strip()
        elif "starting main dispatch loop" in line:
            break
    for _ in range(50):
        threading.Thread(target=client, args=(addresses,), daemon=True).start()
    return process, f"http://{admin}/"


parser = argparse.ArgumentParser()
parser.add_argument("file")
parser.add_argument("--program", default="target/debug/nuncio")
parser.add_argument("--url", help="of a page that is served already")
parser.add_argument("--seconds", type=int, default=125, help="the curves show two minutes")
parser.add_argument("--width", type=int, default=1280)
parser.add_argument("--height", type=int, default=900)
parser.add_argument("--dark", action="store_true")
given = parser.parse_args()

with tempfile.TemporaryDirectory() as folder:
    process, url = (None, given.url) if given.url else proxy(given.program, folder)
    try:
        with Chromium() as browser:
            browser.settings(given.width, given.height, dark=given.dark, mobile=given.width < 600)
            browser.open(url)
            end = time.monotonic() + given.seconds
            while time.monotonic() < end:
                browser.run("new Promise(done => setTimeout(done, 1000))")
            pathlib.Path(given.file).write_bytes(base64.b64decode(browser.picture()))
            print(*browser.complaints, sep="\n")
    finally:
        if process:
            process.kill()
