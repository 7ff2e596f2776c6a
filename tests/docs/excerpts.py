#!/usr/bin/env python3
"""Checks that what the documents say was printed is what is printed.

    excerpts.py BUILD/src/tw [DOCUMENT...]

In a document, a comment in front of a block says what the block is:

    <!-- file NAME -->              the block is a file; NAME.c is compiled to NAME
    <!-- printed by COMMAND -->     lines of what COMMAND prints, in the folder of those files; `tw` is the program

A line that is only … stands for any lines, … within a line for any part of it. "on vectors of N bytes" behind a command: elsewhere
the block is not looked at."""
import glob
import os
import re
import subprocess
import sys
import tempfile

MARKED = re.compile(r"^<!-- (file|printed by) (.*?) -->\n+```\w*\n(.*?)^```$", re.M | re.S)


def pattern(block):
    """The block as a regular expression over whole lines."""
    parts = []
    for line in block.rstrip("\n").split("\n"):
        parts.append(r"(?:.*\n)*?" if line.strip() == "…" else ".*".join(re.escape(p) for p in line.rstrip().split("…")) + r"[ \t]*\n")
    return re.compile("^" + "".join(parts), re.M)


def compile_program(build, folder, name):
    library = os.path.abspath(os.path.join(build, "src"))
    subprocess.run(["cc", "-Iinclude", f"-I{build}/generated", os.path.join(folder, name), "-o", os.path.join(folder, name[:-2]), f"-L{library}",
                    "-ltilewright", f"-Wl,-rpath,{library}", *os.environ.get("TEST_CFLAGS", "").split()], check=True)


def main():
    tw = os.path.abspath(sys.argv[1])
    build = os.path.dirname(os.path.dirname(sys.argv[1]))
    environment = dict(os.environ, PATH=os.path.dirname(tw) + ":" + os.environ["PATH"], TW_THREADS="1", TW_CACHE="0", TW_BACKGROUND="0")
    vectors = re.search(r"vectors of (\d+) bytes", subprocess.run([tw, "devices"], capture_output=True, text=True).stdout).group(1)
    checks = failed = 0
    for path in sys.argv[2:] or sorted(glob.glob("docs/*.md")):
        printed = {}
        with tempfile.TemporaryDirectory() as folder, open(path, encoding="utf-8") as f:
            for kind, what, block in MARKED.findall(f.read()):
                if kind == "file":
                    with open(os.path.join(folder, what), "w", encoding="utf-8") as out:
                        out.write(block)
                    if what.endswith(".c"):
                        compile_program(build, folder, what)
                    continue
                command, _, only = what.partition(" on vectors of ")
                if only and only.split()[0] != vectors:
                    continue
                if command not in printed:
                    done = subprocess.run(command, shell=True, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                          text=True, timeout=300)
                    printed[command] = done.stdout
                checks += 1
                if not pattern(block).search(printed[command]):
                    print(f"{path}: not what {command} prints:\n{block}it prints\n{printed[command][-4000:]}")
                    failed += 1
    print(f"# checks: {checks}")
    sys.exit(failed > 0 or checks == 0)


if __name__ == "__main__":
    main()
