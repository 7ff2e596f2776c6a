#!/usr/bin/env python3
"""install.py BUILD/src/tw: `make install` into a folder of its own, then the program of README.md compiled and run against what is there,
found by pkg-config alone; every public header by itself; the program and its man page."""
import glob
import os
import subprocess
import sys
import tempfile

import documents

PREFIX = "/usr/local"  # the default: another would build all again
checks = failures = 0


def expect(what, holds, text=""):
    global checks, failures
    checks += 1
    if not holds:
        failures += 1
        print(f"FAILED: {what}\n{text}")


def run(*command, **settings):
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **settings)


def main():
    build = os.path.dirname(os.path.dirname(sys.argv[1]))
    alone = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    with tempfile.TemporaryDirectory() as folder:
        root = folder + PREFIX
        done = run("make", "install", f"BUILD={build}", f"PREFIX={PREFIX}", f"DESTDIR={folder}", env=alone)
        expect("make install", done.returncode == 0, done.stdout + done.stderr)
        expect("nothing outside of the prefix", os.listdir(folder) == ["usr"] and os.listdir(folder + "/usr") == ["local"])
        pkgconfig = root + "/lib/pkgconfig"
        where = dict(os.environ, PKG_CONFIG_PATH=pkgconfig, PKG_CONFIG_SYSROOT_DIR=folder)
        flags = run("pkg-config", "--cflags", "--libs", "tilewright", env=where).stdout.split()
        expect("pkg-config knows the prefix", f"-I{root}/include" in flags and "-ltilewright" in flags, str(flags))
        with open("README.md", encoding="utf-8") as f:
            code, want = documents.PROGRAM.search(f.read()).groups()
        with open(f"{folder}/program.c", "w", encoding="utf-8") as f:
            f.write(code)
        done = run("cc", "-Wall", "-Wextra", "-Werror", f"{folder}/program.c", "-o", f"{folder}/program", *flags, *os.environ.get("TEST_CFLAGS", "").split())
        expect("the program of README.md compiles", done.returncode == 0, done.stderr)
        done = run(f"{folder}/program", env=dict(os.environ, LD_LIBRARY_PATH=os.path.dirname(pkgconfig)))
        expect("and prints what is written there", done.stdout == want, done.stdout + done.stderr)
        headers = sorted(os.path.relpath(h, root + "/include") for h in glob.glob(root + "/include/tilewright/*.h"))
        expect("all headers are there", {os.path.basename(h) for h in glob.glob("include/tilewright/*.h")} | {"ops.h", "places.h"} ==
               {os.path.basename(h) for h in headers}, str(headers))
        for header in headers:
            done = run("cc", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", f"-I{root}/include", "-include", header, "-x", "c", "/dev/null")
            expect(f"{header} needs nothing before it", done.returncode == 0, done.stderr)
        expect("tw runs", run(f"{root}/bin/tw", "--version").stdout.startswith("tw 0."))
        with open(f"{root}/share/man/man1/tw.1", encoding="utf-8") as f:
            page = f.read()
        expect("the man page has every command's options", all(w in page for w in ("\\-\\-memory\\-budget", "\\-\\-trace", ".SS tw tile check", "EXIT STATUS")))
    print(f"# checks: {checks}")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
