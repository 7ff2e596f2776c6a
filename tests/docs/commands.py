#!/usr/bin/env python3
"""Runs every command in the documents on machines as it is written there, and compares what it prints with what stands under it.

    commands.py BUILD/src/tw [--update]

A command is a line `$ tw ...` in a ```console block; the lines under it are its output, of which `...` may stand for any number in
the middle. --update writes what the commands print now into the documents."""
import re
import shlex
import subprocess
import sys

DOCUMENTS = ["docs/machine-model.md", "docs/machine-tutorial.md", "src/machine/README.md"]
BLOCK = re.compile(r"(^```console\n)(.*?)(^```$)", re.M | re.S)


def run(program, command):
    words = shlex.split(command)
    done = subprocess.run([program] + words[1:], capture_output=True, text=True, timeout=120)
    return [line.rstrip() for line in (done.stdout + done.stderr).rstrip("\n").split("\n")]


def shortened(printed, expected):
    """What was printed, with the middle left out where the document leaves it out."""
    if "..." not in expected:
        return printed
    head, tail = expected.index("..."), len(expected) - expected.index("...") - 1
    return printed[:head] + ["..."] + (printed[-tail:] if tail else [])


def main():
    program, update = sys.argv[1], "--update" in sys.argv
    checks = failed = 0
    for path in DOCUMENTS:
        with open(path, encoding="utf-8") as f:
            text = f.read()

        def block(m):
            nonlocal checks, failed
            out = []
            for part in re.split(r"^(?=\$ )", m.group(2), flags=re.M):
                if not part.startswith("$ tw "):
                    out.append(part)
                    continue
                lines = part.rstrip("\n").split("\n")
                command, expected = lines[0][2:], [line.rstrip() for line in lines[1:]]
                while command.endswith("\\"):
                    command = command[:-1] + expected.pop(0)
                shown = lines[:len(lines) - len(expected)]
                printed = shortened(run(program, command), expected)
                checks += 1
                if printed != expected and not update:
                    failed += 1
                    print(f"{path}: {command}\nprints\n" + "\n".join(printed) + "\nexpected\n" + "\n".join(expected))
                out.append("\n".join(shown + printed) + "\n")
            return m.group(1) + "".join(out) + m.group(3)

        new = BLOCK.sub(block, text)
        if update and new != text:
            with open(path, "w", encoding="utf-8") as f:
                f.write(new)
    print(f"# checks: {checks}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
