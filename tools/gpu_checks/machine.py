"""The machine that is checked, and how programs run there: which build, on which device, with what
environment."""
import functools
import glob
import os
import shutil
import subprocess
import sys

from gpu_checks import processes

GIB = 2**30
# Environment of test programs, by device: the backend under test must be there.
BACKENDS = {"cuda": "cuda", "emulated": "cuda", "cpu": "cpu"}
# The emulator runs suites at full size, and benchmarks at sizes where their times mean nothing.
EMULATED = {"MNEME_BENCH_SHRINK": "4096"}
# The emulator takes so much longer than a GPU.
PATIENCE = {"cuda": 1, "emulated": 20, "cpu": 20}


def first_line(command, environment=None):
    """The first line that a program prints; empty when it fails or is not there."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              check=False, timeout=20, env=environment)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = done.stdout.strip().splitlines()
    return lines[0] if done.returncode == 0 and lines else ""


class Machine:
    """root: the sources. build: the folder of the programs. memory: bytes of host memory that runs
    may take."""

    def __init__(self, root, build, device, memory, path, python=sys.executable, tier_scale=2,
                 disk_file_bytes=GIB):
        self.root, self.build = root, os.path.abspath(build)
        self.device, self.memory, self.path = device, memory, os.path.abspath(path)
        self.python, self.tier_scale, self.disk_file_bytes = python, tier_scale, disk_file_bytes
        self.patience = PATIENCE[device]
        self.work = os.path.join(self.build, "gpu_check")
        self.libraries = []  # folders that packed programs need
        self.commit = ""  # of packed programs
        self.environment = dict(os.environ)
        self.environment["PATH"] += ":/usr/local/cuda/bin"
        shutil.rmtree(self.work, ignore_errors=True)
        os.makedirs(self.work)
        os.makedirs(self.path, exist_ok=True)

    def file(self, name):
        """A file that a step writes."""
        return os.path.join(self.work, name)

    def log(self, step):
        return self.file(step.name + ".log")

    def program(self, name):
        return os.path.join(self.build, name + ("_emulated" if self.device == "emulated" else ""))

    def which(self, name):
        return shutil.which(name, path=self.environment["PATH"])

    def tool(self, name):
        return os.path.join(self.root, "tools", name)

    @property
    def mneme_device(self):
        """The value of mneme's --device."""
        return "cpu" if self.device == "cpu" else "cuda"

    def device_bytes(self):
        """Memory of the first GPU; of the emulated one, and where nobody can tell, 0."""
        if self.device != "cuda":
            return 0
        said = first_line([self.which("nvidia-smi") or "nvidia-smi", "--id=0",
                           "--query-gpu=memory.total", "--format=csv,noheader,nounits"])
        return int(float(said) * 2**20) if said.replace(".", "").isdigit() else 0

    def loader(self):
        """Environment with which the loader finds the libraries of packed programs, and cuBLAS."""
        folders = self.libraries + cublas_folders(self.python)
        if inherited := self.environment.get("LD_LIBRARY_PATH"):
            folders.append(inherited)
        return {"LD_LIBRARY_PATH": ":".join(folders)} if folders else {}

    def environment_of(self, step):
        environment = {**self.environment, **self.loader(),
                       "MNEME_TEST_BACKENDS": BACKENDS[self.device],
                       "MNEME_REQUIRE": BACKENDS[self.device],
                       "MNEME_GOLDEN_DIR": os.path.join(self.root, "tests/golden")}
        if self.memory:
            environment["MNEME_MACHINE_MEMORY"] = str(self.memory)
        if self.device == "emulated":
            environment.update(EMULATED)
        return {**environment, **step.environment}

    def run(self, steps, limit):
        """Runs (step, command) pairs at once, for `limit` seconds at most."""
        names = ", ".join(step.name for step, _ in steps)
        print(f"gpu_check: {names} ({limit:.0f} s at most)", flush=True)

        def starter(step, command):
            return lambda: processes.Process(command, self.log(step), self.root,
                                             self.environment_of(step))
        return processes.run_together([starter(*pair) for pair in steps], limit,
                                      max(2, os.cpu_count() or 1))


@functools.cache
def cublas_folders(python):
    """The folder of the machine's cuBLAS: the toolkit's, or the one that came with PyTorch."""
    patterns = ["/usr/local/cuda/lib64", "/usr/local/cuda*/lib64",
                "/usr/local/cuda*/targets/x86_64-linux/lib"]
    packages = first_line([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
    if packages:
        patterns += [f"{packages}/nvidia/cu13/lib", f"{packages}/nvidia/cublas/lib"]
    for pattern in patterns:
        for folder in sorted(glob.glob(pattern)):
            if glob.glob(os.path.join(folder, "libcublas.so*")):
                return [folder]
    return []
