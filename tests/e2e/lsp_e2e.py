#!/usr/bin/python3
"""The language server as an editor meets it: over its pipes, message by message.

    lsp_e2e.py [PART OF A CHECK'S NAME]
"""
import pathlib
import select
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))
from harness import *  # noqa: E402,F403

suite = Suite("lsp")
URI = "file:///home/anna/policy.cfg"
TEXT = POLICY.read_text(encoding="utf-8")


def frame(body):
    raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    return b"Content-Length: %d\r\n\r\n%s" % (len(raw), raw)


class Editor:
    """An editor's end of the pipes. It never waits for ever."""

    def __init__(self, env, encodings=None):
        self.server = subprocess.Popen([env.domicile, "policy", "lsp"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
        self.buffer = b""
        self.number = 0
        self.notified = []
        if encodings is not False:
            general = {} if encodings is None else {"general": {"positionEncodings": encodings}}
            self.capabilities = self.ask("initialize", processId=None, rootUri=None,
                                         capabilities=general)["capabilities"]
            self.tell("initialized")

    def send(self, raw):
        self.server.stdin.write(raw)

    def _more(self):
        ready, _, _ = select.select([self.server.stdout], [], [], 20)
        true(ready, "the server says nothing")
        got = os.read(self.server.stdout.fileno(), 1 << 16)
        true(got != b"", "the server closed its end")
        self.buffer += got

    def receive(self):
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, _, rest = self.buffer.partition(b"\r\n\r\n")
        size = int(dict(line.split(b": ") for line in head.split(b"\r\n"))[b"Content-Length"])
        self.buffer = rest
        while len(self.buffer) < size:
            self._more()
        body, self.buffer = self.buffer[:size], self.buffer[size:]
        message = json.loads(body)
        equal(message["jsonrpc"], "2.0", "jsonrpc")
        return message

    def answer(self, number):
        while True:
            message = self.receive()
            if message.get("id") == number and "method" not in message:
                return message
            self.notified.append(message)

    def ask(self, method, **params):
        self.number += 1
        self.send(frame({"jsonrpc": "2.0", "id": self.number, "method": method, "params": params}))
        message = self.answer(self.number)
        if "error" in message:
            raise AssertionError("error %s" % message["error"])
        return message["result"]

    def fails(self, code, method, **params):
        self.number += 1
        self.send(frame({"jsonrpc": "2.0", "id": self.number, "method": method, "params": params}))
        equal(self.answer(self.number)["error"]["code"], code, "error of " + method)

    def tell(self, method, **params):
        self.send(frame({"jsonrpc": "2.0", "method": method, "params": params}))

    def diagnostics(self):
        while True:
            message = self.notified.pop(0) if self.notified else self.receive()
            if message.get("method") == "textDocument/publishDiagnostics":
                return message["params"]["diagnostics"]

    def open(self, text, uri=URI):
        self.tell("textDocument/didOpen", textDocument={"uri": uri, "languageId": "libconfig",
                                                        "version": 1, "text": text})
        return self.diagnostics()

    def change(self, text, uri=URI):
        self.tell("textDocument/didChange", textDocument={"uri": uri, "version": 2},
                  contentChanges=[{"text": text}])
        return self.diagnostics()

    def at(self, method, text, where, offset=0, uri=URI):
        """The answer for the place `where` begins in the text, `offset` characters on."""
        index = text.index(where) + offset
        line = text.count("\n", 0, index)
        character = index - (text.rfind("\n", 0, index) + 1)
        return self.ask("textDocument/" + method, textDocument={"uri": uri},
                        position={"line": line, "character": character})

    def end(self):
        self.server.stdin.close()
        code = self.server.wait(timeout=20)
        self.server.stdout.close()
        self.server.stderr.close()
        return code

    def leave(self):
        self.ask("shutdown")
        self.tell("exit")
        equal(self.end(), 0, "exit code")


def line_of(text, where):
    return text.count("\n", 0, text.index(where))


@suite.check("what check says of a file is what the editor is told, place by place")
def _(env):
    path = os.path.join(env.scratch, "errors.cfg")
    shutil.copy(ROOT / "tests" / "policy" / "data" / "twenty_errors.cfg", path)
    text = pathlib.Path(path).read_text(encoding="utf-8")
    checked = json.loads(env.run("policy", "check", path, "--format", "json").stdout)
    editor = Editor(env, ["utf-8", "utf-16"])
    equal(editor.capabilities["positionEncoding"], "utf-8", "positionEncoding")
    told = editor.open(text)
    equal([(d["code"], d["range"]["start"]["line"] + 1, d["range"]["start"]["character"] + 1)
           for d in told], [(f["code"], f["line"], f["column"]) for f in checked], "diagnostics")
    true(len(told) >= 20, "only %d" % len(told))
    equal({d["source"] for d in told}, {"domicile"}, "source")
    equal(told[0]["severity"], 1, "severity of an error")
    editor.leave()


@suite.check("typing: an error comes with the change that makes it and goes with the one that mends it")
def _(env):
    editor = Editor(env)
    before = editor.open(TEXT)
    equal([d for d in before if d["severity"] == 1], [], "errors of the shipped policy")
    broken = TEXT.replace('classes = ("location", "payment"', 'classes = ("locatoin", "payment"')
    errors = [d for d in editor.change(broken) if d["severity"] == 1]
    equal([d["code"] for d in errors], ["P0203"], "codes")
    true('did you mean "location"?' in errors[0]["message"], errors[0]["message"])
    equal(errors[0]["range"]["start"]["line"], line_of(broken, '"locatoin"'), "line")
    cut = editor.change(TEXT[:TEXT.index("rules = (") + 200])
    true(cut[0]["severity"] == 1, "half a file")
    equal(editor.change(TEXT), before, "mended")
    editor.tell("textDocument/didClose", textDocument={"uri": URI})
    equal(editor.diagnostics(), [], "after closing")
    editor.leave()


@suite.check("go to definition: classes, bases, kinds, places, services, purposes, regions, fields")
def _(env):
    editor = Editor(env)
    editor.open(TEXT)
    cases = [('"identifier"); purposes = ("serve");', 1, "\n  identifier = {", 3),
             ('"scc_eu_us";', 1, "\n  scc_eu_us = {", 3),
             ('"open_homes"); classes', 3, "\n  open_homes = (", 3),
             ('"moderation"); services', 1, "\n  moderation = { dpv", 3),
             ('("live-feed", "room-service"); basis', 4, "\n  live-feed = {", 3),
             ('"live_room"; subject', 0, None, 0) if 'live_room"; subject' in TEXT else
             ('"live_room", "user"); ops = ("read", "list");', 1, "\n  live_room = {", 3),
             ('("eu-north-1", "eu-central-1", "eu-west-1"); min', 3, "\n  eu-north-1 = {", 3),
             ('ip = "network"', 7, "\n  network = {", 3),
             ('("china")', 3, "\n  china = (", 3)]
    for use, offset, declared, indent in cases:
        found = editor.at("definition", TEXT, use, offset)
        true(found is not None, "no definition for %s" % use)
        equal(found["uri"], URI, "uri")
        want = line_of(TEXT, declared) + 1
        equal(found["range"]["start"], {"line": want, "character": indent - 1},
              "definition of %s" % use)
    country = editor.at("definition", TEXT, '"SE"; };', 1)
    true(TEXT.split("\n")[country["range"]["start"]["line"]].count('"SE"') > 0, "a country's list")
    for nothing in ("# ", "effect = ", '"GDPR-45"', "version = "):
        equal(editor.at("definition", TEXT, nothing), None, "definition of %r" % nothing)
    editor.leave()


@suite.check("hover tells what a name is, its declaration and how often it is used")
def _(env):
    editor = Editor(env)
    editor.open(TEXT)
    basis = editor.at("hover", TEXT, 'basis = "scc_eu_us"', 10)
    equal(basis["contents"]["kind"], "markdown", "kind")
    text = basis["contents"]["value"]
    true("**legal basis** `scc_eu_us`, used in 2 places" in text, text)
    true('until = "2027-06-30"' in text, "the dates are missing: " + text)
    line = TEXT.split("\n")[basis["range"]["start"]["line"]]
    equal(line[basis["range"]["start"]["character"]:basis["range"]["end"]["character"]],
          '"scc_eu_us"', "range")
    own = editor.at("hover", TEXT, "\n  scc_eu_us = {", 5)["contents"]["value"]
    equal(own, text, "at the declaration")
    country = editor.at("hover", TEXT, 'country = "SE"', 12)["contents"]["value"]
    true("`SE`: Sweden" in country and "jurisdiction `EEA`" in country, country)
    equal(editor.at("hover", TEXT, "# "), None, "hover on a comment")
    editor.leave()


@suite.check("columns are UTF-16 units for editors that do not offer bytes")
def _(env):
    text = TEXT.replace('ref = "(EU) 2021/1772, renewed 2025-12-19";',
                        'ref = "\U0001f30d\u00e9"; form = "2021-06-28";')
    for encodings, width in ((None, 3), (["utf-16"], 3), (["utf-8"], 6)):
        editor = Editor(env, encodings)
        # The unknown key stands behind a character of two units and one of one.
        found = [d for d in editor.open(text) if d["severity"] == 1]
        line = next(l for l in text.split("\n") if "\U0001f30d" in l)
        prefix = line[:line.index("form")]
        want = len(prefix) - 2 + width
        equal(found[0]["range"]["start"]["character"], want, "column with %s" % encodings)
        editor.leave()


@suite.check("messages of the protocol: order, unknown methods, bad ids, no JSON")
def _(env):
    editor = Editor(env, False)
    editor.fails(-32002, "textDocument/hover")
    editor.tell("textDocument/didOpen", textDocument={"uri": URI, "text": "x"})
    editor.ask("initialize", capabilities={})
    editor.fails(-32600, "initialize")
    editor.fails(-32601, "textDocument/completion")
    editor.fails(-32601, "workspace/executeCommand", command="rm")
    editor.tell("$/cancelRequest", id=1)
    editor.tell("no/such/notification")
    editor.send(frame(b"{"))
    equal(editor.receive()["error"]["code"], -32700, "no JSON")
    editor.send(frame({"jsonrpc": "2.0", "id": 5}))
    equal(editor.receive()["error"]["code"], -32600, "no method")
    editor.send(frame({"jsonrpc": "2.0", "id": [1], "method": "shutdown"}))
    equal(editor.receive()["error"]["code"], -32600, "an id that is a list")
    editor.send(frame(b"[" * 100000))
    equal(editor.receive()["error"]["code"], -32700, "nested too deep")
    for position in ({"line": -1, "character": 0}, {"line": 1 << 40, "character": 0}, {}, None):
        editor.ask("textDocument/hover", textDocument={"uri": URI}, position=position)
    editor.open("a = ")
    equal(editor.ask("textDocument/hover", textDocument={"uri": URI},
                     position={"line": 99, "character": 99}), None, "behind the end")
    editor.ask("shutdown")
    editor.fails(-32600, "textDocument/hover")
    editor.tell("exit")
    equal(editor.end(), 0, "exit code")


@suite.check("bytes that are no message end the connection with a word and exit code 1")
def _(env):
    for raw, word in ((b"GET / HTTP/1.1\r\n\r\n", "Content-Length"),
                      (b"Content-Length: -1\r\n\r\n", "Content-Length"),
                      (b"Content-Length: 5x\r\n\r\n", "Content-Length"),
                      (b"Content-Length: 99999999999999999999999\r\n\r\n", "larger"),
                      (b"Content-Length: 4000000000\r\n\r\n", "larger"),
                      (b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", "Content-Length"),
                      (b"Content-Type: x\r\n\r\n{}", "missing"),
                      (b"x" * 10000, "too long")):
        editor = Editor(env)
        editor.send(raw)
        equal(editor.receive()["error"]["code"], -32700, "error for %.40r" % raw)
        said = editor.server.stderr.read().decode()
        true(word in said, said)
        equal(editor.end(), 1, "exit code for %.40r" % raw)


@suite.check("an editor that goes without a word: exit code 1, also in the middle of a message")
def _(env):
    for raw in (b"", b"Content-Le", b"Content-Length: 100\r\n\r\n{"):
        editor = Editor(env)
        editor.send(raw)
        equal(editor.end(), 1, "exit code")
    editor = Editor(env)
    editor.tell("exit")  # without shutdown
    equal(editor.end(), 1, "exit code")


@suite.check("messages in pieces and in heaps come out the same")
def _(env):
    editor = Editor(env)
    before = editor.open(TEXT)
    for byte in frame({"jsonrpc": "2.0", "id": "one by one", "method": "nothing"}):
        editor.send(bytes([byte]))
    equal(editor.answer("one by one")["error"]["code"], -32601, "byte by byte")
    heap = b"".join(frame({"jsonrpc": "2.0", "id": n, "method": "nothing"})
                    for n in range(1000, 1200))
    editor.send(heap)
    for n in range(1000, 1200):
        equal(editor.receive()["id"], n, "order")
    equal(editor.change(TEXT), before, "after the heap")
    editor.leave()


@suite.check("limits: 64 documents, a text over the size of a policy, a test file")
def _(env):
    editor = Editor(env)
    for n in range(64):
        editor.open("x = 1;", "file:///%d.cfg" % n)
    editor.tell("textDocument/didOpen", textDocument={"uri": "file:///more.cfg", "text": "x = 1;"})
    message = editor.receive()
    equal(message["method"], "window/showMessage", "the 65th")
    editor.tell("textDocument/didClose", textDocument={"uri": "file:///0.cfg"})
    editor.diagnostics()
    equal(editor.open("cases = ();", "file:///policy_test.cfg"), [], "a test file")
    huge = editor.change("#" * ((8 << 20) + 1), "file:///1.cfg")
    equal(huge[0]["severity"], 1, "a text over 8 MiB")
    equal(editor.change("#" * (8 << 20), "file:///1.cfg")[0]["severity"], 1, "one of 8 MiB: empty")
    editor.leave()


if __name__ == "__main__":
    suite.main()
