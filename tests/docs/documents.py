#!/usr/bin/env python3
"""Compiles and runs every C program in the documents as it is written there, and compares what it prints with the block after it.

    documents.py BUILD/src/tw

A program is a ```c block with a main. A ```text block that follows is all that it prints. Links to files must lead somewhere, and
docs/operators.md must be what the tables of operations say (`make docs`)."""
import glob
import os
import re
import subprocess
import sys
import tempfile

PROGRAM = re.compile(r"^```c\n(.*?^int main\(.*?)^```\n(?:(?!```)[^\n]*\n)*(?:^```text\n(.*?)^```\n)?", re.M | re.S)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def run(code, build):
    with tempfile.TemporaryDirectory() as folder:
        source, program = os.path.join(folder, "program.c"), os.path.join(folder, "program")
        with open(source, "w", encoding="utf-8") as f:
            f.write(code)
        library = os.path.join(build, "src")
        subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-Iinclude", f"-I{build}/generated", source, "-o", program, f"-L{library}",
                        "-ltilewright", f"-Wl,-rpath,{os.path.abspath(library)}", *os.environ.get("TEST_CFLAGS", "").split()], check=True)
        return subprocess.run([program], check=True, capture_output=True, text=True, timeout=300).stdout


def main():
    build = os.path.dirname(os.path.dirname(sys.argv[1]))
    checks = failed = programs = 0
    for path in sorted(["README.md"] + glob.glob("docs/*.md") + glob.glob("src/**/README.md", recursive=True)):
        with open(path, encoding="utf-8") as f:
            text = f.read()
        for link in LINK.findall(text):
            checks += 1
            if not os.path.exists(os.path.join(os.path.dirname(path), link)):
                print(f"{path}: the link to {link} leads nowhere")
                failed += 1
        for code, want in PROGRAM.findall(text):
            programs += 1
            checks += 1
            printed = run(code, build)
            if want and printed != want:
                print(f"{path}: a program prints\n{printed}expected\n{want}")
                failed += 1
    checks += 1
    with open("docs/operators.md", encoding="utf-8") as page, open(os.path.join(build, "generated/operators.md"), encoding="utf-8") as tables:
        if page.read() != tables.read():
            print("docs/operators.md is not what the tables of operations say; make docs renews it")
            failed += 1
    if not programs:
        print("no program found in the documents")
        failed += 1
    print(f"# checks: {checks}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
