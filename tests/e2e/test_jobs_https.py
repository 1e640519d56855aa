"""test_jobs_https.py - webhooks behind https: whom the server trusts, whom it shows itself to, and what a hook that hangs or lies costs.

Hooks are Python's ssl with certificates made here. A hook that is not to be trusted gets nothing; why stands in the log.
"""
import socket, threading, time
import pytest
from conftest import logged, run_proa, until
from test_https import python_tls
from test_jobs import Hook, jobs, submit, tiny   # noqa: F401 (a fixture)
from test_tls import pki                                # noqa: F401 (a fixture)

@pytest.fixture
def secure_hook(pki):   # noqa: F811
    """secure_hook(*answers, server=, client_ca=): a webhook at https://localhost:PORT."""
    made = []

    def make(*answers, server="server", client_ca=None):
        h = Hook(answers or (200,))
        context = python_tls(pki, client_ca=client_ca)
        context.load_cert_chain(pki.path(f"{server}.pem"), pki.path(f"{server}.key"))
        # Each connection shakes hands on its own thread: one that is refused must not end the listener.
        h.server.socket = context.wrap_socket(h.server.socket, server_side=True, do_handshake_on_connect=False)
        h.host = f"localhost:{h.server.server_port}"
        made.append(h)
        return h
    yield make
    for h in made:
        h.server.end()


def ask(server, host, path="/", i=1):
    return submit(server, "/v2/models/tiny/infer", tiny(i), **{"Proa-Webhook": f"https://{host}{path}"}).headers["location"]


def hook_of(server, where):
    return server.get(where).json().get("webhook")


def trusts(pki, *more):   # noqa: F811
    return ["--webhook-hosts", "*", "--webhook-cacert", pki.path("ca.pem"), *more]


def test_a_hook_behind_https_is_told(jobs, pki, hook_plain, secure_hook):   # noqa: F811
    shown = ["--webhook-cert", pki.path("client.pem"), "--webhook-key", pki.path("client.key")]
    for where, how, env in ((secure_hook(), trusts(pki), {}), (secure_hook(client_ca="ca.pem"), trusts(pki, *shown), {}),
                            (secure_hook(), ["--webhook-hosts", "*"], {"SSL_CERT_FILE": pki.path("ca.pem")}),
                            (secure_hook(server="elsewhere"), ["--webhook-hosts", "*", "--webhook-insecure"], {})):
        server = jobs(*how, env=env)
        at = ask(server, where.host, "/told?a=b")
        until(lambda: hook_of(server, at) == "delivered", what=str(how))
        assert [g[0] for g in where.got] == ["/told?a=b"] and where.got[0][1]["ce-jobstatus"] == "200"
        # A hook without TLS is told beside it, whatever is trusted behind https.
        plain = submit(server, "/v2/models/tiny/infer", tiny(2), **{"Proa-Webhook": f"http://{hook_plain.host}/"}).headers["location"]
        until(lambda: hook_of(server, plain) == "delivered")
        assert server.stop() == 0
        assert ("jobs: webhook-insecure: whoever answers" in server.log()) == ("--webhook-insecure" in how)


@pytest.fixture
def hook_plain():
    h = Hook((200,))
    yield h
    h.server.end()


def test_a_hook_that_is_not_to_be_trusted_is_told_nothing(jobs, pki, secure_hook):   # noqa: F811
    rows = [(secure_hook(server="stranger"), "certificate: expected one of an authority in"),
            (secure_hook(server="expired"), "certificate: expected one that is in force, got one that expired"),
            (secure_hook(server="elsewhere"), "certificate: expected one for 'localhost'"),
            (secure_hook(client_ca="ca.pem"), "TLS: expected the server to take our certificate, got its alert 'certificate required'")]
    server = jobs(*trusts(pki))
    at = [ask(server, h.host) for h, _ in rows]
    for (h, text), where in zip(rows, at):
        line = until(lambda: next((x for x in server.log().splitlines() if where.split("/")[-1] in x), None))
        assert "webhook told again later: " in line and text in line, line
        assert h.got == [] and hook_of(server, where) == "waiting"
        assert server.get(where + "/result").status == 200      # the answer is there all the same


def test_a_certificate_that_was_renewed_is_taken_the_next_time(jobs, pki, secure_hook):   # noqa: F811
    bad = secure_hook(server="expired")
    server = jobs(*trusts(pki))
    at = ask(server, bad.host)
    logged(server, "webhook told again later: ")
    assert hook_of(server, at) == "waiting" and bad.got == []
    context = bad.server.socket.context
    context.load_cert_chain(pki.path("server.pem"), pki.path("server.key"))     # for the handshakes from now on
    until(lambda: hook_of(server, at) == "delivered")
    assert len(bad.got) == 1


class Mute:
    """Takes connections. "shake": never says a word, so no handshake ends; "drip": one byte of a TLS record each 100 ms."""

    def __init__(self, how):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host, self.how, self.taken = f"localhost:{self.listener.getsockname()[1]}", how, []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                self.taken.append(self.listener.accept()[0])
            except OSError:
                return
            if self.how == "drip":
                threading.Thread(target=self.drip, args=(self.taken[-1],), daemon=True).start()

    def drip(self, s):
        try:
            for b in b"\x16\x03\x03\x40\x00" + bytes(1000):
                s.sendall(bytes([b]))
                time.sleep(0.1)
        except OSError:
            pass

    def close(self):
        self.listener.close()
        for s in self.taken:
            s.close()


@pytest.mark.parametrize("how", ["shake", "drip", "answer"])
def test_a_hook_that_hangs_behind_https_holds_up_nothing(jobs, pki, secure_hook, how):   # noqa: F811
    slow = secure_hook("hang") if how == "answer" else Mute(how)
    good = secure_hook()
    server = jobs(*trusts(pki))
    waits = [ask(server, slow.host, i=i) for i in range(3)]
    until(lambda: len(slow.got if how == "answer" else slow.taken) == 3)
    at = ask(server, good.host)
    until(lambda: hook_of(server, at) == "delivered")
    assert len(slow.got if how == "answer" else slow.taken) == 3, "told although the other hook hangs, not because it was given up"
    assert [hook_of(server, w) for w in waits] == ["waiting"] * 3
    assert server.infer("tiny", [["x", "FP32", [1, 4], [1, 2, 3, 4]]]).status == 200
    server.terminate()
    assert server.wait() == 0
    if how != "answer":
        slow.close()


def test_options_that_do_not_fit_end_the_start(zoo, pki, tmp_path):   # noqa: F811
    base = (f"tiny={zoo['tiny']}", "--port", "0", "--jobs-dir", tmp_path / "jobs")
    rows = [(["--webhook-cacert", "/nowhere.pem"], "webhook-cacert: /nowhere.pem: cannot open: No such file or directory"),
            (["--webhook-cert", pki.path("client.pem")], "proa serve: webhook-cert: expected webhook-key with it, got none"),
            (trusts(pki, "--webhook-insecure"), "proa serve: webhook-insecure: expected one of it and webhook-cacert, got both")]
    for more, text in rows:
        done = run_proa("serve", *base, *more)
        assert done.returncode != 0 and done.stderr.splitlines()[-1].endswith(text), done
