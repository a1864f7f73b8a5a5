"""What the toolkit does on an NVIDIA GPU: resumption to the byte, steps beside PyTorch's, CIFAR-10-LT at full length.

    cargo build --release --bins --examples
    python3 benches/gpu.py [resume] [steps] [train] [--cifar ARCHIVE] [--out FOLDER]

Without names all three. Every command and its last line go to FOLDER/gpu.md, the runs of `train` to FOLDER/runs; what fails is
said there, and does not stop the rest. `--minutes` is how long all of it may take. Needs PyTorch with CUDA, for RetinaNet torchvision too;
`TOOLKIT_GPUS=1 cargo test --test gpu` and `-p imbalance-train --test every_head` compare a GPU with the processor.
"""

import argparse
import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TASKS = {
    "vision": ["--largest-class", "400", "--epochs", "4", "--checkpoint-every", "2", "--loss", "eureka"],
    "dialogue": ["--epochs", "4", "--checkpoint-every", "5", "--loss", "eureka", "--defer-epochs", "1"],
    "detection": ["--iterations", "60", "--eval-every", "30", "--checkpoint-every", "5", "--loss", "halted-focal"],
}
# Example and peer, arguments of ours, arguments of PyTorch's: once with the same settings, once with its own layout and precision.
STEPS = [
    ("image_step", ["--channels-last", "--precision", "bfloat16"], ["--channels-last", "--bfloat16", "--fused"]),
    ("image_step", ["--channels-last", "--precision", "bfloat16"], ["--channels-last", "--bfloat16", "--fused", "--compile"]),
    ("image_step", ["--channels-last", "--precision", "float32"], []),
    ("lstm_step", ["--steps", "50"], ["--steps", "50"]),
    ("detection_step", ["--batch", "8", "--repeats", "20"], ["--batch", "8", "--repeats", "20", "--bfloat16", "--channels-last"]),
    ("detection_step", ["--batch", "8", "--repeats", "20", "--precision", "float32"], ["--batch", "8", "--repeats", "20"]),
]
GROUPS = ["all", "many", "medium", "few", "natural"]
EUREKA = ["--loss", "eureka", "--beta", "0.9999", "--bonus-eps", "1e-5"]
LOSSES = {
    "cross-entropy": ["--loss", "cross-entropy"],
    "focal": ["--loss", "focal", "--gamma", "1"],
    "class-balanced-deferred": ["--loss", "class-balanced", "--beta", "0.9999", "--defer-epochs", "160"],
    "ldam-deferred": ["--loss", "ldam", "--beta", "0.9999", "--base-loss", "ldam", "--defer-epochs", "160"],
    "eureka": EUREKA,
    "eureka-deferred": [*EUREKA, "--defer-epochs", "160"],
    "eureka-class-balanced-deferred": [*EUREKA, "--class-balanced=true", "--defer-epochs", "160"],
}


class Log:
    """What was run and said, in a file that is whole at any moment, and on the screen."""

    def __init__(self, folder, minutes):
        self.file = open(folder / "gpu.md", "w", buffering=1)
        self.end = time.monotonic() + 60 * minutes

    def say(self, text):
        print(text, flush=True)
        self.file.write(text + "\n")

    def run(self, command, quiet=False):
        """The last line that `command` printed, or None if it failed."""
        started = time.monotonic()
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=max(1, self.end - started))
        except subprocess.TimeoutExpired:
            return self.say(f"- `{shlex.join(map(str, command))}`: no time left")
        lines = (done.stdout.strip() or done.stderr.strip() or "nothing said").splitlines()
        if done.returncode:
            lines = (done.stderr.strip() or lines[-1]).splitlines()
            return self.say(f"- `{shlex.join(map(str, command))}`: **exit code {done.returncode}**: {' / '.join(lines[-3:])}")
        if not quiet:
            self.say(f"- `{shlex.join(map(str, command))}` ({time.monotonic() - started:.0f} s): {lines[-1]}")
        return lines[-1]


def resume(log, toolkit, scratch, _args):
    """A run killed in the middle and resumed ends with the bytes of one that was not; so does a second one that was not."""
    log.say("\n## Resumption, `--deterministic`\n")
    for task, flags in TASKS.items():
        command = [toolkit, task, *flags, "--device", "cuda", "--deterministic", "--quiet", "--run"]
        whole, again, killed = (scratch / f"{task}-{name}" for name in ("whole", "again", "killed"))
        started = time.monotonic()
        if log.run([*command, whole], quiet=True) is None or log.run([*command, again], quiet=True) is None:
            continue
        took = (time.monotonic() - started) / 2
        kills = 0
        for share in (0.5, 0.4):
            going = subprocess.Popen([*command, killed, *(["--resume"] if kills else [])], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(took * share)
            if going.poll() is None:
                going.send_signal(signal.SIGKILL)
                kills += 1
            going.wait()
        if log.run([*command, killed, "--resume"], quiet=True) is None:
            continue
        files = [path.relative_to(whole) for path in sorted(whole.rglob("*.safetensors")) if path.name != "previous.safetensors"]
        same = lambda a, b: b.exists() and a.read_bytes() == b.read_bytes()
        differ = lambda other: [str(file) for file in files if not same(whole / file, other / file)]
        said = lambda found: f"differ in {', '.join(found)}" if found else "the same bytes"
        log.say(f"- {task}, {took:.0f} s, {len(files)} files: two runs {said(differ(again))}; one killed {kills} times {said(differ(killed))}")


def steps(log, toolkit, _scratch, _args):
    log.say("\n## Steps, the two sides in turn, twice\n")
    for name, ours, theirs in STEPS:
        for _ in range(2):
            log.run([toolkit.parent / "examples" / name, "--device", "cuda", *ours])
            log.run([sys.executable, HERE / "peers" / f"{name}.py", "--device", "cuda", *theirs])


def train(log, toolkit, scratch, args):
    """All losses at once: a step of ResNet-32 leaves most of a large GPU idle."""
    if not args.cifar:
        return log.say("\n## CIFAR-10-LT: no --cifar given")
    log.say(f"\n## CIFAR-10-LT at ratio {args.ratio}, recipe {args.recipe}, all at once\n")
    log.say(f"| loss | {' | '.join(GROUPS)} | steps | training |\n|{'---|' * (len(GROUPS) + 3)}")
    going = {}
    for name, flags in LOSSES.items():
        if args.only and name not in args.only:
            continue
        run = args.out / "runs" / f"{name}-{args.ratio}-{args.seed}"
        command = [toolkit, "vision", "--recipe", args.recipe, "--data", args.cifar, "--imbalance-ratio", args.ratio, *flags]
        command += ["--seed", args.seed, "--device", "cuda", "--threads", args.threads, "--run", run]
        command += ["--resume"] if run.exists() else []
        said = open(scratch / f"{name}.txt", "w+")
        going[name] = (run, said, subprocess.Popen(list(map(str, command)), stdout=said, stderr=said))
    for name, (run, said, process) in going.items():
        try:
            code = process.wait(max(1, log.end - time.monotonic()))
        except subprocess.TimeoutExpired:
            # It stops after a step, with a checkpoint.
            process.send_signal(signal.SIGTERM)
            code = process.wait()
        said.seek(0)
        results = run / "results.json"
        if code or not results.exists():
            log.say(f"| {name}: not finished (exit code {code}): {' / '.join(said.read().splitlines()[-2:])} |")
            continue
        found = json.loads(results.read_text())
        scores = " | ".join(f"{found['scores'][group]:.2f}" for group in GROUPS)
        log.say(f"| {name} | {scores} | {found['training']['steps']} | {found['training']['seconds']:.0f} s |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    stages = {stage.__name__: stage for stage in (resume, steps, train)}
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=", ".join(stages))
    parser.add_argument("--programs", type=pathlib.Path, default=HERE.parent / "target/release", help="where cargo put them")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/gpu"))
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--cifar", help="CIFAR-10 (binary version), archive or folder")
    parser.add_argument("--recipe", default="cifar-10-lt")
    parser.add_argument("--ratio", default="100")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--threads", default="2", help="of each of the trainings")
    parser.add_argument("--only", action="append", choices=LOSSES, help="this loss; may be repeated")
    args = parser.parse_args()
    unknown = set(args.stages) - set(stages)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: must be of {', '.join(stages)}")
    toolkit = args.programs.resolve() / "toolkit"
    if not toolkit.exists():
        parser.error(f"--programs {args.programs}: has no toolkit; `cargo build --release --bins --examples` makes it")
    import torch

    # The programs and PyTorch share one libtorch.
    libraries = str(pathlib.Path(torch.__file__).parent / "lib")
    os.environ["LD_LIBRARY_PATH"] = ":".join(filter(None, [libraries, os.environ.get("LD_LIBRARY_PATH")]))
    args.out.mkdir(parents=True, exist_ok=True)
    log = Log(args.out, args.minutes)
    if not torch.cuda.is_available():
        sys.exit("PyTorch finds no GPU that it can use")
    log.say(f"# {torch.cuda.get_device_name()}, PyTorch {torch.__version__}, {time.strftime('%Y-%m-%d %H:%M')}")
    with tempfile.TemporaryDirectory() as scratch:
        for name in args.stages or stages:
            stages[name](log, toolkit, pathlib.Path(scratch), args)


if __name__ == "__main__":
    main()
