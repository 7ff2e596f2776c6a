#!/usr/bin/env python3
"""cache.py TW: the kernel cache on disk is shared by processes, distrusted, and never needed."""
import os
import shutil
import subprocess
import sys
import tempfile

checks = failures = 0
TW = BUILT = os.path.abspath(sys.argv[1])
HEADER = 48  # src/codegen/host/cache.c
GRAPHS = [f"""%0 = input : f32[{n}, 8]
%1 = {op} %0 : f32[{n}, 8]
%2 = softmax %1 {{axis=-1}} : f32[{n}, 8]
%3 = sum %2 {{axes=[0], keepdim=false}} : f32[8]
output %3
""" for n, op in ((2, "exp"), (3, "tanh"))]


def expect(what, holds, said=""):
    global checks, failures
    checks += 1
    if not holds:
        failures += 1
        print(f"FAILED: {what}\n{said[-1500:]}")


def environment(cache, **more):
    """None takes a variable away. Only the host's kernels are cached, so no other back end may be asked for."""
    env = {**os.environ, "TW_BACKEND": None, "TW_CACHE": "1", "TW_CACHE_DIR": cache, "TW_LOG": "cache", **more}
    return {k: v for k, v in env.items() if v is not None}


def start(graph, cache, **settings):
    env = environment(cache, **settings.pop("env", {}))
    return subprocess.Popen([TW, "run", graph], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", env=env, **settings)


def run(graph, cache, **settings):
    p = start(graph, cache, **settings)
    out, said = p.communicate(timeout=120)
    return p.returncode, out, said


def entries(cache):
    return sorted(e for e in os.listdir(cache) if e.endswith(".o"))


def read(path):
    with open(path, "rb") as f:
        return f.read()


def write(path, content):
    with open(path, "wb") as f:
        f.write(content)


def filled_by_several(graphs, right, folder):
    for attempt in range(5):
        cache = f"{folder}/shared{attempt}"
        running = [(g, start(graphs[g], cache)) for g in (0, 0, 0, 1, 1, 0)]
        for g, p in running:
            out, said = p.communicate(timeout=120)
            expect("processes that fill one cache at once", p.returncode == 0 and out == right[g] and "not cached" not in said, said)
        expect("nothing else is left in the cache", len(entries(cache)) == len(os.listdir(cache)))
        for g in (0, 1):
            code, out, said = run(graphs[g], cache)
            expect("what they left is whole", code == 0 and out == right[g] and "serves a kernel" in said and "keeps" not in said and "good entry" not in said, said)


def distrusted(graphs, right, folder):
    cache, other = f"{folder}/cache", f"{folder}/other"
    run(graphs[0], cache)
    run(graphs[1], other)
    names = entries(cache)
    expect("there are entries", bool(names))
    name = f"{cache}/{names[0]}"
    whole = read(name)
    foreign = read(f"{other}/{[e for e in entries(other) if e not in names][0]}")
    step = max(1, (len(whole) - HEADER) // 24)
    places = list(range(0, HEADER, 3)) + list(range(HEADER, len(whole), step)) + [len(whole) - 1]
    bad = [("a flipped byte", whole[:i] + bytes([whole[i] ^ 0x40]) + whole[i + 1:]) for i in places]
    bad += [("cut off", whole[:i]) for i in [0, 1, 8, HEADER - 1, HEADER, HEADER + 1] + places[-8:]]
    bad += [("longer", whole + b"\0"), ("another version", b"TWOBJ00\0" + whole[8:]), ("another program's, machine's or compiler's entry", foreign),
            ("another program's object", whole[:HEADER] + foreign[HEADER:]), ("a large length", whole[:24] + b"\xff" * 8 + whole[32:]), ("text", b"hello\n" * 100)]
    for what, content in bad:
        expect(f"{what}: it is another entry", content != whole)
        write(name, content)
        code, out, said = run(graphs[0], cache)
        expect(f"an entry that is {what} is compiled again", code == 0 and out == right[0] and f"{name} is not a good entry" in said and "keeps a new kernel" in said, said)
        expect(f"an entry that is {what} is replaced", read(name) == whole)
    os.unlink(name)
    os.mkdir(name)
    code, out, said = run(graphs[0], cache)
    expect("a folder in place of an entry", code == 0 and out == right[0] and "not cached" in said, said)


def never_needed(graphs, right, folder):
    nobody = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    write(f"{folder}/file", b"")
    os.mkdir(f"{folder}/locked", 0o555)
    os.mkdir(f"{folder}/home", 0o555)
    for what, cache, env in (("a file in place of the folder", f"{folder}/file", {}), ("a folder below a file", f"{folder}/file/x", {}),
                             ("a read-only folder", f"{folder}/locked", {}), ("a missing folder in a read-only one", f"{folder}/locked/x", {}),
                             ("no such device", "/proc/nothing/x", {}), ("a very long name", folder + "/x" * 3000, {}),
                             ("a read-only home", None, {"HOME": f"{folder}/home", "XDG_CACHE_HOME": None, "TW_CACHE_DIR": None}),
                             ("no home", None, {"HOME": None, "XDG_CACHE_HOME": None, "TW_CACHE_DIR": None}),
                             ("a home that isn't there", None, {"HOME": "/nowhere", "XDG_CACHE_HOME": None, "TW_CACHE_DIR": None}),
                             ("a temporary folder that isn't there", f"{folder}/file/x", {"TMPDIR": "/nowhere"})):
        code, out, said = run(graphs[0], cache or "", env=env, **nobody)
        expect(f"{what} costs the cache only", code == 0 and out == right[0] and "not cached: " in said, said)
    if os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode == 0:
        os.mkdir(f"{folder}/mounted")
        for what, options in (("read-only", "ro"), ("full", "size=4k"), ("one from which nothing can be executed", "noexec")):
            command = f"mount -t tmpfs -o {options} none {folder}/mounted && exec {BUILT} run {graphs[0]}"
            done = subprocess.run(["unshare", "-m", "sh", "-c", command], capture_output=True, text=True, errors="replace", check=False,
                                  env=environment(f"{folder}/mounted/x", TMPDIR=f"{folder}/mounted"))
            told = "keeps a new kernel" if options == "noexec" else "not cached: "
            expect(f"a file system that is {what} costs the cache at most", done.returncode == 0 and done.stdout == right[0] and told in done.stderr,
                   done.stdout + done.stderr)
    else:
        print("no file system can be mounted: folders that can't be written to stand for it")


def main():
    global TW
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        TW = shutil.copy(BUILT, folder)  # where another user reaches it, too
        graphs = []
        for i, text in enumerate(GRAPHS):
            graphs.append(f"{folder}/graph{i}.tw")
            write(graphs[-1], text.encode())
        right = [subprocess.run([TW, "run", g], capture_output=True, text=True, check=True, env=environment("", TW_CACHE="0")).stdout for g in graphs]
        expect("graphs give different results", len(set(right)) == len(GRAPHS))
        filled_by_several(graphs, right, folder)
        distrusted(graphs, right, folder)
        never_needed(graphs, right, folder)
        os.chmod(f"{folder}/locked", 0o755)
        os.chmod(f"{folder}/home", 0o755)
    print(f"# checks: {checks - failures}")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
