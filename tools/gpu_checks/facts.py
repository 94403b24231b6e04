"""What a machine is, as far as its files and programs tell: names and values, for the page.

  facts.py FILE     writes them to a JSON file and prints them
"""
import glob
import json
import os
import platform
import subprocess
import sys


def said(*command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              check=False, timeout=15)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def text_of(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


def line_with(text, word):
    """The first line of a text that holds the word."""
    return next((line.strip() for line in text.splitlines() if word in line), "")


def gpu(query):
    return said("nvidia-smi", "--id=0", f"--query-gpu={query}", "--format=csv,noheader")


def numa_nodes():
    nodes = glob.glob("/sys/devices/system/node/node[0-9]*")
    cores = [f"{os.path.basename(node)}: {text_of(node + '/cpulist') or 'no cores'}"
             for node in sorted(nodes)]
    return "; ".join(cores)


def node_of_gpu():
    address = gpu("pci.bus_id").lower()
    # nvidia-smi writes the domain with eight digits, the kernel with four.
    return text_of(f"/sys/bus/pci/devices/{address[-12:]}/numa_node") if address else ""


def locked_memory():
    return line_with(text_of("/proc/self/limits"), "Max locked memory").replace(
        "Max locked memory", "").strip()


def memory_line(name):
    """An entry of /proc/meminfo, for the reader: sizes of runs never depend on it."""
    return line_with(text_of("/proc/meminfo"), name + ":").replace(name + ":", "").strip()


def facts(python):
    torch = "import torch; print(torch.__version__, 'CUDA', torch.version.cuda)"
    found = {
        "device": gpu("name,driver_version,memory.total,memory.free"),
        "clocks": gpu("clocks.max.sm,clocks.max.mem,clocks.sm,power.limit"),
        "bus": gpu("pcie.link.gen.max,pcie.link.width.max,pci.bus_id"),
        "nvcc": line_with(said("nvcc", "--version"), "release"),
        "CMake": line_with(said("cmake", "--version"), "version"),
        "Ninja": said("ninja", "--version"),
        "compute-sanitizer": line_with(said("compute-sanitizer", "--version"), "Version"),
        "fio": said("fio", "--version"),
        "PyTorch": said(python, "-c", torch),
        "system": line_with(text_of("/etc/os-release"), "PRETTY_NAME").partition("=")[2].strip('"'),
        "kernel": platform.release(),
        "C library": " ".join(platform.libc_ver()),
        "Python": platform.python_version(),
        "CPU": line_with(text_of("/proc/cpuinfo"), "model name").partition(":")[2].strip(),
        "CPU cores": str(os.cpu_count()),
        "memory now": f"{memory_line('MemTotal')} in all, {memory_line('MemAvailable')} free",
        "locked memory (soft, hard)": locked_memory(),
        "NUMA nodes": numa_nodes(),
        "NUMA node of the GPU": node_of_gpu(),
    }
    return {name: value for name, value in found.items() if value}


def main():
    found = facts(sys.argv[2])
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump(found, file, indent=1)
    for name, value in found.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
