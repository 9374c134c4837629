"""Drives the admin page of a running proxy with a headless Chromium: drive.py ADMIN_URL PID

The proxy has answered seven requests with 404 and goes on to answer requests with 200 and 503; one request hangs.
"""

import base64
import os
import pathlib
import signal
import sys

from chromium import Chromium

url, pid = sys.argv[1], int(sys.argv[2])
ENVOY = pathlib.Path(__file__).parent / "envoy"
HOSTILE = "<img src=x onerror=alert(1)>"

# What a test says about the page is short with these.
HELPERS = """
    const $ = selector => document.querySelector(selector);
    const all = selector => [...document.querySelectorAll(selector)];
    const text = selector => $(selector)?.textContent;
    const tile = key => Number(text("#live-" + key).replace(",", ""));
    const columns = row => [...row.children].map(cell => cell.textContent.trim());
    const row = (table, name) => { const found = all(`#${table} tr`).find(row => columns(row)[0].startsWith(name)); return found && columns(found); };
    const stat = name => row("stats", name)?.[1];
    const button = path => $(`button[aria-label="POST ${path}"]`);
    const answer = path => button(path).closest("li").querySelector("pre").textContent;
"""


def check(condition, what):
    if not condition:
        raise AssertionError(f"{what}; complaints: {browser.complaints}")


def start():
    browser.open(url)
    browser.run(HELPERS)


def fill(expression, value):
    browser.click(expression)
    browser.wait(f"document.activeElement === {expression}")
    # A selection made here would be undone by a click that the browser works on late.
    browser.run(f"{expression}.value = ''; {expression}.dispatchEvent(new Event('input', {{bubbles: true}}))")
    if value:
        browser.type(value)


def no_complaints(allowed=()):
    bad = [complaint for complaint in browser.complaints if not any(part in complaint for part in allowed)]
    check(not bad, bad)
    browser.complaints.clear()


def step(name):
    print(name, flush=True)


def live_numbers():
    step("live numbers")
    browser.wait('tile("requests") > 1 && tile("server") > 0.1 && tile("active") >= 1')
    browser.wait('tile("downstream") >= 2 && tile("upstream") >= 1')
    browser.wait('tile("p50") >= 0 && tile("p99") >= tile("p50")')
    browser.wait('$(".tile .curve").getAttribute("d").split("L").length >= 3')
    check(browser.run('text("#state")') == "LIVE", "the state")
    facts = browser.run('text("#facts")')
    for part in ("nodepage-test", "clustertests", "workers1", "up"):
        check(part in facts, facts)
    check("% of requests" in browser.run('text(".tile.bad .note")'), "the share of errors")


def clusters_and_listeners():
    step("clusters and listeners")
    browser.wait('row("clusters", "up") && row("clusters", "full")')
    total = browser.wait('Number(row("clusters", "up")[6].replace(",", ""))')
    check(total >= 300, f"up has {total}")
    check(browser.run('row("clusters", "up")[1]').startswith("1 of 1"), "the health of up")
    browser.wait("""all("#clusters tr").some(row => row.textContent.startsWith("full") && !row.querySelector(".badge.bad").hidden)""")
    check(browser.run(f'row("clusters", {HOSTILE!r}) !== undefined'), "a name is shown as it is")
    check(browser.run('all("img").length') == 0 and not browser.dialogs, "a name became markup")
    listener = browser.wait('row("listeners", "main")')
    check("127.0.0.1:" in listener[0] and int(listener[1]) >= 2, listener)
    fill('$("#clusters-filter")', "fu")
    browser.wait('!row("clusters", "up") && row("clusters", "full")')
    fill('$("#clusters-filter")', "")
    browser.wait('row("clusters", "up")')


def statistics():
    step("statistics")
    browser.wait('all("#stats tr").length > 20')
    fill('$("#stats-filter")', r"^http\.test\.downstream_rq_[45]xx$")
    browser.wait('all("#stats tr").length === 2 && stat("http.test.downstream_rq_4xx") === "7"')
    browser.wait('row("stats", "http.test.downstream_rq_5xx")[2].startsWith("+")')
    no_complaints()
    fill('$("#stats-filter")', "(")
    browser.wait('$("#stats-filter").ariaInvalid === "true" && text("#stats-message").length > 5')
    no_complaints(allowed=["status of 400"])
    fill('$("#stats-filter")', r"downstream_rq_([34]xx|time)$")
    browser.wait('$("#stats-message").hidden && /p50 .* p99/.test(stat("http.test.downstream_rq_time"))')
    check(not browser.run('row("stats", "http.test.downstream_rq_3xx")'), "unused ones are hidden")
    browser.click('$("#stats-used")')
    browser.wait('row("stats", "http.test.downstream_rq_3xx")')


def posts():
    step("a POST button")
    browser.wait('stat("http.test.downstream_rq_4xx") === "7"')
    browser.run('button("/reset_counters").focus()')
    browser.key("Enter", "Enter", 13, "\r")
    browser.wait('answer("/reset_counters") === "OK" && stat("http.test.downstream_rq_4xx") === "0"')
    # Rates never fall below 0, and traffic goes on.
    browser.wait("past.at(-1).requests > 1")
    check(browser.run("past.every(point => !(point.requests < 0 || point.server < 0))"), "a negative rate")
    check(not browser.dialogs, browser.dialogs)


def silence():
    step("a proxy that does not answer")
    os.kill(pid, signal.SIGSTOP)
    try:
        browser.wait('!$("#banner").hidden && /^No answer since \\d/.test(text("#banner")) && text("#state") === "NO ANSWER"')
    finally:
        os.kill(pid, signal.SIGCONT)
    browser.wait('$("#banner").hidden && text("#state") === "LIVE" && tile("requests") > 0')
    # The time without answers is a gap in the curve.
    browser.wait('$(".tile .curve").getAttribute("d").split("M").length >= 3')
    check(browser.run("performance.getEntriesByType('resource').every(entry => entry.name.startsWith(location.origin))"), "foreign resources")


def pause():
    step("pause")
    browser.click('$("#pause")')
    browser.wait('$("#pause").ariaPressed === "true"')
    # A turn that has begun may still end.
    more = browser.run("{ const n = past.length; new Promise(done => setTimeout(() => done(past.length - n), 3 * INTERVAL)) }")
    check(more <= 1, f"{more} turns while pausing")
    length = browser.run("past.length")
    browser.click('$("#pause")')
    browser.wait(f'$("#pause").ariaPressed === "false" && past.length > {length}')


def phone():
    step("phone")
    browser.settings(390, 800, mobile=True)
    check(browser.run("new Promise(done => requestAnimationFrame(() => done(document.documentElement.scrollWidth <= innerWidth)))"), "too wide")
    browser.settings(1280, 900)


def envoys_answers():
    """The page with what Envoy 1.40 answers to the same questions."""
    step("Envoy's answers")

    def fixture(name):
        return 200, base64.b64encode((ENVOY / name).read_bytes()).decode()

    def reply(status, text):
        return status, base64.b64encode(text.encode()).decode()

    asked = []

    def noted(path):
        asked.append(path)
        return reply(200, "OK\n")

    level = ["info"]

    def logging(path):
        if "level=" in path:
            level[0] = path.split("level=")[1]
        return reply(200, f"active loggers:\n  admin: {level[0]}\n  http: {level[0]}\n")

    info = '{"version": "nuncio/9.9.9", "state": "DRAINING", "uptime_current_epoch": "93784s"}'
    browser.fixtures = {
        ("GET", "/help"): fixture("help.txt"),
        ("GET", "/clusters"): fixture("clusters.json"),
        ("GET", "/listeners"): fixture("listeners.json"),
        ("GET", "/server_info"): reply(200, info),
        ("POST", "/drain_listeners"): noted,
        ("POST", "/logging"): logging,
    }
    browser.call("Fetch.enable", patterns=[{"urlPattern": "*"}])
    start()
    browser.wait('text("#state") === "DRAINING" && text("#version") === "9.9.9" && text("#facts").includes("1 d 2 h")')
    hosts = browser.wait('(rows => rows.length === 7 && rows[1][5] === "0" && rows)(all("#clusters tr").map(columns))')
    check(hosts[0][0] == HOSTILE and hosts[0][1].startswith("1 of 1"), hosts)
    # These clusters have no statistics here, so the hosts are added up.
    check(hosts[2][0] == "checked" and hosts[2][1].startswith("1 of 4"), hosts)
    check(hosts[2][3:] == ["1", "0", "0", "0", "0", "4"], hosts)
    check(hosts[3] == ["127.0.0.1:40745 one.example · eu/eu-1", "healthy", "1", "1", "0", "0", "0", "0", "4"], hosts)
    check(hosts[4][:3] == ["127.0.0.1:1 eu/eu-1 · failed active health check", "unhealthy", "3"], hosts)
    check(hosts[5][:2] == ["[::1]:1 priority 1 · failed active health check", "draining"], hosts)
    check(hosts[6][0].startswith("/tmp/none.sock "), hosts)
    check(browser.run('all("img").length') == 0 and not browser.dialogs, "a name became markup")
    browser.run('all(".fold")[1].focus()')
    browser.key(" ", "Space", 32, " ")
    browser.wait('all("#clusters tr").length === 3')
    fill('$("#clusters-filter")', "none.sock")
    browser.run('all(".fold")[0].focus()')
    browser.key(" ", "Space", 32, " ")
    browser.wait('all("#clusters tr").length === 2')
    check(browser.run('all("#listeners tr").map(row => columns(row)[0])') == ["web 127.0.0.1:44719", "internal 127.0.0.1:36381"], "listeners")

    step("endpoints and their parameters")
    links = browser.run('all("#endpoints a").map(link => link.getAttribute("href"))')
    check("config_dump" in links and "stats/prometheus" in links and "drain_listeners" not in links, links)
    details = '(summary => summary.click())($("#endpoints a[href=config_dump]").parentNode.querySelector("summary"))'
    browser.run(details)
    fill("$(\"#endpoints a[href=config_dump]\").parentNode.querySelector(\"input[name=name_regex]\")", "a&b")
    check("config_dump?name_regex=a%26b" in browser.run('all("#endpoints a").map(link => link.getAttribute("href"))'), "a parameter")
    options = browser.run('[...$("#endpoints select[name=histogram_buckets]").options].map(option => option.value)')
    check(options == ["", "cumulative", "disjoint", "detailed", "summary"], options)

    step("a destructive POST is confirmed")
    browser.click('button("/drain_listeners").closest("li").querySelector("summary")')
    browser.click('$("#endpoints input[name=graceful]")')
    browser.answer_dialogs = False
    browser.click('button("/drain_listeners")')
    # The browser tells of its dialog when it gets to it.
    for _ in range(400):
        if browser.dialogs:
            break
        browser.run("new Promise(done => setTimeout(done, 50))")
    check(len(browser.dialogs) == 1 and not asked, "refused")
    browser.answer_dialogs = True
    browser.click('button("/drain_listeners")')
    browser.wait('answer("/drain_listeners") === "OK"')
    check(len(browser.dialogs) == 2 and asked == ["/drain_listeners?graceful"], asked)

    step("log level")
    browser.wait('text("#level-now") === "now info" && $("#level-select").value === "info"')
    browser.run('$("#level-select").value = "debug"')
    browser.click('$("#level button")')
    browser.wait('text("#level-now") === "now debug"')
    no_complaints()

    step("an endpoint that is not there")
    browser.fixtures["GET", "/clusters"] = reply(404, "invalid path.")
    start()
    browser.wait('row("clusters", "up")')
    check(not browser.run('$("#clusters-message").hidden'), "the message")
    browser.wait("past.length >= 2")
    no_complaints(allowed=["status of 404"])
    browser.call("Fetch.disable")


with Chromium() as browser:
    browser.settings(1280, 900)
    start()
    live_numbers()
    no_complaints()
    clusters_and_listeners()
    statistics()
    posts()
    pause()
    silence()
    phone()
    no_complaints()
    envoys_answers()
