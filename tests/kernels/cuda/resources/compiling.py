"""Compiles sources for an architecture, and reads what ptxas, the cubin and nvdisasm say of each
kernel."""
import collections
import concurrent.futures
import json
import os
import re
import shlex
import shutil
import struct
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))))
Command = collections.namedtuple("Command", "nvcc source arguments folder")


class Kernel:
    """What one kernel takes on one architecture."""

    def __init__(self, source, architecture, symbol):
        self.source, self.architecture, self.symbol = source, architecture, symbol
        self.name = ""  # demangled, without parameters
        self.registers = self.stack = self.spilled = self.shared = 0
        self.threads = 1024  # of a block, at most
        self.instructions = collections.Counter()  # empty without nvdisasm

    @property
    def is_ours(self):
        return self.name.startswith("mneme::")

    def __str__(self):
        return f"{self.source}: {self.name} for sm_{self.architecture}"


def commands(build):
    """How the CUDA sources of the backend are compiled, without architecture and output."""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        entries = json.load(file)
    result = []
    for entry in entries:
        words = shlex.split(entry["command"])
        nvcc = next((word for word in words if os.path.basename(word) == "nvcc"), None)
        if nvcc is None or "/kernels/cuda/" not in entry["file"]:
            continue
        arguments, skip = [], False
        for word in words[words.index(nvcc) + 1:]:
            if skip or word in ("-o", "-c"):
                skip = word in ("-o", "-c") and not skip
            elif not word.startswith(("--generate-code", "-arch", "-gencode")):
                arguments.append(word)
        result.append(Command(nvcc, entry["file"], arguments, entry["directory"]))
    return sorted(result, key=lambda command: command.source)


def compile_all(compile_commands, architectures, nvdisasm, jobs):
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        parts = pool.map(lambda command: compile_source(command, architectures, nvdisasm),
                         compile_commands)
        kernels = [kernel for part in parts for kernel in part]
    name(kernels)
    return kernels


def compile_source(command, architectures, nvdisasm):
    """Through ccache, where it is installed: so objects with device code of all architectures."""
    with tempfile.TemporaryDirectory() as folder:
        target = os.path.join(folder, "kernels.o")
        codes = [f"--generate-code=arch=compute_{architecture},code=sm_{architecture}"
                 for architecture in architectures]
        launcher = ["ccache"] if shutil.which("ccache") else []
        done = subprocess.run(
            [*launcher, command.nvcc, *command.arguments, *codes, "-Xptxas=-v", "--no-compress",
             "-c", command.source, "-o", target],
            cwd=command.folder, capture_output=True, text=True, check=False,
            env={**os.environ, "CCACHE_BASEDIR": ROOT, "CCACHE_NOHASHDIR": "1"})
        if done.returncode != 0:
            raise SystemExit(f"{command.source} does not compile:\n{done.stderr}")
        kernels = read_ptxas(done.stderr, os.path.basename(command.source))
        for cubin in cubins(target):
            architecture = struct.unpack_from("<I", cubin, 0x30)[0]
            # The low byte until CUDA 12, the next one since.
            architecture = next(known for known in architectures
                                if known in (architecture & 0xff, architecture >> 8 & 0xff))
            own = {kernel.symbol: kernel for kernel in kernels
                   if kernel.architecture == architecture}
            read_threads(cubin, own)
            if nvdisasm and own:
                path = os.path.join(folder, f"{architecture}.cubin")
                with open(path, "wb") as file:
                    file.write(cubin)
                count_instructions(nvdisasm, path, own)
    return kernels


def cubins(path):
    """The ELF images in the fat binaries of an object file."""
    with open(path, "rb") as file:
        data = file.read()
    magic, at = struct.pack("<I", 0xba55ed50), 0
    while (at := data.find(magic, at)) >= 0:
        header, = struct.unpack_from("<H", data, at + 6)
        size, = struct.unpack_from("<Q", data, at + 8)
        entry, end = at + header, at + header + size
        while entry < end:
            kind, _, header, size = struct.unpack_from("<HHIQ", data, entry)
            image = data[entry + header:entry + header + size]
            if kind == 2 and image.startswith(b"\x7fELF"):
                yield image
            entry += header + size
        at = end


def read_ptxas(text, source):
    kernels, functions, kernel = [], {}, None
    for line in text.splitlines():
        if match := re.search(r"Compiling entry function '(\S+)' for 'sm_(\d+)'", line):
            kernel = Kernel(source, int(match[2]), match[1])
            kernels.append(kernel)
            functions[match[1]] = kernel
        elif match := re.search(r"Function properties for (\S+)", line):
            kernel = functions.get(match[1])  # None: a function that a kernel calls
        elif kernel is not None:
            if match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, "
                                  r"(\d+) bytes spill loads", line):
                kernel.stack = int(match[1])
                kernel.spilled = int(match[2]) + int(match[3])
            if match := re.search(r"Used (\d+) registers", line):
                kernel.registers = int(match[1])
                shared = re.search(r"(\d+) bytes smem", line)
                kernel.shared = int(shared[1]) if shared else 0
    return kernels


def read_threads(data, kernels):
    """The launch bounds: attribute 5 (EIATTR_MAX_THREADS) of a kernel's section .nv.info."""
    sections, = struct.unpack_from("<Q", data, 0x28)
    count, names = struct.unpack_from("<HH", data, 0x3c)
    headers = [struct.unpack_from("<IIQQQQ", data, sections + 64 * i) for i in range(count)]
    for header in headers:
        at = headers[names][4] + header[0]
        section = data[at:data.index(b"\0", at)].decode()
        kernel = kernels.get(section.removeprefix(".nv.info."))
        if kernel is None or not section.startswith(".nv.info."):
            continue
        at, end = header[4], header[4] + header[5]
        while at < end:
            kind, attribute, size = struct.unpack_from("<BBH", data, at)
            at += 4
            if kind != 4:  # the value is in the header
                continue
            if attribute == 5:
                x, y, z = struct.unpack_from("<III", data, at)
                kernel.threads = x * y * z
            at += size


def count_instructions(nvdisasm, cubin, kernels):
    done = subprocess.run([nvdisasm, "-c", cubin], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"nvdisasm fails: {done.stderr}")
    kernel = None
    for line in done.stdout.splitlines():
        if match := re.match(r"\s*\.section\s+\.text\.(\S+?),", line):
            kernel = kernels.get(match[1])
        elif kernel is not None:
            match = re.match(r"\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)", line)
            if match:
                kernel.instructions[match[1]] += 1
    for kernel in kernels.values():
        if not kernel.instructions:
            raise SystemExit(f"nvdisasm shows no instructions of {kernel.symbol}")


def name(kernels):
    done = subprocess.run(["c++filt"], input="\n".join(kernel.symbol for kernel in kernels),
                          capture_output=True, text=True, check=True)
    for kernel, text in zip(kernels, done.stdout.splitlines()):
        text = text.replace("(anonymous namespace)::", "")
        kernel.name = without_parameters(re.sub(r"^(?:static )?void ", "", text))


def without_parameters(text):
    """The name of a function up to its parameters; template arguments may hold parentheses."""
    depth = 0
    for i, character in enumerate(text):
        if character == "<":
            depth += 1
        elif character == ">":
            depth -= 1
        elif character == "(" and depth == 0:
            return text[:i]
    return text
