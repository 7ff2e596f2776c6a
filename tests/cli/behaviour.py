#!/usr/bin/env python3
"""behaviour.py TW: how the program refuses, how it is interrupted, and that nothing is lost."""
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time

checks = failures = 0
TW = os.path.abspath(sys.argv[1])
SMALL = ["--layers", "1", "--dim", "32", "--heads", "2", "--context", "16", "--batch", "4"]


def expect(what, holds, done=None):
    global checks, failures
    checks += 1
    if not holds:
        failures += 1
        print(f"FAILED: {what}")
        if done:
            print(f"exit status {done.returncode}\n{done.stdout[-1500:]}{done.stderr[-1500:]}")


def tw(*args, **settings):
    return subprocess.run([TW, *args], capture_output=True, text=True, errors="replace", timeout=600, **settings)


def refused(what, code, start, *args, **settings):
    done = tw(*args, **settings)
    expect(what, done.returncode == code and done.stderr.startswith(start) and done.stderr.count("\n") == 1 and done.stderr.endswith("\n"), done)
    return done


def read(path):
    with open(path, "rb") as f:
        return f.read()


def write(path, content):
    with open(path, "wb") as f:
        f.write(content)


def usage():
    commands = re.findall(r"^  (\w+) ", tw("--help").stdout.split("environment:")[0], re.M)
    expect("--help lists the commands", len(commands) >= 8 and "train" in commands)
    tile = [f"tile {c}" for c in re.findall(r"^  (\w+) ", tw("tile", "--help").stdout, re.M)]
    page = tw("--man").stdout.replace("\\-", "-")
    for command in [c for c in commands if c != "tile"] + tile:
        done = tw(*command.split(), "--help")
        options = re.findall(r"^  (--[\w-]+)", done.stdout, re.M)
        section = page.split(f".SS tw {command}")[1].split(".SS ")[0] if f".SS tw {command}" in page else ""
        expect(f"{command} --help", done.returncode == 0 and done.stdout.startswith(f"usage: tw {command}") and "--help" in options, done)
        expect(f"{command}: the man page has the same options", section and all(f"\\fB{o}\\fR" in section for o in options if o != "--help"))
        wrong = refused(f"{command}: an unknown option", 2, f"tw {command}: unknown option '--nonsense'", *command.split(), "--nonsense")
        expect(f"{command}: nothing on standard output", wrong.stdout == "")
        if len(options) > 1:
            name = options[0]
            refused(f"{command}: the nearest option", 2, f"tw {command}: unknown option '{name}x' (did you mean {name}?)", *command.split(), name + "x")
    refused("the nearest command", 2, "tw: unknown command 'trian' (did you mean train?)", "trian")
    refused("the nearest command of tile", 2, "tw tile: unknown command 'chekc' (did you mean check?)", "tile", "chekc")
    refused("nothing is near", 2, "tw: unknown command 'xyzzy'; tw --help", "xyzzy")
    refused("the start of an option", 2, "tw train: unknown option '--check' (did you mean --checkpoint?)", "train", "--check")
    refused("a value too little", 2, "tw train: --steps needs a value (N)", "train", "--steps")
    refused("a value too much", 2, "tw train: --eager takes no value; '1' was given", "train", "--eager=1")
    refused("no number", 2, "tw train: --steps 'many'; expected a whole number from 0 to", "train", "--steps", "many")
    refused("no size", 2, "tw train: --memory-budget '12Q'; expected a size in bytes", "train", "--memory-budget", "12Q")
    refused("an operand too much", 2, "tw train: unexpected 'book.txt'; it takes options only", "train", "book.txt")
    refused("no text", 2, "tw train: --data FILE is needed", "train")
    refused("no file", 2, "tw run: no FILE given", "run")
    expect("no command", tw().returncode == 2)
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([TW, "ops"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        expect("a full standard output", done.returncode == 1 and done.stderr.startswith("tw: cannot write to standard output: "))


def bad_input(folder):
    text, good = f"{folder}/text", f"{folder}/good"
    write(f"{folder}/empty", b"")
    write(f"{folder}/short", b"abc")
    refused("a missing text", 1, "tw train: cannot open missing: ", "train", "--data", "missing", cwd=folder)
    refused("an empty text", 1, "tw train: empty has 0 bytes; expected at least", "train", "--data", "empty", cwd=folder)
    refused("a short text", 1, "tw train: short has 3 bytes; expected at least", "train", "--data", "short", cwd=folder)
    refused("a folder", 1, "tw train: cannot read .: it is a folder", "train", "--data", ".", cwd=folder)
    refused("sizes that don't fit in memory", 1, "tw train: these sizes need at least", "train", "--data", text, "--dim", "65536", "--layers", "1000", "--heads", "8")
    refused("an impossible model", 1, "tw train: gpt: ", "train", "--data", text, "--dim", "30", "--heads", "4")
    refused("no place for the checkpoint, said first", 1, "tw train: cannot write beside", "train", "--data", text, "--checkpoint", f"{folder}/no/where")
    write(f"{folder}/other", b"ZZZ" + read(text))
    whole = read(good)
    refused("another text's bytes", 1, "tw train: ", "train", "--data", f"{folder}/other", *SMALL, "--resume", good)
    for what, content in (("empty", b""), ("truncated", whole[: len(whole) // 2]), ("short of a byte", whole[:-1]), ("foreign", b"PK\x03\x04" + bytes(200)),
                          ("another format", whole.replace(b"tilewright gpt 1", b"tilewright gpt 9")), ("too many layers", whole.replace(b'"layers":"1"', b'"layers":"9"')),
                          ("no position", whole.replace(b'"step"', b'"slip"')), ("no bytes", whole.replace(b'"bytes"', b'"bites"'))):
        expect(f"the checkpoint's case '{what}' is another file", content != whole)
        write(f"{folder}/bad", content)
        refused(f"a checkpoint that is {what}: train", 1, "tw train: ", "train", "--data", text, "--resume", f"{folder}/bad")
        refused(f"a checkpoint that is {what}: generate", 1, "tw generate: ", "generate", "--checkpoint", f"{folder}/bad")
    refused("a missing checkpoint", 1, "tw generate: cannot open nothing: ", "generate", "--checkpoint", "nothing", cwd=folder)
    refused("an unknown byte in the prompt", 1, "tw generate: the prompt has a byte", "generate", "--checkpoint", good, "--prompt", "\x01")


def full_disk(folder):
    text, good = f"{folder}/text", f"{folder}/good"
    before = read(good)
    names = sorted(os.listdir(folder))
    refused("a folder for the checkpoint", 1, f"tw train: cannot write {folder}: it is a folder", "train", "--data", text, "--checkpoint", folder)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))

    done = tw("train", "--data", text, *SMALL, "--steps", "1", "--checkpoint", good, preexec_fn=limit)
    expect("a full disk", done.returncode == 1 and done.stderr.startswith("tw train: cannot write ") and done.stderr.count("\n") == 1, done)
    expect("a full disk: the old checkpoint stays", read(good) == before)
    expect("a full disk: nothing is left behind", sorted(os.listdir(folder)) == names)
    os.symlink("/dev/full", f"{folder}/full")  # a link, so that a mistake replaces nothing but that
    refused("a full device", 1, f"tw train: cannot write {folder}/full: ", "train", "--data", text, *SMALL, "--steps", "1", "--checkpoint", f"{folder}/full")
    done = tw("explain", *SMALL, "--tsv", "--dot", f"{folder}/full")
    expect("a full device for a graph", done.returncode == 1 and f"tw explain: cannot write {folder}/full: " in done.stderr, done)
    expect("a device is not replaced", os.path.islink(f"{folder}/full"))


def losses(text):
    return dict(re.findall(r"step (\d+)/\d+  loss (\S+  validation \S+)", text))


def interrupt(folder):
    text = f"{folder}/text"
    train = ["train", "--data", text, *SMALL, "--dropout", "0.2", "--eval-every", "1"]
    straight = losses(tw(*train, "--steps", "60").stdout)
    expect("losses are printed", len(straight) == 60)
    for where, extra in ((f"{folder}/kept", ["--checkpoint", f"{folder}/kept"]), (f"{folder}/tw-interrupted.safetensors", []),
                         (f"{folder}/tw-interrupted-2.safetensors", [])):
        run = subprocess.Popen([TW, *train, "--steps", "1000000", *extra], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder)
        lines = []
        for line in run.stdout:
            lines.append(line)
            if line.startswith("step 5/"):
                run.send_signal(signal.SIGINT)
        rest = run.stderr.read()
        said = re.search(r"^interrupted: saved (\S+) after (\d+) steps; go on with --resume \1$", "".join(lines), re.M)
        expect("an interrupt is said", run.wait() == 130 and said and rest == "")
        expect("where it was saved", said and os.path.join(folder, said[1]) == where and os.path.exists(where))
        if not said or int(said[2]) >= 60:
            continue
        done = tw(*train, "--steps", "60", "--resume", where)
        after = losses(done.stdout)
        expect("the steps after it", sorted(map(int, after)) == list(range(int(said[2]) + 1, 61)), done)
        expect("go on as if nothing had been", all(straight[k] == v for k, v in after.items()), done)
    run = subprocess.Popen([TW, *train, "--steps", "5", "--compare", "--checkpoint", f"{folder}/early"], stdout=subprocess.PIPE, text=True)
    run.stdout.readline()
    time.sleep(0.1)
    run.send_signal(signal.SIGINT)
    run.stdout.read()
    expect("an interrupt while comparing", run.wait() == 130 and os.path.exists(f"{folder}/early"))


def compare(folder):
    done = tw("train", "--data", f"{folder}/text", "--steps", "0", "--compare")
    stated = re.search(r"before the first compiled step: it will need (\S+) MB", done.stdout)
    measured = re.search(r"^compiled +(\S+) +(\S+) +(\S+) MB \(stated (\S+) MB", done.stdout, re.M)
    rows = re.findall(r"^ +(\d+) +(\S+) +(\S+) +(\S+)$", done.stdout, re.M)
    separate = re.search(r"^one by one +(\S+) +(\S+) +(\S+) MB", done.stdout, re.M)
    expect("the peak is stated before and measured", done.returncode == 0 and stated and measured and stated[1] == measured[4], done)
    expect("within 5 %", abs(float(measured[3]) / float(stated[1]) - 1) < 0.05, done)
    expect("no more than 0.7 of operation by operation", float(measured[3]) <= 0.7 * float(separate[3]), done)
    expect("losses agree at each of 8 steps", len(rows) == 8 and all(abs(float(a) - float(b)) < 1e-3 for _, a, b, _ in rows), done)
    expect("what was fused", re.search(r"attention: \d+ operations in one kernel, run 4 times a step", done.stdout), done)
    done = tw("train", "--data", f"{folder}/text", "--steps", "0", "--compare", "--memory-budget", "20M")
    less = re.search(r"^compiled +(\S+) +(\S+) +(\S+) MB", done.stdout, re.M)
    expect("a budget takes less memory", less and float(less[3]) < 0.97 * float(measured[3]), done)


def main():
    with tempfile.TemporaryDirectory() as folder:
        words = b"the quick brown fox jumps over the lazy dog and runs away from all of it; "
        write(f"{folder}/text", b"".join(words[i % 31:] + words for i in range(300)))
        done = tw("train", "--data", f"{folder}/text", *SMALL, "--steps", "3", "--checkpoint", f"{folder}/good")
        expect("a checkpoint is saved", done.returncode == 0 and "saved" in done.stdout, done)
        expect("it generates", len(tw("generate", "--checkpoint", f"{folder}/good", "--tokens", "20", "--prompt", "the ").stdout) == 25)
        usage()
        bad_input(folder)
        full_disk(folder)
        interrupt(folder)
        compare(folder)
    print(f"# checks: {checks}")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
