#!/usr/bin/python3
"""The tutorial, command by command as it stands in docs/TUTORIAL.md, in one shell and an empty folder.
Each line of an answer that the page shows must be there, in this order; a command ends with exit code
0 unless its line says otherwise.

    tutorial_e2e.py
"""
import pathlib
import re
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))
from harness import *  # noqa: E402,F403

suite = Suite("tutorial")
PAGE = ROOT / "docs" / "TUTORIAL.md"
END = "--end-of-command-%d--"


def commands():
    """(line, command, exit code, lines of the answer)"""
    out, inside, heredoc = [], False, None
    for number, line in enumerate(PAGE.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```"):
            inside = line == "```console"
        elif heredoc is not None:
            out[-1][1] += "\n" + line
            heredoc = None if line == heredoc else heredoc
        elif inside and line.startswith("$ "):
            wanted = re.search(r"\s+# exit (\d)$", line)
            out.append([number, line[2:wanted.start() if wanted else None],
                        int(wanted.group(1)) if wanted else 0, []])
            here = re.search(r"<<'(\w+)'", line)
            heredoc = here.group(1) if here else None
        elif inside:
            out[-1][3].append(line)
    return out


@suite.check("every command of the page does what the page says")
def _(env):
    folder = env.folder("desk")
    binaries = env.folder("bin")
    os.symlink(os.path.abspath(env.domicile), os.path.join(binaries, "domicile"))
    shell = subprocess.Popen(
        ["bash", "--noprofile", "--norc"], cwd=folder, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env={"PATH": binaries + ":/usr/bin:/bin", "CLONE": str(ROOT), "HOME": folder,
             "LC_ALL": "C.UTF-8"})
    try:
        done = 0
        for number, command, code, answer in commands():
            shell.stdin.write("%s\necho \"%s $?\"\n" % (command, END % number))
            shell.stdin.flush()
            got = []
            while True:
                line = shell.stdout.readline()
                true(line != "", "line %d: the shell ended: %s" % (number, got))
                if line.startswith(END % number):
                    break
                got.append(line.rstrip("\n"))
            equal(int(line.split()[-1]), code, "exit code of line %d (%s)" % (number, got))
            at = 0
            for want in answer:
                while at < len(got) and want not in got[at]:
                    at += 1
                true(at < len(got), "line %d: no \"%s\" in %s" % (number, want, got))
            done += 1
        true(done > 25, "only %d commands" % done)
        shell.stdin.close()
        equal(shell.wait(timeout=60), 0, "exit code of the shell")
    finally:
        if shell.poll() is None:
            os.killpg(shell.pid, signal.SIGKILL)  # its own session: the shell and its router
            shell.wait()
        shell.stdout.close()


if __name__ == "__main__":
    suite.main()
