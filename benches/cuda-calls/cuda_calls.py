"""What a program asks of a GPU a step: kernels, library calls, copies and waits. No GPU is needed, and nothing is computed.

    python3 benches/cuda-calls/cuda_calls.py --vary --repeats 2 7 --steps 100 -- COMMAND [ARGUMENT]...

Runs COMMAND twice, with `--repeats 2` and with `--repeats 7` behind it, which make a difference of 100 steps here, and prints the
difference of what was counted, per step. `--kernels 20` lists the most frequent kernels. Without --vary COMMAND runs once.

libtorch's own CUDA library runs, with all of its checks; below it stand libraries that are compiled here and take the place of
CUDA's runtime, driver, cuBLAS, cuDNN and NCCL. Kernels do nothing, so the time of a step that COMMAND prints is the host's part: what
it takes to ask for everything. Values are zeros.

Needs a C++ compiler and libtorch with CUDA, where `cargo xtask setup --cuda` or --libtorch has put it. Python programs find its
torch too.
"""

import argparse
import collections
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
# Source, the library whose place it takes, and whether others ask for the library's own version of its symbols.
LIBRARIES = [
    ("cudart.cpp", "cu13/lib/libcudart.so.13", True),
    ("driver.cpp", None, False),
    ("cublaslt.cpp", "cu13/lib/libcublasLt.so.13", True),
    ("cublas.cpp", "cu13/lib/libcublas.so.13", True),
    ("cudnn.cpp", "cudnn/lib/libcudnn.so.9", True),
    ("nccl.cpp", "nccl/lib/libnccl.so.2", False),
]
# What libraries of CUDA's ask of the driver beside what driver.cpp has.
DRIVER_USERS = ["torch/lib/libcaffe2_nvrtc.so", "torch/lib/libtorch_nvshmem.so", "nvidia/cu13/lib/libcufile.so.0"]


def symbols(library, which):
    listed = subprocess.run(["nm", "-D", which, library], check=True, capture_output=True, text=True).stdout
    return {line.split()[-1].split("@")[0] for line in listed.splitlines() if len(line.split()) >= 2}


def functions(library):
    listed = subprocess.run(["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
    rows = (line.split() for line in listed.splitlines())
    return {row[2].split("@")[0] for row in rows if len(row) == 3 and row[1] in "TtWi"}


def build(site, folder):
    """Compiles the stand-ins into `folder`: what the sources do not define of a library answers 0, success."""
    nvidia = site / "nvidia"
    include = [f"-I{HERE / 'include'}", f"-I{nvidia / 'cu13/include'}", f"-I{nvidia / 'cudnn/include'}"]
    made = []
    for source, library, versioned in LIBRARIES:
        name = pathlib.Path(library).name if library else "libcuda.so.1"
        if library:
            wanted = functions(nvidia / library)
        else:
            users = [path for path in (site / user for user in DRIVER_USERS) if path.exists()]
            wanted = {name for path in users for name in symbols(path, "--undefined-only") if name[:2] == "cu" and name[2].isupper()}
        object_file = folder / f"{name}.o"
        compile_it = [os.environ.get("CXX", "c++"), "-std=c++17", "-O2", "-fPIC", *include]
        subprocess.run([*compile_it, "-c", HERE / source, "-o", object_file], check=True)
        listed = subprocess.run(["nm", "--defined-only", object_file], check=True, capture_output=True, text=True).stdout
        own = {line.split()[2] for line in listed.splitlines() if line.split()[1] == "T"}
        rest = folder / f"{name}.rest.cpp"
        rest.write_text("".join(f'extern "C" int {function}() {{ return 0; }}\n' for function in sorted(wanted - own)))
        script = folder / f"{name}.map"
        script.write_text(f"{name if versioned else 'CUDA'} {{ global: *; }};\n")
        version = [f"-Wl,--version-script={script}"] if versioned else []
        flags = ["-w", "-fno-builtin", "-shared", f"-Wl,-soname,{name}", *version]
        subprocess.run([*compile_it, *flags, rest, object_file, "-o", folder / name], check=True)
        made.append(folder / name)
    return made


def run(command, site, libraries, folder, devices):
    """What `command` asked for, by kind and name, in all of its processes."""
    counts = folder / "counts"
    environment = dict(os.environ)
    behind = lambda name, first: ":".join(filter(None, [str(first), environment.get(name)]))
    environment.update(
        LD_PRELOAD=":".join(map(str, libraries)),
        LD_LIBRARY_PATH=behind("LD_LIBRARY_PATH", site / "torch/lib"),
        PYTHONPATH=behind("PYTHONPATH", site),
        CUDA_CALLS=str(counts),
        CUDA_CALLS_DEVICES=str(devices),
    )
    try:
        finished = subprocess.run(command, env=environment)
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")
    if finished.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} ended with {finished.returncode}")
    found = collections.Counter()
    for file in folder.glob("counts.*"):
        for line in file.read_text().splitlines():
            count, name = line.split(" ", 1)
            found[name] += int(count)
        file.unlink()
    return found


def report(counts, steps, kernels):
    kinds = collections.defaultdict(collections.Counter)
    for name, count in counts.items():
        kind, name = name.split(" ", 1)
        kinds[kind][name] = count / steps
    sums = {kind: sum(kinds[kind].values()) for kind in ("kernel", "library", "wait")}
    print(f"kernels {sums['kernel']:.1f}, library calls {sums['library']:.1f}, waits {sums['wait']:.2f}")
    for kind in ("wait", "copy", "memory", "library"):
        for name, count in kinds[kind].most_common():
            print(f"{count:10.2f}  {kind} {name}")
    names = [name for name, _ in kinds["kernel"].most_common(kernels)]
    plain = subprocess.run(["c++filt", "-p"], input="\n".join(names), capture_output=True, text=True).stdout.splitlines()
    for name, text in zip(names, plain):
        print(f"{kinds['kernel'][name]:10.2f}  {text.replace('at::native::', '').replace('(anonymous namespace)::', '')[:150]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--libtorch", type=pathlib.Path, default=HERE.parent.parent / ".libtorch")
    parser.add_argument("--vary", action="store_true", help="the next three words are a flag and two of its values")
    parser.add_argument("--steps", type=float, default=1, help="by how many steps the two runs differ")
    parser.add_argument("--kernels", type=int, default=0, help="how many kernels to list")
    parser.add_argument("--devices", type=int, default=1)
    own, command = sys.argv[1:], []
    if "--" in own:
        own, command = own[: own.index("--")], own[own.index("--") + 1 :]
    varied = None
    if "--vary" in own:
        at = own.index("--vary")
        varied, own = own[at + 1 : at + 4], own[:at] + own[at + 4 :]
        if len(varied) != 3:
            parser.error("--vary needs a flag and two of its values")
    arguments = parser.parse_args(own)
    if not command:
        parser.error("give a command behind --")
    site = arguments.libtorch.resolve().parent
    if not (site / "nvidia/cudnn/lib").exists():
        parser.error(f"{arguments.libtorch} has no libraries of CUDA's beside it; `cargo xtask setup --cuda` fetches them")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        try:
            libraries = build(site, folder)
        except (OSError, subprocess.CalledProcessError) as error:
            sys.exit(f"the libraries cannot be built, which takes nm and a C++ compiler ($CXX, else c++): {error}")
        once = lambda *more: run([*command, *more], site, libraries, folder, arguments.devices)
        if varied is None:
            counts = once()
        else:
            flag, less, more = varied
            fewer, counts = once(flag, less), once(flag, more)
            counts.subtract(fewer)
        report(counts, arguments.steps, arguments.kernels)


if __name__ == "__main__":
    main()
