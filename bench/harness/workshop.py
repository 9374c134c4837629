"""The folder in which a run happens: compiled tools, certificate, request files, configurations, logs."""

import shutil
import socket
import subprocess
import tempfile
from functools import cache
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
SMALL, BIG, HUGE = 128, 1 << 20, 64 << 20

BROWSER = [
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Language: en-GB,en;q=0.9,de;q=0.7",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Cookie: session=" + "0123456789abcdef" * 2 + "; theme=dark; consent=" + "y" * 180,
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Site: none",
    "Cache-Control: max-age=0",
]


class Missing(Exception):
    """Something that the harness needs is not installed."""


class Workshop:
    """Removed at the end, unless it is to be kept."""

    def __init__(self, keep=False):
        self.keep = keep
        self.dir = Path(tempfile.mkdtemp(prefix="nuncio-bench-"))
        self.dir.chmod(0o755)
        self.names = 0
        www = self.dir / "www"
        www.mkdir()
        (www / "big").write_bytes(b"x" * BIG)
        with (www / "huge").open("wb") as file:
            file.truncate(HUGE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.keep:
            print(f"kept: {self.dir}")
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    @cache
    def tool(self, name):
        """One of the C programs beside this package, compiled."""
        program = self.dir / name
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if not compiler:
            raise Missing("a C compiler (cc) is needed for the load generator")
        subprocess.run([compiler, "-O2", "-o", program, BENCH / f"{name}.c", "-lm"], check=True)
        return program

    @cache
    def certificate(self):
        """A self-signed ECDSA P-256 certificate for localhost: (certificate, key, both in one file)."""
        cert, key, both = (self.dir / name for name in ("cert.pem", "key.pem", "both.pem"))
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-keyout", key, "-out", cert, "-days", "30", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
            check=True, capture_output=True,
        )
        both.write_bytes(cert.read_bytes() + key.read_bytes())
        return cert, key, both

    def request(self, path, headers=(), body=b"", method="GET"):
        """A file with a whole request."""
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        text = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        return self.file("request", text)

    @cache
    def upload(self, length):
        """A file to send."""
        return self.file("upload", b"x" * length)

    def config(self, proxy, kind, suffix, **values):
        """A configuration from `config/`, filled in; nothing if this proxy cannot do this kind of work."""
        template = BENCH / "config" / proxy / f"{kind}.{suffix}"
        if not template.exists():
            return None
        text = template.read_text()
        values |= {"dir": self.dir, "small": "x" * SMALL}
        if "@KEY@" in text or "@PEM@" in text:
            values["cert"], values["key"], values["pem"] = self.certificate()
        for name, value in values.items():
            text = text.replace(f"@{name.upper()}@", str(value))
        return self.file(f"{proxy}-{kind}.{suffix}", text.encode())

    def file(self, name, content):
        self.names += 1
        path = self.dir / f"{self.names}-{name}"
        path.write_bytes(content)
        return path


def answers(port):
    """Whether a small request gets its answer on this port."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as client:
            client.sendall(b"GET /small HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            answer = b""
            while len(answer) < 65536 and (part := client.recv(4096)):
                answer += part
        return answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"x" * SMALL)
    except OSError:
        return False


def accepts(port):
    """Whether anybody listens on this port."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def echoes(port):
    """Whether a datagram to this port comes back."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.2)
        client.connect(("127.0.0.1", port))
        try:
            client.send(b"ready?")
            return client.recv(64) == b"ready?"
        except OSError:
            return False
