#!/usr/bin/env python3
"""Runs the cases of the Autobahn WebSocket test suite against a server and prints the verdicts as JSON.

The suite (PyPI: autobahntestsuite) is written for Python 2, whose texts are bytes. Its case definitions and verdicts
are used as they are: they are translated by fissix (what became of lib2to3) into a folder beside the installed package, and a payload that is
a text stands for the bytes of its characters. What drives them here is a client on the present `autobahn` package,
since the suite's own client needs one of 2015.

usage: autobahn.py URL [CASES]       CASES: prefixes with commas between them, such as 1.,5.,9.1 (default: all there
                                     are; compression, 12 and 13, is end to end and invisible to a proxy)
       autobahn.py --echo            an echo server; prints its port, ends with its standard input
"""

import importlib.util
import json
import logging
import re
import sys
import types
from pathlib import Path

from autobahn.twisted.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from autobahn.websocket.utf8validator import Utf8Validator
from twisted.internet import reactor
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Protocol
from twisted.internet.stdio import StandardIO

AT_ONCE = 20
# How much longer than the suite to wait for a peer that should act, and before it is told to: verdicts must not depend
# on the machine.
PATIENCE = 20
PAUSE = 4
# What fissix does not know: in the suite all of these are texts of bytes. Compression is left out.
FIXES = [
    (r"^(from case12|from case9_9|Cases.extend.Case1[23]|CaseSubCategories.update.Case1[23]).*$", ""),
    (r"\(object, Case, ?\)", "(Case,)"),
    (r"\.tostring\(\)", ".tobytes().decode('latin-1')"),
    (r"\.encode\((['\"])utf-?8\1\)", ".encode('utf-8').decode('latin-1')"),
]


def octets(text):
    return text.encode("latin-1") if isinstance(text, str) else text


def translated():
    """The package of cases in Python 3."""
    from fissix.main import main as translate

    found = importlib.util.find_spec("autobahntestsuite")
    source = Path(found.submodule_search_locations[0]) / "case"
    target = source.parent.parent / "autobahn_cases"
    done = target / "done"
    if not done.exists():
        target.mkdir(exist_ok=True)
        for file in source.glob("*.py"):
            # Read byte for byte, as Python 2 does, so that a character is a byte.
            text = re.sub(r"^#.*coding.*$", "", file.read_text("latin-1"), flags=re.M)
            for old, new in FIXES:
                text = re.sub(old, new, text, flags=re.I | re.M)
            (target / file.name).write_text(text, "utf-8")
        logging.disable()
        if translate("fissix.fixes", ["-w", "-n", "--no-diffs", str(target)]):
            sys.exit("the suite cannot be translated")
        done.touch()
    sys.path.insert(0, str(target.parent))
    import binascii

    plain = binascii.b2a_hex
    binascii.b2a_hex = lambda data: plain(octets(data)).decode()
    validate = Utf8Validator.validate
    Utf8Validator.validate = lambda self, data: validate(self, octets(data))
    import autobahn_cases

    return autobahn_cases


def normal(value):
    """A value in which texts are bytes, to compare."""
    if isinstance(value, (list, tuple)):
        return [normal(part) for part in value]
    return octets(value)


class Client(WebSocketClientProtocol):
    """What cases call, on top of the real protocol."""

    createWirelog = True
    connectionWasOpen = False
    trafficStats = None

    def __init__(self, kind, done):
        super().__init__()
        self.txFrameStats = {}
        self.done = done
        self.run = kind(self)

    def onOpen(self):
        self.connectionWasOpen = True
        self.run.onOpen()

    def onMessage(self, payload, isBinary):
        self.run.onMessage(payload, isBinary)

    def onPing(self, payload):
        self.run.onPing(payload)

    def onPong(self, payload):
        self.run.onPong(payload)

    def onClose(self, wasClean, code, reason):
        self.run.onClose(wasClean, code, reason)

    def connectionLost(self, reason):
        super().connectionLost(reason)
        self.run.onConnectionLost(self.failedByMe)
        self.done(self.run.behavior, self.run.behaviorClose)

    def sendFrame(self, opcode, payload=b"", *args, **options):
        self.txFrameStats[opcode] = self.txFrameStats.get(opcode, 0) + 1
        super().sendFrame(opcode, octets(payload), *args, **options)

    def sendMessage(self, payload, isBinary=False, *args, **options):
        super().sendMessage(octets(payload), isBinary, *args, **options)

    def sendMessageFrameData(self, payload, *args, **options):
        return super().sendMessageFrameData(octets(payload), *args, **options)

    def sendCloseFrame(self, code=None, reasonUtf8=None, isReply=False):
        super().sendCloseFrame(code=code, reasonUtf8=reasonUtf8 and octets(reasonUtf8), isReply=isReply)

    def enableWirelog(self, enable):
        pass

    def later(self, delay, action, patience=1):
        def act():
            if self.state != self.STATE_CLOSED:
                action()

        reactor.callLater(delay * patience, act)

    def continueLater(self, delay, fun, tag=None):
        self.later(delay, fun)

    def killAfter(self, delay):
        self.later(delay, self._fail_connection, PATIENCE)

    def closeAfter(self, delay):
        self.later(delay, self.sendClose, PAUSE)


class Run:
    """All cases, some at the same time."""

    def __init__(self, url, cases, wanted):
        self.url = url
        self.verdicts = {}
        self.waiting = []
        for kind in cases.Cases:
            name = kind.__name__.removeprefix("Case").replace("_", ".")
            if any(name.startswith(prefix) for prefix in wanted):
                self.waiting.append((name, kind))
        self.open = 0
        self.over = False

    def more(self):
        while self.waiting and self.open < AT_ONCE:
            self.open += 1
            self.start(*self.waiting.pop(0))
        if not self.open and not self.over:
            self.over = True
            reactor.stop()

    def start(self, name, kind):
        def done(*verdict):
            self.verdicts[name] = verdict
            self.open -= 1
            reactor.callLater(0, self.more)

        factory = WebSocketClientFactory(self.url)
        factory.setProtocolOptions(
            failByDrop=False,
            utf8validateIncoming=False,
            openHandshakeTimeout=PATIENCE,
            closeHandshakeTimeout=PATIENCE,
            serverConnectionDropTimeout=PATIENCE,
        )
        factory.protocol = lambda: Client(kind, done)
        endpoint = HostnameEndpoint(reactor, factory.host, factory.port)
        endpoint.connect(factory).addErrback(lambda failure: done("NO CONNECTION", str(failure.value)))


class Echo(WebSocketServerProtocol):
    def onMessage(self, payload, isBinary):
        self.sendMessage(payload, isBinary)


class UntilEnd(Protocol):
    def connectionLost(self, reason):
        reactor.stop()


def echo():
    # Before anybody else needs it.
    translated()
    factory = WebSocketServerFactory()
    factory.setProtocolOptions(failByDrop=False, openHandshakeTimeout=0, closeHandshakeTimeout=PATIENCE)
    factory.protocol = Echo
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    print(port.getHost().port, flush=True)
    StandardIO(UntilEnd())
    reactor.run()


def main():
    if sys.argv[1:2] == ["--echo"]:
        return echo()
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    cases = translated()
    cases.Case1_1_1.__mro__[1].compare = lambda self, a, b: normal(a) == normal(b)
    wanted = sys.argv[2].split(",") if len(sys.argv) > 2 else [f"{n}." for n in range(1, 12)]
    run = Run(sys.argv[1], cases, wanted)
    reactor.callWhenRunning(run.more)
    reactor.run()
    json.dump(run.verdicts, sys.stdout, indent=1, sort_keys=True)


main()
