"""Files of tokens in all layouts, apart from mneme's own code (the test's example documents).

token_files.py write FOLDER   writes them
token_files.py check FOLDER   fails unless the files there hold the documents
"""

import struct
import sys


def documents(most):
    return [[1, most, 0], [256, 255], [most - 1], [65000, 3, 4, 5]]


def pack(code, numbers):
    return struct.pack(f"<{len(numbers)}{code}", *numbers)


def unpack(code, content):
    return list(struct.unpack(f"<{len(content) // struct.calcsize(code)}{code}", content))


def llm_c(tokens, bits):
    magic, version, code = {16: (20240520, 1, "H"), 32: (20240801, 7, "I")}[bits]
    header = [magic, version, len(tokens)] + [0] * 253
    return pack("i", header) + pack(code, tokens)


def megatron_index(lengths, bits):
    sums = [sum(lengths[:i]) * bits // 8 for i in range(len(lengths))]
    code = {16: 8, 32: 4}[bits]
    head = b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, code, len(lengths), len(lengths) + 1)
    return head + pack("i", lengths) + pack("q", sums) + pack("q", list(range(len(lengths) + 1)))


def write(folder):
    def put(name, content):
        with open(f"{folder}/{name}", "wb") as file:
            file.write(content)

    for bits, most in ((16, 2**16 - 1), (32, 2**31 - 1)):
        tokens = sum(documents(most), [])
        put(f"llm.c-{bits}.bin", llm_c(tokens, bits))
        put(f"megatron-{bits}.bin", pack({16: "H", 32: "i"}[bits], tokens))
        put(f"megatron-{bits}.idx", megatron_index([len(d) for d in documents(most)], bits))
        if bits == 16:
            put("nanogpt-16.bin", pack("H", tokens))


def read_megatron(folder, bits):
    with open(f"{folder}/megatron-{bits}.idx", "rb") as file:
        assert file.read(9) == b"MMIDIDX\x00\x00"
        version, code, sequences, indices = struct.unpack("<QBQQ", file.read(25))
        assert (version, code) == (1, {16: 8, 32: 4}[bits])
        lengths = unpack("i", file.read(4 * sequences))
        pointers = unpack("q", file.read(8 * sequences))
        begins = unpack("q", file.read(8 * indices))
        assert file.read() == b""
    with open(f"{folder}/megatron-{bits}.bin", "rb") as file:
        content = file.read()
    texts = [
        unpack({16: "H", 32: "i"}[bits], content[at : at + length * bits // 8])
        for at, length in zip(pointers, lengths)
    ]
    return [sum(texts[first:last], []) for first, last in zip(begins, begins[1:])]


def read_llm_c(folder, bits):
    with open(f"{folder}/llm.c-{bits}.bin", "rb") as file:
        header = unpack("i", file.read(1024))
        tokens = unpack({16: "H", 32: "I"}[bits], file.read())
    assert header[:2] == {16: [20240520, 1], 32: [20240801, 7]}[bits]
    assert header[2] == len(tokens) and not any(header[3:])
    return tokens


def check(folder):
    for bits, most in ((16, 2**16 - 1), (32, 2**31 - 1)):
        assert read_megatron(folder, bits) == documents(most)
        assert read_llm_c(folder, bits) == sum(documents(most), [])
    with open(f"{folder}/nanogpt-16.bin", "rb") as file:
        assert unpack("H", file.read()) == sum(documents(2**16 - 1), [])


{"write": write, "check": check}[sys.argv[1]](sys.argv[2])
