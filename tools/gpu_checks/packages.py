"""What the build needs from the machine, and a prefix of packages where it lacks
some and nothing can be downloaded."""
import glob
import os
import shutil
import subprocess
import sys

# What the build needs besides a compiler, CMake, Ninja and CUDA: a file that shows that a package
# is there, and the packages to take along when it is not.
NEEDED = [
    ("tbb/tbb.h", ["libtbb-dev", "libtbb12", "libtbbmalloc2", "libtbbbind-2-5", "libhwloc15"]),
    ("thrust/version.h", ["libthrust-dev", "libcub-dev"]),
    ("fmt/format.h", ["libfmt-dev", "libfmt9"]),
    ("spdlog/spdlog.h", ["libspdlog-dev", "libspdlog1.10"]),
    ("CLI/CLI.hpp", ["libcli11-dev"]),
    ("toml++/toml.h", ["libtomlplusplus-dev", "libtomlplusplus3"]),
    ("nlohmann/json.hpp", ["nlohmann-json3-dev"]),
    ("xxhash.h", ["libxxhash-dev", "libxxhash0"]),
    ("eigen3/Eigen/Core", ["libeigen3-dev"]),
    ("zstd.h", ["libzstd-dev", "libzstd1"]),
    ("zlib.h", ["zlib1g-dev", "zlib1g"]),
    ("pcre2.h", ["libpcre2-dev", "libpcre2-8-0"]),
    ("utf8proc.h", ["libutf8proc-dev", "libutf8proc2"]),
    ("sentencepiece_processor.h",
     ["libsentencepiece-dev", "libsentencepiece0", "libprotobuf-lite32"]),
    ("simdjson.h", ["libsimdjson-dev", "libsimdjson14"]),
    ("liburing.h", ["liburing-dev", "liburing2"]),
    ("gtest/gtest.h", ["libgtest-dev", "googletest"]),
    ("gmock/gmock.h", ["libgmock-dev"]),
    ("javascript/chart.js/chart.min.js", ["libjs-chart.js"]),
    ("benchmark/benchmark.h", ["libbenchmark-dev", "libbenchmark1debian"]),
]
PROGRAMS = ["nvcc", "cmake", "ninja", "g++", "pkg-config"]


def fail(message):
    sys.exit(f"gpu_check: {message}")


def header_folders(root):
    architecture = "usr/include/x86_64-linux-gnu"
    return [os.path.join(root, folder) for folder in
            ("usr/include", architecture, "usr/local/include", "usr/share")]


def has_header(name, folders):
    return any(os.path.exists(os.path.join(folder, name)) for folder in folders)


def make_prefix(folder):
    """Downloads the .deb files of every package that the build may lack."""
    os.makedirs(folder, exist_ok=True)
    packages = [package for _, list_ in NEEDED for package in list_]
    done = subprocess.run(["apt-get", "download", *packages, "pkgconf", "pkgconf-bin",
                           "libpkgconf3"], cwd=folder, check=False)
    if done.returncode != 0:
        fail("apt-get download failed; run apt-get update first, on Debian 12")
    files = glob.glob(os.path.join(folder, "*.deb"))
    size = sum(os.path.getsize(file) for file in files)
    print(f"gpu_check: {len(files)} packages, {size / 2**20:.1f} MiB, in {folder}")


def use_prefix(prefix, build, environment):
    """Unpacks the packages below the build folder and puts them into the environment. Returns the
    root of what was unpacked, and arguments for CMake."""
    root = os.path.join(build, "prefix")
    packages = glob.glob(os.path.join(os.path.abspath(prefix), "*.deb"))
    if not packages:
        fail(f"{prefix} holds no .deb files; see --make-prefix")
    shutil.rmtree(root, ignore_errors=True)
    os.makedirs(root)
    for package in packages:
        subprocess.run(["dpkg", "-x", package, root], check=True)
    libraries = f"{root}/usr/lib/x86_64-linux-gnu"
    environment["PATH"] += f":{root}/usr/bin"
    environment["PKG_CONFIG_SYSROOT_DIR"] = root
    environment["PKG_CONFIG_PATH"] = ":".join(
        [f"{libraries}/pkgconfig", f"{root}/usr/share/pkgconfig"])
    environment["LD_LIBRARY_PATH"] = ":".join(
        [libraries, environment.get("LD_LIBRARY_PATH", "")])
    return root, [f"-DCMAKE_PREFIX_PATH={root}/usr"]


def check_build(prefix, build, environment):
    """Fails when something is missing that building needs. Returns arguments for CMake."""
    folders, arguments = header_folders("/"), []
    if prefix:
        root, arguments = use_prefix(prefix, build, environment)
        folders = header_folders(root) + folders
    missing = [packages[0] for header, packages in NEEDED if not has_header(header, folders)]
    programs = [name for name in PROGRAMS if not shutil.which(name, path=environment["PATH"])]
    if missing or programs:
        fail("missing here, to build with: " + ", ".join(programs + missing) +
             "; give the packages with --prefix (see --make-prefix), or programs with --packed")
    return arguments
