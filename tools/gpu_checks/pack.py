"""An archive of the programs that a check runs, built on one machine for the GPU of another, with
the libraries that they are linked with. CUDA's own libraries are the other machine's."""
import json
import os
import re
import shutil
import subprocess
import tarfile
import time

from gpu_checks.machine import first_line
from gpu_checks.packages import fail
from gpu_checks.suites import SUITES

PROGRAMS = ["mneme", "tests/gpu_benchmark/gpu_benchmark", *SUITES.values()]
# Every Linux has them; those of another C library would not work with that machine's.
SYSTEM = r"(ld-linux.*|libc|libm|libdl|librt|libpthread|libresolv|linux-vdso)\.so.*"
# Taken from the other machine unless they are too old there.
COMPILER = r"(libstdc\+\+|libgcc_s)\.so.*"
CUDA = r"(libcublas|libcublasLt|libcuda|libcudart|libnvidia.*)\.so.*"
MOST_BYTES = 64 * 2**20


def configure(root, build, archs, device="cuda", arguments=()):
    """The command that configures a build for checks."""
    return ["cmake", "-S", root, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
            "-DCMAKE_CXX_FLAGS_RELEASE=-O3", "-DCMAKE_CUDA_FLAGS_RELEASE=-O3",
            "-DMNEME_CUDA=" + ("ON" if device == "cuda" else "OFF"), "-DMNEME_SHARED_CUDA=ON",
            f"-DMNEME_CUDA_ARCHS={archs}", *arguments]


def targets(suffix=""):
    return [os.path.basename(program) + suffix for program in PROGRAMS]


def libraries_of(program):
    """Name and path of every library that a program loads."""
    said = subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True, check=True).stdout
    return re.findall(r"^\s*(\S+) => (/\S+)", said, re.MULTILINE)


def commit_of(root):
    return first_line(["git", "-C", root, "describe", "--always", "--dirty", "--abbrev=10"])


def make(root, build, archive, device, archs):
    """Builds the programs for a device, `cuda` or `emulated`, and packs them."""
    suffix = "_emulated" if device == "emulated" else ""
    commands = [["cmake", "--build", build, "--target", *targets(suffix)]]
    # Those of the emulator are the same in every build.
    if device != "emulated" or not os.path.exists(os.path.join(build, "CMakeCache.txt")):
        commands.insert(0, configure(root, build, archs, device))
    for command in commands:
        if subprocess.run(command, check=False).returncode != 0:
            fail("the programs to pack could not be built")
    stage = os.path.join(build, "gpu_check_pack")
    shutil.rmtree(stage, ignore_errors=True)
    os.makedirs(os.path.join(stage, "lib/compiler"))
    libraries = {}
    for program in PROGRAMS:
        target = os.path.join(stage, program + suffix)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        libraries.update(libraries_of(os.path.join(build, program + suffix)))
        subprocess.run(["strip", "-o", target, os.path.join(build, program + suffix)], check=True)
    for name, path in libraries.items():
        if re.fullmatch(SYSTEM, name) or re.fullmatch(CUDA, name):
            continue
        folder = "lib/compiler" if re.fullmatch(COMPILER, name) else "lib"
        subprocess.run(["strip", "-o", os.path.join(stage, folder, name), path], check=True)
    with open(os.path.join(stage, "pack.json"), "w", encoding="utf-8") as file:
        json.dump({"commit": commit_of(root), "device": device, "archs": archs,
                   "date": time.strftime("%Y-%m-%d")}, file)
    # The programs have much in common, which a dictionary of 8 MiB finds.
    with tarfile.open(archive, "w:xz", preset=6) as packed:
        packed.add(stage, ".")
    report(archive, stage)


def report(archive, stage):
    def size_of(folder):
        return sum(os.path.getsize(os.path.join(at, name))
                   for at, _, names in os.walk(folder) for name in names)
    size = os.path.getsize(archive)
    print(f"gpu_check: {archive}: {size / 2**20:.1f} MiB; {len(PROGRAMS)} programs and their "
          f"libraries, {size_of(stage) / 2**20:.1f} MiB, of these "
          f"{size_of(os.path.join(stage, 'lib')) / 2**20:.1f} MiB of libraries")
    if size > MOST_BYTES:
        fail(f"{archive} is larger than {MOST_BYTES >> 20} MiB; pack for one architecture")


def unpack(archive, machine):
    """Unpacks an archive in place of the build folder's programs."""
    folder = os.path.join(machine.build, "packed")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    # Python 3.11 knows no filter before 3.11.4.
    careful = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(archive) as packed:
        packed.extractall(folder, **careful)
    with open(os.path.join(folder, "pack.json"), encoding="utf-8") as file:
        about = json.load(file)
    if (about["device"] == "emulated") != (machine.device == "emulated"):
        fail(f"{archive} was packed for --device {about['device']}")
    machine.build, machine.commit = folder, about["commit"]
    machine.libraries = [os.path.join(folder, "lib")]
    if not runs(machine):
        machine.libraries.append(os.path.join(folder, "lib/compiler"))
        if not runs(machine):
            done = subprocess.run([machine.program("mneme"), "--version"], check=False,
                                  stderr=subprocess.PIPE, text=True,
                                  env={**machine.environment, **machine.loader()})
            fail(f"the packed programs do not run here: {done.stderr.strip()}")


def runs(machine):
    return bool(first_line([machine.program("mneme"), "--version"],
                           {**machine.environment, **machine.loader()}))
