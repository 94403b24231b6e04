"""The parts of a check that measure the tiered store: training with fewer rows in HBM, a table much
larger than the machine, and page-in from the disk."""
import os
import subprocess
import sys

GIB = 2**30
# What the largest of the configs/h200-4096-* runs takes: HBM, host memory, disk.
TIERS_NEED = (76 * GIB, 90 * GIB, 59 * GIB)
# Budgets of configs/h200-8192.toml, and what the model and the system need besides.
OPENING_DEVICE, OPENING_HOST, OPENING_DISK = 98 * GIB, 80 * GIB, 50 * GIB
BESIDE_DEVICE, BESIDE_HOST, BESIDE_DISK = 8 * GIB, 24 * GIB, 2 * GIB


def device_bytes(steps):
    """Memory of the first GPU; 0 when nobody can tell."""
    try:
        done = subprocess.run([steps.which("nvidia-smi") or "nvidia-smi", "--id=0",
                               "--query-gpu=memory.total", "--format=csv,noheader,nounits"],
                              stdout=subprocess.PIPE, text=True, check=False)
        return int(float(done.stdout.split()[0]) * 2**20)
    except (OSError, ValueError, IndexError):
        return 0


def host_bytes():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def free_disk_bytes(path):
    free = os.statvfs(path)
    return free.f_bavail * free.f_frsize


def have(steps, options):
    return device_bytes(steps), host_bytes(), free_disk_bytes(options.path)


def scale_for(found):
    """The least --scale of compare_tiers with which the runs fit this machine."""
    scale = 1
    while scale < 64 and any(need / scale**2 > there for need, there in zip(TIERS_NEED, found)):
        scale *= 2
    return scale


def training(steps, options):
    scale = scale_for(have(steps, options))
    if scale > 1:
        print(f"gpu_check: this machine is too small for the h200 runs: at --scale {scale}")
    command = [sys.executable, os.path.join(steps.root, "tools/compare_tiers"),
               steps.program("mneme"), "--device", options.device, "--scale", str(scale), "--path",
               options.path, "--json", steps.file("tiers.json"), "--case-seconds", "300"]
    if os.path.exists(steps.file("benchmark.json")):
        command += ["--limits", steps.file("benchmark.json")]
    steps.step("tiers", command, 580)


def opening(steps, options):
    device, host, disk = have(steps, options)
    budgets = {"device": min(OPENING_DEVICE, device - BESIDE_DEVICE),
               "host": min(OPENING_HOST, host - BESIDE_HOST),
               "disk": min(OPENING_DISK, disk - BESIDE_DISK)}
    command = [steps.program("mneme"), "bench", "model", "configs/h200-8192.toml", "--device",
               options.device, "--warm-up", "2", "--steps", "18", "--token-skew", "1", "--json",
               "--set", "run.directory=" + os.path.join(options.path, "open-8192")]
    for tier, budget in budgets.items():
        command += ["--set", f"tiers.{tier}_bytes={max(budget, GIB)}"]
    steps.step("open-8192", command, 400)


def disk(steps, options):
    mneme = steps.program("mneme")
    path = os.path.join(options.path, "gpu_check_disk.data")
    shape = ["--path", path, "--file-bytes", str(options.disk_file_bytes), "--depth", "64"]
    through = ["--through-store", "--device", options.device]
    for record in ("5120", "12288"):
        sizes = [*shape, "--record-bytes", record]
        if steps.which("fio"):
            steps.step(f"disk-to-device-{record}",
                       [sys.executable, os.path.join(steps.root, "tools/compare_fio"), mneme,
                        *sizes, "--rounds", "3", "--seconds", "5", *through], 280)
        else:
            # Without fio the engine's own reads stand in for it.
            steps.step(f"disk-to-device-{record}",
                       [mneme, "bench", "disk", *sizes, *through, "--json"], 140)
            steps.step(f"disk-reads-{record}", [mneme, "bench", "disk", *sizes, "--json"], 140)
